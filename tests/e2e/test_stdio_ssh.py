"""ssh, scp and rsync with `backedpipd stdio` as their ProxyCommand: no daemon on the client's side."""

import re
import shlex
import subprocess
import time

import pytest

from support.daemon import run
from support.files import random_file, sha256_of
from support.stdio import stdio_command
from support.waiting import MIB, patient, scaled, wait_until

CUT_EVERY = 0.2


@pytest.fixture
def stage(tunnel, sshd):
    """The client's daemon is of no use here."""
    stage = tunnel(sshd.address)
    stage.client.stop()
    return stage


def through(stage, *options):
    """ssh options, for each of the programs."""
    return ["-o", f"ProxyCommand={shlex.join(stdio_command(stage, *options))}"]


def wait_forgotten(stage, seconds=5):
    wait_until(lambda: not stage.server.control.sessions(), seconds,
               lambda: f"the server to forget its sessions: {stage.server.control.sessions()}")


def test_a_command_runs_exits_with_its_code_and_leaves_nothing_behind(stage, sshd):
    for code in (0, 7):
        done = run(*sshd.ssh(1, f"echo here; exit {code}", options=through(stage)))
        assert (done.returncode, done.stdout, done.stderr) == (code, "here\n", "")
    wait_forgotten(stage)
    wait_until(lambda: not stage.relay.open_links, 10, "the links to be closed")


def test_an_ssh_that_is_killed_leaves_nothing_behind(stage, sshd):
    process = subprocess.Popen(sshd.ssh(1, "echo here; exec sleep 60", options=through(stage)),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"here\n"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    wait_forgotten(stage)


def test_scp_each_way_arrives_intact_while_the_link_is_cut(stage, sshd, tmp_path):
    original, there, back = tmp_path / "original", tmp_path / "there", tmp_path / "back"
    random_file(original, scaled(64 * MIB), seed=1)
    with stage.relay.every(CUT_EVERY):
        for paths in ((original, sshd.remote(there)), (sshd.remote(there), back)):
            done = run(*sshd.scp(1, *paths, options=through(stage)), timeout=60)
            assert (done.returncode, done.stderr) == (0, "")
    assert sha256_of(original) == sha256_of(there) == sha256_of(back)
    assert stage.relay.cuts > 0
    wait_forgotten(stage)


def test_rsync_arrives_intact_while_the_link_is_cut(stage, sshd, tmp_path):
    source, destination = tmp_path / "source", tmp_path / "destination"
    source.mkdir()
    for number in range(scaled(40, least=5)):
        random_file(source / f"file{number}", (number * 79190) % 1_000_000, seed=number)
    with stage.relay.every(CUT_EVERY):
        done = run(*sshd.rsync(1, "-a", "--checksum", f"{source}/", sshd.remote(destination), options=through(stage)),
                   timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    files = sorted(path.name for path in source.iterdir())
    assert {name: sha256_of(source / name) for name in files} == {name: sha256_of(destination / name) for name in files}
    assert stage.relay.cuts > 0


def test_the_user_is_told_when_the_link_is_lost_and_back(stage, sshd):
    process = subprocess.Popen(sshd.ssh(1, "cat", options=through(stage)), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    try:
        process.stdin.write(b"one\n")
        assert process.stdout.readline() == b"one\n"
        stage.relay.refuse()
        stage.relay.cut()
        assert b" lost (" in process.stderr.readline()
        stage.relay.accept()
        process.stdin.write(b"two\n")
        assert process.stdout.readline() == b"two\n"
        output, said = process.communicate(timeout=patient(20))
        assert (process.returncode, output) == (0, b"")
        assert re.fullmatch(rb"backedpipd: link is back after [\d.]+ s\n", said), said
    finally:
        process.kill()
        process.wait()


def test_a_reason_for_having_no_session_reaches_the_user(stage, sshd):
    options = ["-o", f"ProxyCommand={shlex.join(stdio_command(stage, service='nothing'))}"]
    done = run(*sshd.ssh(1, "true", options=options))
    assert done.returncode == 255
    assert f'backedpipd: 127.0.0.1:{stage.relay.port} has no service "nothing"\n' in done.stderr


def test_an_entry_in_the_configuration_of_ssh_is_enough(stage, sshd, tmp_path):
    """As the manual shows it, with the host's name put in by ssh."""
    command = shlex.join(stdio_command(stage, peer=f"%h:{stage.relay.port}"))
    config = tmp_path / "config"
    config.write_text(f"Host office\n  HostName 127.0.0.1\n  ProxyCommand {command}\n  ServerAliveInterval 0\n")
    done = run(*sshd.ssh_to("office", config, "echo here"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "here\n", "")


@pytest.mark.alone
def test_logging_in_takes_hardly_longer_than_without(stage, sshd, report_figure):
    def seconds(port, options):
        begin = time.monotonic()
        assert run(*sshd.ssh(port, "true", options=options)).returncode == 0
        return time.monotonic() - begin

    plain, carried = [], []
    for _ in range(10):
        plain.append(seconds(sshd.port, []))
        carried.append(seconds(1, through(stage)))
    ratio = sorted(carried)[5] / sorted(plain)[5]
    report_figure(f"ssh HOST true: {1000 * sorted(plain)[5]:.0f} ms directly, {1000 * sorted(carried)[5]:.0f} ms "
                  f"through backedpipd stdio, ratio {ratio:.2f}")
    if not stage.server.is_instrumented():
        assert ratio < 2
