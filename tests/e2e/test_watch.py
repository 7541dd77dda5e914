"""`backedpipctl watch` on real terminals of several sizes and types, with daemons that come and go behind it."""

import contextlib
import os
import pty
import re
import shlex
import signal
import subprocess

import pytest

from support.daemon import binary
from support.streams import echo_once
from support.targets import EchoTarget
from support.terminal import Terminal

LONG_NAME = "database-of-the-branch-office-in-the-far-north"
NOT_REACHABLE = "daemon not reachable, trying again: "
COLOUR = re.compile(r"\x1b\[(?:\d+;)*3[0-7]m")


@pytest.fixture
def stage(tunnel, start):
    address = start(EchoTarget()).address
    return tunnel({"echo": address, LONG_NAME: address}, client_settings={})


@pytest.fixture
def sessions(stage):
    """Three, of which the last is to the service with the long name."""
    with contextlib.ExitStack() as stack:
        socks = []
        for service in ("echo", "echo", LONG_NAME):
            socks.append(stack.enter_context(stage.connect(service)))
            echo_once(socks[-1], b"x" * 1024)
        yield socks


@pytest.fixture
def watch(start, tmp_path):
    """Runs the command on a terminal of its own."""
    count = 0

    def make(daemon, *options, before="", after="", **terminal):
        nonlocal count
        count += 1
        directory = tmp_path / f"terminal{count}"
        directory.mkdir()
        pid = directory / "pid"
        command = shlex.join([binary("backedpipctl"), "--socket", daemon.control.path, "watch", "--interval", "0.2",
                              *options])
        command = shlex.join(["sh", "-c", f"echo $$ >{shlex.quote(str(pid))}; exec {command}"])
        made = start(Terminal(directory, f"{before} {command}; {after} echo status $?", **terminal))
        made.pid = pid
        return made

    return make


def masked(text):
    """The screen without what differs from run to run, but every column in its place."""
    text = re.sub(r"backedpipd \S+, pid \d+, up \S+", "backedpipd VERSION, pid PID, up TIME", text)
    text = re.sub(r"^[0-9a-f]{8}(?= )", "ID......", text, flags=re.MULTILINE)
    text = re.sub(r"session [0-9a-f]{32}", "session ID", text)
    text = re.sub(r"127\.0\.0\.1:(\d+)", lambda found: "127.0.0.1:" + "#" * len(found[1]), text)
    text = re.sub(r" +\d+s\b", lambda found: "0s".rjust(len(found[0])), text)
    text = re.sub(r" +[\d.]+ms\b", lambda found: "0ms".rjust(len(found[0])), text)
    return "\n".join(line.rstrip() for line in text.split("\n"))


def rates(text):
    """IN/S and OUT/S of each session, as they stand in the table."""
    lines = text.split("\n")
    head = next((line for line in lines if line.startswith("ID ")), "")
    if "OUT/S" not in head:
        return []
    begin, end = head.index("IN/S") - 1, head.index("OUT/S") + 5
    return [tuple(line[begin:end].split()) for line in lines if re.match(r"[0-9a-f]{8} ", line)]


def is_quiet(text):
    """Every rate was measured, and nothing is on its way: then screens are the same from run to run."""
    return "0 B/s in, 0 B/s out" in text and set(rates(text)) == {("0", "0")}


