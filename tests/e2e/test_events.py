"""What happened to a session: its history, the events on the control socket, and the log tell the same."""

import contextlib
import datetime
import json
import queue
import re
import subprocess
import threading

import pytest

from support.daemon import ControlError, binary, run
from support.streams import echo_once
from support.targets import EchoTarget
from support.waiting import PATIENCE, Deadline, patient, wait_until


@pytest.fixture
def stage(tunnel, start):
    return tunnel({"echo": start(EchoTarget()).address})


class Follower:
    """`backedpipctl events`, and the lines that it has printed."""

    def __init__(self, daemon, *options):
        self.process = subprocess.Popen([binary("backedpipctl"), "--socket", str(daemon.control.path), *options,
                                         "events"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._lines = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line)

    def next(self, seconds=10):
        return self._lines.get(timeout=patient(seconds))

    def close(self):
        self.process.kill()
        self.process.wait()
        self._thread.join()
        self.process.stdout.close()
        self.process.stderr.close()


@contextlib.contextmanager
def following(daemon, *options):
    follower = Follower(daemon, *options)
    try:
        yield follower
    finally:
        follower.close()


def subscribe(stack, daemon):
    """A raw subscription: returns the stream of lines behind the reply."""
    sock = stack.enter_context(daemon.control.connect())
    stream = stack.enter_context(sock.makefile("rwb"))
    stream.write(b'{"jsonrpc":"2.0","id":1,"method":"events"}\n')
    stream.flush()
    assert json.loads(stream.readline())["result"] == {"subscribed": True}
    return stream


def kinds_until(stream, last):
    events = []
    while not events or events[-1]["event"] != last:
        notification = json.loads(stream.readline())
        assert notification["method"] == "event" and "id" not in notification
        events.append(notification["params"])
    return events


def test_a_session_that_was_cut_is_told_on_both_sides(stage):
    with contextlib.ExitStack() as stack:
        client, server = subscribe(stack, stage.client), subscribe(stack, stage.server)
        with stage.connect() as sock:
            echo_once(sock)
            stage.relay.refuse()
            stage.relay.cut()
            wait_until(lambda: stage.only_session()["last_error"], 10, "a failed attempt")
            stage.relay.accept()
            echo_once(sock, b"again")
            session = stage.client.control.session(stage.only_session()["id"])
            of_server = stage.server.control.session(session["id"])
            text = run(binary("backedpipctl"), "--socket", stage.client.control.path, "session", session["id"]).stdout
            assert session["history"][0]["detail"] in text
        seen = {"client": kinds_until(client, "close"), "server": kinds_until(server, "close")}

    assert [event["event"] for event in seen["client"] if not event["event"].startswith("peer")] == [
        "open", "attach", "detach", "attach", "close"]
    assert [event["event"] for event in seen["server"]] == ["open", "attach", "detach", "attach", "close"]
    for role, events in seen.items():
        about = [event for event in events if not event["event"].startswith("peer")]
        assert {event["session"] for event in about} == {session["id"]}
        assert {event["role"] for event in about} == {role}
        opened, first, lost, second, closed = about
        told = session if role == "client" else of_server
        for event in about:
            for name in ("tunnel", "service", "identity", "application"):
                assert event[name] == told[name] != ("" if name != "tunnel" or role == "client" else None), (event, name)
        assert opened["link"] is opened["duration_s"] is None and first["link"] and second["link"] == told["link"]
        assert closed["duration_s"] >= lost["duration_s"] + second["duration_s"]
        assert (first["reason"], first["duration_s"], first["generation"]) == ("open", None, 1)
        assert (second["reason"], second["generation"]) == ("resume", session["generation"])
        assert lost["generation"] == 1 and lost["reason"] in ("closed", "reset") and lost["duration_s"] >= 0
        assert second["duration_s"] >= 0 and closed["reason"] == "closed"
        assert closed["bytes_in"] == closed["bytes_out"] > 0 and closed["links"] == 2

    for told, events in ((session, seen["client"]), (of_server, seen["server"])):
        first, second = told["history"]
        detach = next(event for event in events if event["event"] == "detach")
        assert (first["generation"], first["away_s"]) == (1, None)
        assert (first["reason"], first["detail"]) == (detach["reason"], detach["detail"])
        assert first["attached_at"] <= first["detached_at"] <= second["attached_at"]
        assert second["generation"] == told["generation"] and second["detached_at"] is None
        assert second["away_s"] >= 0 and second["link"] == told["link"]


def test_each_event_is_one_line_of_the_log(stage):
    with contextlib.ExitStack() as stack:
        client = subscribe(stack, stage.client)
        with stage.connect() as sock:
            echo_once(sock)
            stage.relay.cut()
            echo_once(sock, b"again")
        events = kinds_until(client, "close")
    for event in events:
        assert len(stage.client.log_lines(re.escape(event["text"]))) == 1, event
    for event in events[1:]:
        assert event["peer"] in event["text"] or event["event"] == "open"


def test_a_link_that_is_replaced_while_it_lives_is_a_takeover(tunnel, start):
    # Suspicion comes soon, death late: the silent link is replaced, on the server as well.
    suspicious = {"liveness": {"ping": f"{PATIENCE}s", "suspect": f"{500 * PATIENCE}ms", "dead": "60s"}}
    stage = tunnel({"echo": start(EchoTarget()).address}, client_settings=suspicious, server_settings=suspicious)
    with contextlib.ExitStack() as stack:
        client, server = subscribe(stack, stage.client), subscribe(stack, stage.server)
        with stage.connect() as sock:
            echo_once(sock)
            stage.relay.strand()
            sock.sendall(b"x")
            taken = [kinds_until(stream, "takeover") for stream in (client, server)]
            assert sock.recv(1) == b"x"
            histories = [daemon.control.session(stage.only_session()["id"])["history"]
                         for daemon in stage.daemons()]
    for events in taken:
        lost, taken_over = events[-2:]
        assert (lost["event"], lost["reason"]) == ("detach", "takeover")
        assert taken_over["generation"] > lost["generation"] == 1
    for history in histories:
        assert [link["reason"] for link in history] == ["takeover", None]


def test_a_peer_that_goes_away_and_comes_back_is_told_once(stage):
    with contextlib.ExitStack() as stack:
        stream = subscribe(stack, stage.client)
        with stage.connect() as sock:
            echo_once(sock)
            stage.relay.refuse()
            stage.relay.cut()
            down = kinds_until(stream, "peer_down")[-1]
            stage.relay.accept()
            up = kinds_until(stream, "peer_up")[-1]
            echo_once(sock)
    assert down["peer"] == up["peer"] != "" and "session" not in down
    assert down["detail"] and down["reason"] == "unreachable" and down["duration_s"] is None
    between = datetime.datetime.fromisoformat(up["time"][:-1]) - datetime.datetime.fromisoformat(down["time"][:-1])
    assert abs(up["duration_s"] - between.total_seconds()) < 0.1 and up["detail"] is up["reason"] is None


def test_the_history_keeps_the_latest_links(stage):
    with stage.connect() as sock:
        echo_once(sock)
        session_id = stage.only_session()["id"]
        for generation in range(2, 36):
            stage.client.control.reconnect(session_id)
            wait_until(lambda g=generation: stage.only_session()["state"] == "connected"
                       and stage.only_session()["generation"] == g, 10, f"generation {generation}")
        for daemon in stage.daemons():
            history = daemon.control.session(session_id)["history"]
            assert [link["generation"] for link in history] == list(range(4, 36))
        echo_once(sock)


def test_the_tool_prints_a_line_for_each_event(stage):
    # Sessions are opened until the first is seen: the tool has no way to say that it has subscribed.
    for options in ([], ["--json"]):
        with following(stage.client, *options) as follower:
            deadline = Deadline(10)
            line = None
            while line is None:
                assert not deadline.passed()
                with stage.connect() as sock:
                    echo_once(sock)
                stage.wait_no_sessions()
                with contextlib.suppress(queue.Empty):
                    line = follower.next(0.1)
            if options:
                event = json.loads(line)
                assert event["event"] in ("open", "attach", "close") and event["time"] and event["text"]
            else:
                assert re.match(r"\d{4}-\d\d-\d\dT\S+Z session [0-9a-f]{32}[ :]", line), line


def test_the_tool_ends_when_the_daemon_does(stage):
    follower = Follower(stage.client)
    try:
        deadline = Deadline(10)
        with contextlib.suppress(queue.Empty):
            while not deadline.passed():
                with stage.connect() as sock:
                    echo_once(sock)
                follower.next(0.2)
                break
        stage.client.stop()
        assert follower.process.wait(patient(5)) == 3
        assert "closed the connection" in follower.process.stderr.read()
    finally:
        follower.close()


def test_a_subscriber_that_does_not_read_loses_events_and_is_told_how_many(stage):
    with contextlib.ExitStack() as stack:
        stream = subscribe(stack, stage.client)
        with stage.connect() as sock:
            echo_once(sock)
            session_id = stage.only_session()["id"]
            deadline = Deadline(60)
            generation = 1
            # Two events for each; what the socket and the daemon hold for a deaf reader comes to a thousand.
            while generation < 800:
                assert not deadline.passed(), generation
                stage.client.control.reconnect(session_id)
                generation += 1
                wait_until(lambda g=generation: stage.only_session()["state"] == "connected"
                           and stage.only_session()["generation"] >= g, 10, f"generation {generation}", interval=0)
            if not stage.client.is_instrumented():
                assert stage.client.rss_bytes() < 64 << 20
            got, dropped = 0, None
            while dropped is None:
                notification = json.loads(stream.readline())
                if notification["method"] == "dropped":
                    dropped = notification["params"]["events"]
                else:
                    got += 1
            assert dropped > 0 and got + dropped == 2 + 2 * (generation - 1)
            echo_once(sock)
        # And what comes later arrives again.
        assert kinds_until(stream, "close")[-1]["session"] == session_id


def test_requests_are_answered_between_events(stage):
    with contextlib.ExitStack() as stack:
        stream = subscribe(stack, stage.client)
        with stage.connect() as sock:
            echo_once(sock)
            stream.write(b'{"jsonrpc":"2.0","id":"x","method":"status"}\n')
            stream.flush()
            while "id" not in (message := json.loads(stream.readline())):
                assert message["method"] == "event"
            assert message["id"] == "x" and message["result"]["pid"] == stage.client.pid


def test_the_log_level_changes_at_run_time(stage):
    def ctl(*arguments):
        return run(binary("backedpipctl"), "--socket", stage.client.control.path, "log-level", *arguments)

    assert ctl().stdout == "info\n"
    mark = stage.client.log_mark()
    assert ctl("error").stdout == "error\n" and ctl().stdout == "error\n"
    with stage.connect() as sock:
        echo_once(sock)
    stage.wait_no_sessions()
    assert not stage.client.log_lines("session", mark)
    assert ctl("trace").stdout == "trace\n"
    with stage.connect() as sock:
        echo_once(sock)
    stage.wait_no_sessions()
    assert stage.client.log_lines("session", mark)
    assert ctl("loud").returncode == 2
    with pytest.raises(ControlError) as wrong:
        stage.client.control.call("log_level", level="loud")
    assert wrong.value.code == -32602 and stage.client.control.call("log_level") == {"level": "trace"}


def test_no_secret_is_in_the_log_at_any_level(tunnel, start):
    settings = {"log": {"level": "trace", "format": "json"}}
    stage = tunnel({"echo": start(EchoTarget()).address}, client_settings=settings, server_settings=settings)
    secret = b"correct horse battery staple"
    with stage.connect() as sock:
        echo_once(sock, secret)
        # Both have noticed before the client is back.
        stage.relay.refuse()
        stage.relay.cut()
        for daemon in stage.daemons():
            wait_until(lambda d=daemon: d.control.sessions()[0]["state"] != "connected", 10, "the link to be lost")
        stage.relay.accept()
        echo_once(sock, secret)
    stage.wait_no_sessions()
    for daemon in stage.daemons():
        lines = daemon.log().splitlines()
        assert len(lines) > 5
        for line in lines:
            entry = json.loads(line)
            assert {"time", "level", "message"} <= set(entry)
            assert stage.key.lower() not in line.lower() and secret.decode() not in line
        told = [json.loads(line)["event"] for line in lines if '"event"' in line]
        told = [event for event in told if "session" in event]  # and not of the peer
        assert [event["event"] for event in told] == ["open", "attach", "detach", "attach", "close"]
        assert told[1]["generation"] == 1 and told[3]["duration_s"] >= 0
