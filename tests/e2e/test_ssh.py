"""What users run: an interactive ssh, scp and rsync, over a link that keeps breaking."""

import os
import re
import select
import subprocess
import time

from support.daemon import run
from support.files import random_file, sha256_of
from support.waiting import MIB, Deadline, scaled

CUT_EVERY = 0.2


def read_into(output, descriptor, until):
    """Appends what comes until a point in time; false at the end of the output."""
    while (left := until - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left)[0]:
            return True
        try:
            data = os.read(descriptor, 65536)
        except OSError:
            data = b""
        if not data:
            return False
        output += data
    return True


def test_an_interactive_shell_keeps_every_line_in_order_through_fifty_cuts(tunnel, sshd):
    """A person types a command every 100 ms; the far terminal echoes, prompts and answers as if nothing happened."""
    stage = tunnel(sshd.address)
    wanted_cuts = scaled(50, least=5)
    shell = subprocess.Popen(
        sshd.ssh(stage.client_port, "TERM=dumb exec bash --norc --noprofile -i", options=["-tt"]),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
    output = bytearray()
    typed = 0
    try:
        with stage.relay.every(CUT_EVERY):
            deadline = Deadline(60)
            while stage.relay.cuts < wanted_cuts:
                assert not deadline.passed(), f"{stage.relay.cuts} cuts so far"
                # The answer differs from what was typed, so the echo cannot pass for it.
                shell.stdin.write(f"echo row $((1000 + {typed}))\n".encode())
                typed += 1
                assert read_into(output, shell.stdout.fileno(), time.monotonic() + 0.1), output.decode()
            shell.stdin.write(b"exit 7\n")
            deadline = Deadline(20)
            while read_into(output, shell.stdout.fileno(), time.monotonic() + 0.1):
                assert not deadline.passed(), "the shell did not end"
        assert shell.wait(Deadline(10).left()) == 7, output.decode()
    finally:
        shell.kill()
        shell.wait()
        shell.stdin.close()
        shell.stdout.close()
    rows = [int(row) for row in re.findall(r"^row (\d+)\r?$", output.decode(), re.MULTILINE)]
    assert rows == [1000 + number for number in range(typed)]
    assert stage.relay.cuts >= wanted_cuts


def test_scp_of_a_large_file_each_way_arrives_intact_while_the_link_is_cut(tunnel, sshd, tmp_path):
    stage = tunnel(sshd.address)
    original, there, back = tmp_path / "original", tmp_path / "there", tmp_path / "back"
    random_file(original, scaled(256 * MIB), seed=1)
    with stage.relay.every(CUT_EVERY):
        up = run(*sshd.scp(stage.client_port, original, sshd.remote(there)), timeout=80)
        assert up.returncode == 0, up.stderr
        down = run(*sshd.scp(stage.client_port, sshd.remote(there), back), timeout=80)
        assert down.returncode == 0, down.stderr
    assert sha256_of(original) == sha256_of(there) == sha256_of(back)
    assert stage.relay.cuts > 0


def test_rsync_of_a_tree_arrives_intact_while_the_link_is_cut(tunnel, sshd, tmp_path):
    """Many small files and a changed second run: rsync talks both ways all the time."""
    stage = tunnel(sshd.address)
    source, destination = tmp_path / "source", tmp_path / "destination"
    for folder in range(10):
        (source / f"folder{folder}").mkdir(parents=True)
        for number in range(scaled(40, least=5)):
            random_file(source / f"folder{folder}" / f"file{number}", (number * 7919) % 100_000, seed=number)
        random_file(source / f"folder{folder}" / "large", scaled(4 * MIB), seed=folder)
    files = [path.relative_to(source) for path in sorted(source.rglob("*")) if path.is_file()]
    with stage.relay.every(CUT_EVERY):
        for attempt in range(2):
            done = run(*sshd.rsync(stage.client_port, "-a", "--checksum", f"{source}/", sshd.remote(destination)),
                       timeout=80)
            assert done.returncode == 0, done.stderr
            assert {name: sha256_of(source / name) for name in files} == \
                {name: sha256_of(destination / name) for name in files}
            if attempt == 0:
                with open(source / files[0], "ab") as file:
                    file.write(b"changed")
    assert stage.relay.cuts > 0


def test_many_short_ssh_commands_each_exit_with_their_own_code(tunnel, sshd):
    """Opening and ending sessions under cuts is where a reply or an exit code is lost first."""
    stage = tunnel(sshd.address)
    with stage.relay.every(CUT_EVERY):
        for code in range(scaled(10, least=3)):
            done = run(*sshd.ssh(stage.client_port, f"echo code {code}; exit {code}"), timeout=30)
            assert (done.returncode, done.stdout) == (code, f"code {code}\n"), done.stderr
    stage.wait_no_sessions()
