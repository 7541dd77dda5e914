"""What `backedpipd stdio` says about its link, on standard error, and how it fails."""

import os
import pty
import time
import tty

import pytest

from support.daemon import binary, keygen, run, write_private
from support.ports import free_port
from support.stdio import Stdio, read_exactly, stdio_command
from support.targets import EchoTarget
from support.waiting import patient


def echo_once(process, data=b"x"):
    process.stdin.write(data)
    assert read_exactly(process.stdout, len(data)) == data


@pytest.fixture
def stage(start, tunnel):
    return tunnel(start(EchoTarget()).address)


@pytest.fixture
def stdio(start, stage):
    def begin(*options, **settings):
        return start(Stdio(stdio_command(stage, *options, **settings)))

    return begin


def take_line(process):
    line = process.stderr.readline().decode()
    assert line.endswith("\n"), line
    return line.rstrip("\n")


# -- a link that is lost ----------------------------------------------------------------------


def test_a_lost_link_and_its_return_are_a_line_each(stage, stdio):
    process = stdio()
    echo_once(process)
    for seconds in (2.2, 1.5):
        stage.relay.refuse()
        stage.relay.cut("reset")
        assert take_line(process) == \
            f"backedpipd: link to 127.0.0.1:{stage.relay.port} lost (Connection reset by peer); reconnecting"
        time.sleep(seconds - 1)  # more attempts fail meanwhile, and that is no news
        stage.relay.accept()
        line = take_line(process)
        assert line.startswith("backedpipd: link is back after ") and line.endswith(" s"), line
        assert seconds - 0.1 <= float(line.split()[5]) <= patient(seconds + 3)
        echo_once(process)
    assert process.finish() == (0, b"", [])


def test_a_cut_that_heals_within_a_second_is_not_worth_a_line(stage, stdio):
    process = stdio()
    for round in range(5):
        echo_once(process, b"%d" % round)
        assert stage.relay.cut() > 0
    echo_once(process)
    time.sleep(1.2)  # in case a line is on its way after all
    assert process.finish() == (0, b"", [])


def test_a_silent_link_that_is_replaced_is_not_worth_a_line(stage, stdio):
    """Make before break works here too: the other link is dialled beside the silent one."""
    process = stdio()
    echo_once(process)
    stage.relay.strand()
    echo_once(process, b"y")
    assert process.finish() == (0, b"", [])
    assert stage.relay.links >= 2


def test_quiet_says_nothing_about_the_link(stage, stdio):
    process = stdio("--quiet")
    echo_once(process)
    stage.relay.refuse()
    stage.relay.cut()
    time.sleep(1.5)
    stage.relay.accept()
    echo_once(process)
    assert process.finish() == (0, b"", [])


def test_lines_end_as_a_raw_terminal_needs_it(stage, start):
    """ssh has made the terminal a raw one by the time the link is lost."""
    ours, theirs = pty.openpty()
    try:
        tty.setraw(theirs)
        process = start(Stdio(stdio_command(stage, service="nothing"), stderr=theirs))
        assert process.wait() == 1
        assert os.read(ours, 4096).decode() == f'backedpipd: 127.0.0.1:{stage.relay.port} has no service "nothing"\r\n'
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_log_is_written_only_when_asked_for_and_never_to_the_output(stage, stdio):
    process = stdio("--log-level", "info")
    code, output, said = process.finish(b"x")
    assert (code, output) == (0, b"x")
    assert any("attach" in line for line in said), said


def test_a_server_that_was_started_anew_ends_it(stage, stdio):
    process = stdio()
    echo_once(process)
    stage.server.kill()
    stage.start_server()
    assert process.wait() == 1
    assert process.said()[-1] == \
        f"backedpipd: 127.0.0.1:{stage.relay.port} does not know this session any more: it was started anew"


# -- no first link ----------------------------------------------------------------------------


def test_a_server_that_comes_late_is_waited_for(stage, stdio):
    stage.relay.refuse()
    process = stdio("--connect-timeout", "20s")
    process.stdin.write(b"early")
    where = f"127.0.0.1:{stage.relay.port}"
    assert take_line(process) == f"backedpipd: no link to {where} yet (cannot connect to {where}: Connection refused); " \
                                 "trying for 20 s"
    stage.relay.accept()
    line = take_line(process)
    assert line.startswith(f"backedpipd: link to {where} made after ") and line.endswith(" s"), line
    assert process.finish() == (0, b"early", [])


@pytest.mark.parametrize("quiet", [False, True])
def test_a_server_that_cannot_be_reached_is_given_up(stage, stdio, quiet):
    stage.relay.refuse()
    where = f"127.0.0.1:{stage.relay.port}"
    begin = time.monotonic()
    process = stdio("--connect-timeout", "2s", *(["--quiet"] if quiet else []))
    code, output, said = process.finish(b"x")
    assert (code, output) == (1, b"")
    assert 1.9 < time.monotonic() - begin < patient(3)
    why = f"cannot connect to {where}: Connection refused"
    expected = [f"backedpipd: no link to {where} yet ({why}); trying for 2 s",
                f"backedpipd: no link to {where} within 2 s: {why}"]
    assert said == (expected[1:] if quiet else expected)


def test_a_name_that_nobody_knows_is_said(stage, stdio):
    process = stdio("--connect-timeout", "500ms", "--quiet", peer="nobody.invalid:7700")
    code, output, said = process.finish()
    assert (code, output, len(said)) == (1, b"", 1)
    assert said[0].startswith("backedpipd: no link to nobody.invalid:7700 within 0.5 s: ")
    assert "Host not found" in said[0]