NARROW = """\
backedpipd VERSION, pid PID, up TIME
sessions   3 connected, 0 disconnected, 0 reconnecting; 3 opened so far
traffic    0 B/s in, 0 B/s out; so far 3 KiB in, 3 KiB out
buffers    0 B of 2 GiB; 0 B replayed

PEER  STATE   SESSIONS WAITING  NEXT TRY  LAST ERROR
far   up             3       0

3 sessions, by age
ID       STATE           FOR SERVICE  PEER          GEN  IN/S OUT/S UNACK    RTT
ID...... connected        0s echo     far             1     0     0     0    0ms
ID...... connected        0s echo     far             1     0     0     0    0ms
ID...... connected        0s databas… far             1     0     0     0    0ms





session ID, client, generation 1, identity laptop
tunnel echo, service echo, peer far, application 127.0.0.1:#####
link 127.0.0.1:#####, 0 reconnects, 1 KiB in, 1 KiB out, 0 B buffered
opened 0s ago, no error
q quit  arrows select  r reverse  sort by:  a age  f for  s state  t tunnel
v service  p peer  i in/s  o out/s  u unacked  b buffered  l rtt  g generation
"""
WIDE = """\
backedpipd VERSION, pid PID, up TIME
sessions   3 connected, 0 disconnected, 0 reconnecting; 3 opened so far
traffic    0 B/s in, 0 B/s out; so far 3 KiB in, 3 KiB out
buffers    0 B of 2 GiB; 0 B replayed

PEER  STATE   SESSIONS WAITING  NEXT TRY  LAST ERROR
far   up             3       0

3 sessions, by age
ID       STATE           FOR     AGE TUNNEL                     SERVICE                    PEER         IDENTITY  GEN \
RECONN  IN/S OUT/S    IN   OUT UNACK BUFFER    RTT APPLICATION     LINK
ID...... connected        0s      0s echo                       echo                       far          laptop      1 \
     0     0     0    1K    1K     0      0    0ms 127.0.0.1:##### 127.0.0.1:#####
ID...... connected        0s      0s echo                       echo                       far          laptop      1 \
     0     0     0    1K    1K     0      0    0ms 127.0.0.1:##### 127.0.0.1:#####
ID...... connected        0s      0s database-of-the-branch-of… database-of-the-branch-of… far          laptop      1 \
     0     0     0    1K    1K     0      0    0ms 127.0.0.1:##### 127.0.0.1:#####
""" + "\n" * 36 + """\
q quit  arrows select  r reverse  sort by:  a age  f for  s state  t tunnel  v service  p peer  i in/s  o out/s  \
u unacked  b buffered  l rtt  g generation"""


def test_the_screen_of_a_plain_terminal(stage, sessions, watch):
    terminal = watch(stage.client)
    terminal.wait_screen(is_quiet, 10, "the rates")
    terminal.type("Down")
    terminal.wait_text("generation 1, identity")
    assert masked(terminal.wait_screen(is_quiet, 10, "the rates")) == NARROW.rstrip("\n")


def test_the_screen_of_a_large_terminal(stage, sessions, watch):
    terminal = watch(stage.client, columns=200, rows=50)
    text = masked(terminal.wait_screen(is_quiet, 10, "the rates"))
    assert text == WIDE


@pytest.mark.parametrize("terminal, environment, coloured", [
    ("tmux-256color", {}, True), ("xterm", {}, True), ("xterm", {"NO_COLOR": ""}, True),
    ("tmux-256color", {"NO_COLOR": "1"}, False), ("vt220", {}, False), ("xterm-mono", {}, False)])
def test_colours_are_for_those_who_have_and_want_them(stage, sessions, watch, terminal, environment, coloured):
    shown = watch(stage.client, term=terminal, environment=environment)
    text = shown.wait_screen(is_quiet, 10, "the rates")
    assert masked(text).startswith(NARROW.split("session ID")[0].rstrip("\n"))
    styled = "\n".join(shown.screen(styles=True))
    assert bool(COLOUR.search(styled)) == coloured, styled
    # Titles stand out without colours, too.
    assert re.search(r"\x1b\[(\d+;)*7m(\x1b\[[\d;]+m)*ID ", styled), styled


def test_a_terminal_that_does_not_speak_utf8_gets_ascii(stage, sessions, watch):
    terminal = watch(stage.client, environment={"LC_ALL": "C"})
    text = masked(terminal.wait_screen(is_quiet, 10, "the rates"))
    assert text == NARROW.split("session ID")[0].replace("…", "~").rstrip("\n") + "\n" * 10 + "\n".join(
        NARROW.split("\n")[-3:-1])
    assert text.isascii()


