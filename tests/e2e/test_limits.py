"""At the limits: connections, sessions, memory and file descriptors run out, and nobody who is there loses anything."""

import contextlib
import os
import resource
import socket
import threading
import time

import pytest

from support.streams import Background, Pattern, echo_once, expect_reset_of, receive_pattern, send_pattern
from support.targets import EchoTarget, Target
from support.waiting import KIB, MIB, PATIENCE, patient, scaled, wait_until

MAX_HANDSHAKES = 64
FLOOD = 300
FLOOD_ADDRESS = "127.0.0.2"

STALLED = scaled(40, least=20)
# More than the kernels' buffers on the way can take.
STALLED_BYTES = 12 * MIB
MAX_MEMORY = 32 * MIB
# Code, TLS state, what was read and found no room, and the allocator's own slack.
OVERHEAD_BYTES = 24 * MIB


# --- handshakes


class Flood:
    """Keeps `count` connections open that never say anything, always new ones, from one address."""

    def __init__(self, address, count):
        self._address, self._count = address, count
        self._sockets = []
        self.opened = 0
        self._stopped = threading.Event()
        self._thread = Background(self._run)

    def _run(self):
        while not self._stopped.wait(0.001):
            sock = socket.create_connection(self._address, timeout=5, source_address=(FLOOD_ADDRESS, 0))
            self._sockets.append(sock)
            self.opened += 1
            if len(self._sockets) > self._count:
                self._sockets.pop(0).close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._stopped.set()
        self._thread.result(10)
        for sock in self._sockets:
            sock.close()


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_a_flood_of_silent_connections_keeps_nobody_else_from_resuming(tunnel, start, tls):
    echo = start(EchoTarget())
    stage = tunnel(echo.address, tls=tls, server_settings={"limits": {"max_handshakes": MAX_HANDSHAKES}})
    with stage.connect() as app:
        echo_once(app)
        began, mark = time.monotonic(), stage.server.log_mark()
        with Flood(stage.server_address, FLOOD) as flood:
            wait_until(lambda: flood.opened > FLOOD, 10, "the flood to be at its height")
            # One that another worker is told to let go counts until it has.
            wait_until(lambda: stage.server.control.status()["listeners"][0]["handshakes"] == MAX_HANDSHAKES, 10,
                       "the limit to be kept")
            for _ in range(5):
                stage.relay.cut()
                before = time.monotonic()
                echo_once(app, b"after the cut")
                assert time.monotonic() - before < 1.0 * PATIENCE
            with stage.connect() as other:
                echo_once(other)
        assert flood.opened > FLOOD
    stage.wait_no_sessions()
    # The log is not flooded in turn: one line at once, and one a second.
    lines = stage.server.log_lines("warning", since=mark)
    assert lines and all("overloaded" in line for line in lines)
    assert len(lines) <= 2 + (time.monotonic() - began)


# --- sessions of one identity


def test_an_identity_gets_as_many_sessions_as_it_may_have_and_its_lost_ones_make_room(tunnel, start):
    echo = start(EchoTarget())
    stage = tunnel(echo.address, server_settings={"limits": {"max_sessions_per_identity": 2}}, client_settings={})
    with stage.connect() as first, stage.connect() as second:
        echo_once(first)
        echo_once(second)
        expect_reset_of(stage.connect)
        assert stage.client.log_lines("session_limit")
        echo_once(first)
        echo_once(second)

        # A client that crashed leaves its sessions behind.
        stage.client.kill()
        wait_until(lambda: all(s["state"] == "disconnected" for s in stage.server.control.sessions()), 10,
                   "the server to notice")
        left = {session["id"] for session in stage.server.control.sessions()}
        stage.start_client()
        with stage.connect() as fourth:
            echo_once(fourth)
            now = {session["id"] for session in stage.server.control.sessions()}
            assert len(now) == 2 and len(now & left) == 1


# --- memory


def stand_off(sock, pattern_out, pattern_in, total, go):
    """Writes everything, and reads nothing before `go`."""
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, 64 * KIB)
    writer = Background(send_and_end, sock, pattern_out, total)
    go.wait()
    receive_pattern(sock, pattern_in, total)
    assert sock.recv(1) == b"", "more bytes than were written"
    writer.result(patient(60))


def send_and_end(sock, pattern, total):
    send_pattern(sock, pattern, total)
    sock.shutdown(socket.SHUT_WR)


class StandOffTarget(Target):
    def __init__(self, pattern_out, pattern_in, total):
        self.go = threading.Event()
        self._arguments = pattern_out, pattern_in, total, self.go
        super().__init__()

    def serve(self, sock):
        stand_off(sock, *self._arguments)

    def close(self):
        self.go.set()
        super().close()


def held_bytes(daemon):
    totals = daemon.control.status()["totals"]
    assert totals["memory_limit"] <= MAX_MEMORY
    return totals["segments_in_use"] * totals["segment_bytes"]