def test_a_server_that_is_silent_is_said_to_be(stage, stdio):
    stage.relay.freeze()
    process = stdio("--connect-timeout", "1500ms", "--quiet")
    code, output, said = process.finish(seconds=10)
    assert (code, output, len(said)) == (1, b"", 1)
    assert said[0].startswith(f"backedpipd: no link to 127.0.0.1:{stage.relay.port} within 1.5 s")
    stage.relay.heal()


def test_a_first_link_does_not_time_out_later(start, tunnel):
    """The timeout is one of the first link, not of the session."""
    stage = tunnel(start(EchoTarget()).address)
    process = start(Stdio(stdio_command(stage, "--connect-timeout", "300ms", "--quiet")))
    echo_once(process)
    time.sleep(0.5)
    echo_once(process)
    stage.relay.refuse()
    stage.relay.cut()
    time.sleep(0.5)
    stage.relay.accept()
    echo_once(process)
    assert process.finish() == (0, b"", [])


# -- what cannot become better ----------------------------------------------------------------


def ends_at_once(process):
    begin = time.monotonic()
    code, output, said = process.finish(b"x")
    assert (code, output) == (1, b"")
    assert time.monotonic() - begin < patient(3)
    return said


def test_an_unknown_service_ends_it_at_once(stage, stdio):
    assert ends_at_once(stdio(service="nothing")) == \
        [f'backedpipd: 127.0.0.1:{stage.relay.port} has no service "nothing"']


def test_a_target_that_refuses_ends_it_at_once(tunnel, start):
    stage = tunnel(("127.0.0.1", free_port()))
    assert ends_at_once(start(Stdio(stdio_command(stage)))) == \
        [f'backedpipd: 127.0.0.1:{stage.relay.port} cannot reach the target of service "target"']


def test_a_service_that_is_not_allowed_ends_it_at_once(start, tunnel):
    target = start(EchoTarget()).address
    stage = tunnel({"one": target, "two": target}, server_settings={}, client_settings={},
                   allow={"laptop": ["one"]})
    assert ends_at_once(start(Stdio(stdio_command(stage, service="two")))) == \
        [f'backedpipd: 127.0.0.1:{stage.relay.port} does not let us use service "two"']


@pytest.mark.parametrize("quiet", [False, True])
def test_a_wrong_key_ends_it_at_once(stage, stdio, tmp_path, quiet):
    stranger = write_private(tmp_path / "stranger.key", keygen("stranger"))
    said = ends_at_once(stdio(*(["--quiet"] if quiet else []), key=stranger))
    assert len(said) == 1
    assert said[0].startswith(f"backedpipd: 127.0.0.1:{stage.relay.port} does not accept our identity or key")


def test_a_certificate_of_another_server_ends_it_at_once(start, tunnel):
    stage = tunnel(start(EchoTarget()).address, security="tls")
    said = ends_at_once(start(Stdio(stdio_command(stage, "--server-name", "other.example.org"))))
    assert len(said) == 1 and "other.example.org" in said[0], said


def test_a_key_file_that_is_missing_is_named(stage, tmp_path):
    done = run(*stdio_command(stage, key=tmp_path / "missing.key"))
    assert done.returncode == 1
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1 and "missing.key" in done.stderr


# -- usage ------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments, complaint", [
    (["--service", "s", "--insecure"], "stdio needs --peer HOST:PORT"),
    (["--peer", "h:1", "--insecure"], "stdio needs --service NAME"),
    (["--peer", "h:1", "--service", "s"], "stdio needs one of --key FILE"),
    (["--peer", "h:1", "--service", "s", "--insecure", "--key", "k"], "stdio needs one of --key FILE"),
    (["--peer", "h", "--service", "s", "--insecure"], '--peer: found "h"'),
    (["--peer", "h:1", "--service", "s", "--service", "t", "--insecure"], "stdio takes one --service"),
    (["--peer", "h:1", "--service", "s", "--insecure", "--listen", "127.0.0.1:1"], "stdio has no --listen"),
    (["--peer", "h:1", "--service", "s", "--insecure", "--control", "c"], "stdio has no --control"),
    (["--peer", "h:1", "--service", "s", "--insecure", "--config", "c"], "--config and --check do not go with stdio"),
    (["--peer", "h:1", "--service", "s", "--insecure", "--connect-timeout", "5"], '--connect-timeout: found "5"'),
    (["--peer", "h:1", "--service", "s", "--insecure", "--connect-timeout", "0s"], '--connect-timeout: found "0s"'),
], ids=lambda value: value if isinstance(value, str) else "")
def test_a_wrong_command_line_is_explained(arguments, complaint):
    done = run(binary("backedpipd"), "stdio", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("backedpipd: " + complaint), done.stderr


@pytest.mark.parametrize("option", [["--quiet"], ["--connect-timeout", "1s"]], ids=" ".join)
def test_its_options_go_with_no_other_command(option):
    done = run(binary("backedpipd"), "serve", "--listen", "127.0.0.1:0", "--service", "s=h:1", "--insecure", *option)
    assert done.returncode == 2
    assert done.stderr.startswith(f"backedpipd: {option[0]} goes with stdio only")


def test_help_explains_it():
    done = run(binary("backedpipd"), "stdio", "--help")
    assert done.returncode == 0
    assert "ProxyCommand" in done.stdout and "--connect-timeout" in done.stdout