def test_the_screen_follows_the_size_of_the_terminal(stage, sessions, watch):
    terminal = watch(stage.client)
    terminal.wait_screen(is_quiet, 10, "the rates")
    terminal.resize(200, 50)
    text = terminal.wait_screen(lambda text: "APPLICATION" in text and is_quiet(text), 10, "the wide table")
    assert masked(text) == WIDE
    terminal.resize(80, 24)
    text = terminal.wait_screen(lambda text: "APPLICATION" not in text and is_quiet(text), 10, "the narrow table")
    assert masked(text).startswith(NARROW.split("session ID")[0].rstrip("\n"))
    terminal.resize(40, 6)
    text = terminal.wait_screen(lambda text: "UNACK" not in text and "connected" in text, 10, "the smallest table")
    assert masked(text).split("\n")[0] == "backedpipd VERSION, pid PID, up TIME"
    assert re.sub(r"(?m)^[0-9a-f]{8}", "ID......", text).split("\n")[1:] == [
        "", "ID       STATE        SERVICE       IN/S", "ID...... connected    echo             0",
        "ID...... connected    echo             0", "ID...... connected    database-of…     0"]


def table(text):
    """The sessions' lines, by the beginning of their id, in the order on the screen."""
    return {line[:8]: line for line in text.split("\n") if re.match(r"[0-9a-f]{8} ", line)}


def test_a_cut_is_seen_as_it_happens(stage, sessions, watch):
    of_client, of_server = watch(stage.client), watch(stage.server)
    of_client.wait_text("3 connected, 0 disconnected, 0 reconnecting")
    of_server.wait_text("3 connected, 0 disconnected, 0 reconnecting")
    stage.relay.refuse()
    stage.relay.cut()
    text = of_client.wait_screen(lambda text: "0 connected, 0 disconnected, 3 reconnecting" in text
                                 and re.search(r"far   down +3 +3  (in \ds|now|under way) +cannot connect to 127", text),
                                 10, "the loss")
    assert len(table(text)) == 3 and all(" reconnecting " in line for line in table(text).values())
    text = of_server.wait_text("0 connected, 3 disconnected, 0 reconnecting")
    assert all(" disconnected " in line for line in table(text).values())
    stage.relay.accept()
    for terminal in (of_client, of_server):
        text = terminal.wait_text("3 connected, 0 disconnected, 0 reconnecting")
        told = {session["id"][:8]: session["generation"] for session in stage.client.control.sessions()}
        shown = {session_id: int(re.search(r" (?:far|127\S+) +(\d+) ", line)[1])
                 for session_id, line in table(text).items()}
        assert shown == told and min(told.values()) > 1
    assert re.search(r"far   up +3 +0\n", of_client.wait_text("far   up"))


def test_rates_are_those_of_the_traffic(stage, sessions, watch):
    terminal = watch(stage.client)
    terminal.wait_screen(is_quiet, 10, "the rates")
    busy = next(session["id"][:8] for session in stage.client.control.sessions() if session["service"] == LONG_NAME)

    def moves(text):
        echo_once(sessions[2], b"x" * 65536)
        return busy in text and re.search(r" \d+(\.\d)?[KM] +\d+(\.\d)?[KM] +\S+ +\S+$", table(text)[busy])

    # Waiting makes the traffic; the others have none.
    text = terminal.wait_screen(moves, 10, "the traffic")
    assert sorted(rates(text))[:2] == [("0", "0")] * 2
    assert re.search(r"traffic    [\d.]+ [KM]iB/s in, [\d.]+ [KM]iB/s out; ", text), text
    terminal.wait_screen(is_quiet, 10, "the traffic to end")


def test_keys_sort_and_select(stage, sessions, watch):
    ids = [session["id"] for session in stage.client.control.sessions()]
    by_id = sorted(session_id[:8] for session_id in ids)
    terminal = watch(stage.client, "--sort", "id")
    terminal.wait_screen(lambda text: "by id\n" in text and list(table(text)) == by_id, 10, "the order of the ids")
    terminal.type("r")
    terminal.wait_screen(lambda text: "by id, descending\n" in text and list(table(text)) == by_id[::-1], 10,
                         "the other order")
    terminal.type("v")
    text = terminal.wait_text("by service\n")
    first = list(table(text))[0]
    assert "databas" in table(text)[first]
    terminal.type("Down", "Down")
    second = list(table(text))[1]
    text = terminal.wait_text(f"session {second}")
    assert [line for line in terminal.screen(styles=True) if re.search(r"\[(\d+;)*7m(\x1b\[[\d;]+m)*" + second, line)]
    terminal.type("v")  # reversed, and still the same one
    text = terminal.wait_text("by service, descending\n")
    assert f"session {second}" in text and "databas" in list(table(text).values())[2]
    terminal.type("End")
    terminal.wait_text(f"session {first}")
    terminal.type("Home")
    terminal.wait_screen(lambda text: f"session {first}" not in text, 10, "the first session")