def wait_standstill(daemons):
    """Until nothing has moved for a second."""
    seen, since = None, time.monotonic()

    def still():
        nonlocal seen, since
        now = [(s["id"], s["bytes_in"], s["bytes_out"], s["buffered"]) for d in daemons for s in d.control.sessions()]
        now.sort()
        if now != seen:
            seen, since = now, time.monotonic()
        return time.monotonic() - since > 1.0

    wait_until(still, 30, "everything to stand still", interval=0.1)


def test_sessions_that_compete_for_memory_wait_and_then_all_get_through(tunnel, start):
    near, far = Pattern(1), Pattern(2)
    target, echo = start(StandOffTarget(far, near, STALLED_BYTES)), start(EchoTarget())
    limits = {"limits": {"max_memory": f"{MAX_MEMORY // MIB}MiB"}}
    stage = tunnel({"stalled": target.address, "echo": echo.address}, server_settings=limits, client_settings=limits)
    idle = {daemon: daemon.rss_bytes() for daemon in stage.daemons()}

    go = threading.Event()
    with contextlib.ExitStack() as sockets:
        sockets.callback(go.set)
        apps = []
        for _ in range(STALLED):
            sock = sockets.enter_context(stage.connect("stalled", timeout=60))
            apps.append(Background(stand_off, sock, near, far, STALLED_BYTES, go))
        target.wait_accepted(STALLED)
        for daemon in stage.daemons():
            wait_until(lambda d=daemon: held_bytes(d) > MAX_MEMORY / 2, 30, f"{daemon.name} to be short of memory")
        wait_standstill(stage.daemons())
        for daemon in stage.daemons():
            assert not daemon.log_lines(r": (detached|ended):"), daemon.log()[-2000:]
        # What is left is little, and enough for somebody who comes now.
        with stage.connect("echo") as late:
            for _ in range(10):
                echo_once(late, bytes(64 * KIB))

        go.set()
        target.go.set()
        for app in apps:
            app.result(patient(60))
    target.wait_outcome(STALLED, 30)
    assert set(target.outcomes) == {"ended"}
    stage.wait_no_sessions()
    for daemon in stage.daemons():
        assert held_bytes(daemon) == 0
        if not daemon.is_instrumented():
            assert daemon.peak_rss_bytes() - idle[daemon] <= MAX_MEMORY + OVERHEAD_BYTES, daemon.name


# --- file descriptors


@contextlib.contextmanager
def descriptors_left(daemon, count):
    """The daemon can open `count` more files, and no others."""
    _, hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    used = {int(name) for name in os.listdir(f"/proc/{daemon.pid}/fd")}
    limit = next(n for n in range(max(used) + 2 + count) if n - len(used & set(range(n))) == count)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (hard, hard))


def failing_lines(daemon, since):
    return daemon.log_lines("cannot accept", since)


@pytest.mark.parametrize("who", ["client", "server"])
def test_without_file_descriptors_accepting_pauses_and_nobody_is_harmed(tunnel, start, who):
    echo = start(EchoTarget())
    stage = tunnel(echo.address)
    daemon = getattr(stage, who)
    with contextlib.ExitStack() as sockets:
        there = [sockets.enter_context(stage.connect()) for _ in range(3)]
        for sock in there:
            echo_once(sock)
        mark = daemon.log_mark()
        with descriptors_left(daemon, 0):
            waiting = [sockets.enter_context(stage.connect()) for _ in range(5)]
            for sock in waiting:
                sock.sendall(b"whenever you can")
            # The control socket cannot be accepted either: another listener, and the same trouble.
            sockets.enter_context(daemon.control.connect())
            daemon.wait_log("cannot accept", mark)
            before = time.monotonic()
            while time.monotonic() - before < 1.5:  # many tries later
                for sock in there:
                    echo_once(sock)
            assert len(failing_lines(daemon, mark)) == 1
        for sock in waiting:
            sock.settimeout(patient(5))
            assert sock.recv(100) == b"whenever you can"
        for sock in there:
            echo_once(sock)
        daemon.wait_log("accept again", mark)
        assert len(failing_lines(daemon, mark)) == 1
        assert all(session["reconnects"] == 0 for session in stage.client.control.sessions()[:3])


@pytest.mark.parametrize("who", ["client", "server"])
def test_what_cannot_be_dialled_for_want_of_descriptors_is_dialled_again(tunnel, start, who):
    """One descriptor for the connection that comes in, none for the one that goes out."""
    echo = start(EchoTarget())
    stage = tunnel(echo.address)
    daemon = getattr(stage, who)
    if daemon.is_instrumented():
        pytest.skip("without descriptors UndefinedBehaviorSanitizer cannot read memory, and calls all of it invalid")
    with stage.connect() as there:
        echo_once(there)
        mark = daemon.log_mark()
        with descriptors_left(daemon, 1):
            with contextlib.ExitStack() as sockets:
                late = sockets.enter_context(stage.connect())
                late.sendall(b"whenever you can")
                daemon.wait_log(r"opened (from|by)", mark)
                daemon.wait_log("Too many open files", mark)
                echo_once(there)
                assert not daemon.log_lines("ended", mark)
                sockets.pop_all()
        late.settimeout(patient(5))
        assert late.recv(100) == b"whenever you can"
        late.close()
        echo_once(there)