def test_what_is_shown_can_be_chosen(stage, sessions, watch):
    terminal = watch(stage.client, "--service", "echo")
    text = terminal.wait_text("2 sessions, by age\n")
    assert len(table(text)) == 2 and "databas" not in text


def test_a_daemon_that_goes_away_comes_back_on_the_screen(stage, sessions, watch):
    terminal = watch(stage.client)
    terminal.wait_text("3 sessions, by age")
    pid = stage.client.pid
    stage.client.stop()
    text = terminal.wait_text(NOT_REACHABLE)
    assert text.startswith((NOT_REACHABLE + "No such file or directory\n", NOT_REACHABLE + "Connection refused\n",
                            NOT_REACHABLE + "the connection was closed without an answer\n")), text
    stage.start_client()
    text = terminal.wait_text("no sessions")
    assert text.startswith(f"backedpipd 0.1.0, pid {stage.client.pid}, up 0s\n") and stage.client.pid != pid, text
    with stage.connect() as sock:
        echo_once(sock)
        terminal.wait_text("1 session, by age")


def test_a_daemon_that_does_not_answer_holds_up_no_key(stage, sessions, watch):
    terminal = watch(stage.client)
    terminal.wait_text("3 sessions, by age")
    stage.client.process.send_signal(signal.SIGSTOP)
    try:
        terminal.type("u")
        terminal.wait_text("3 sessions, by unacked, descending", 2)
        text = terminal.wait_text(NOT_REACHABLE + "no answer within 5 s", 15)
        assert len(table(text)) == 3
        terminal.type("q")
        terminal.wait_text("status 0", 2)
    finally:
        stage.client.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("end", ["q", "C-c", "SIGTERM"])
def test_its_end_leaves_the_terminal_as_it_was(stage, sessions, watch, tmp_path, end):
    before, after = tmp_path / "before", tmp_path / "after"
    terminal = watch(stage.client, before=f"trap : INT; stty -g >{before}; echo what was there;",
                     after=f"status=$?; stty -g >{after}; (exit $status);")
    terminal.wait_text("3 sessions, by age")
    assert "what was there" not in "\n".join(terminal.screen())
    if end == "SIGTERM":
        os.kill(int(terminal.pid.read_text(encoding="utf-8")), signal.SIGTERM)
    else:
        terminal.type(end)
    text = terminal.wait_text("status 0")
    assert text.split("\n")[:2] == ["what was there", "status 0"]
    assert before.read_text(encoding="utf-8") == after.read_text(encoding="utf-8") != ""


@pytest.mark.parametrize("not_a_terminal", ["stdin", "stdout"])
def test_without_a_terminal_it_says_so(stage, not_a_terminal):
    near, far = pty.openpty()
    try:
        streams = {"stdin": far, "stdout": far} | {not_a_terminal: subprocess.DEVNULL}
        done = subprocess.run([binary("backedpipctl"), "--socket", stage.client.control.path, "watch"], **streams,
                              stderr=subprocess.PIPE, text=True, timeout=20, check=False)
    finally:
        os.close(near)
        os.close(far)
    assert done.returncode == 2 and "'watch' needs a terminal" in done.stderr, done


@pytest.mark.parametrize("term, problem", [("dumb", "cannot draw on a terminal of type 'dumb'"),
                                           ("no-such", "does not know the terminal 'no-such'")])
def test_a_terminal_without_a_cursor_is_refused(stage, watch, term, problem):
    terminal = watch(stage.client, before=f"TERM={term}; export TERM;")
    text = terminal.wait_text("status 2")
    assert problem in text.replace("\n", ""), text


def test_a_daemon_that_is_not_there_at_the_start_is_an_error(stage, watch):
    stage.client.stop()
    terminal = watch(stage.client)
    text = terminal.wait_text("status 3")
    assert "cannot reach backedpipd at" in text and "Is backedpipd running" in text.replace("\n", "")
