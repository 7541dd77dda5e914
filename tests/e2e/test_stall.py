"""A target that does not read: backpressure for its own session, nothing for anybody else."""

import select
import socket
import time

from support.streams import Pattern, echo_once, expect_end
from support.targets import EchoTarget, StalledTarget
from support.waiting import MIB, PATIENCE, patient, scaled, wait_until

STALL_SECONDS = scaled(20, least=5)
REPLAY_BUFFER, MAX_WINDOW, MAX_MEMORY = 16 * MIB, 4 * MIB, 48 * MIB
LIMITS = {"limits": {"replay_buffer": "16MiB", "max_window": "4MiB", "max_memory": "48MiB"}}
STALLED_SESSIONS = 2
# Code, libraries, TLS state and the allocator's own slack, beyond what an idle daemon holds.
OVERHEAD_BYTES = 24 * MIB
# What the kernels' socket buffers on the way may hold in addition to the daemons' own.
KERNEL_BYTES = 48 * MIB


def write_what_fits(sock, pattern, offset):
    """Writes without waiting; returns the new offset."""
    try:
        while True:
            offset += sock.send(pattern.at(offset, MIB))
    except BlockingIOError:
        return offset


def test_a_target_that_does_not_read_stalls_only_its_own_session(tunnel, start):
    stalled, echo = start(StalledTarget()), start(EchoTarget())
    stage = tunnel({"stalled": stalled.address, "echo": echo.address}, server_settings=LIMITS, client_settings=LIMITS)
    idle = {daemon: daemon.rss_bytes() for daemon in stage.daemons()}

    pattern = Pattern(1)
    writers = {stage.connect("stalled"): 0 for _ in range(STALLED_SESSIONS)}
    for sock in writers:
        sock.setblocking(False)
    slowest = 0.0
    with stage.connect("echo") as responsive:
        end = time.monotonic() + STALL_SECONDS
        while time.monotonic() < end:
            for sock, offset in writers.items():
                writers[sock] = write_what_fits(sock, pattern, offset)
            before = time.monotonic()
            echo_once(responsive, b"are you there?")
            slowest = max(slowest, time.monotonic() - before)
            select.select([], list(writers), [], 0.1)
        assert slowest < 1.0 * PATIENCE, f"an echo beside the stalled sessions took {slowest:.2f} s"

        for offset in writers.values():
            assert MIB < offset <= REPLAY_BUFFER + MAX_WINDOW + KERNEL_BYTES, f"{offset} bytes were accepted"
        for daemon in stage.daemons():
            if not daemon.is_instrumented():
                assert daemon.peak_rss_bytes() - idle[daemon] <= MAX_MEMORY + OVERHEAD_BYTES, daemon.name
            for session in daemon.control.sessions():
                assert session["buffered"] <= REPLAY_BUFFER + MAX_WINDOW, session

        stalled.release()
        for sock in writers:
            sock.settimeout(patient(30))
            sock.shutdown(socket.SHUT_WR)
            expect_end(sock)
            sock.close()
        stalled.wait_outcome(STALLED_SESSIONS)
        expected = sorted((offset, pattern.digest(offset)) for offset in writers.values())
        assert sorted(stalled.results) == expected
        echo_once(responsive)


def test_an_application_that_does_not_read_holds_back_only_its_target(tunnel, start):
    """The same in the other direction: the echo of a session that nobody reads must not hold up a second one."""
    echo = start(EchoTarget())
    stage = tunnel(echo.address, server_settings=LIMITS, client_settings=LIMITS)
    pattern = Pattern(2)
    with stage.connect() as deaf, stage.connect() as responsive:
        deaf.setblocking(False)
        offset, quiet_since = 0, time.monotonic()
        while time.monotonic() - quiet_since < 1.0:
            written = write_what_fits(deaf, pattern, offset)
            if written > offset:
                offset, quiet_since = written, time.monotonic()
            echo_once(responsive)
            select.select([], [deaf], [], 0.1)
        stage.relay.cut()
        echo_once(responsive, b"after the cut")
        deaf.settimeout(patient(20))
        received = 0
        while received < offset:
            data = deaf.recv(MIB)
            assert data, f"end of stream at {received} of {offset}"
            pattern.check(received, data)
            received += len(data)


def test_an_application_is_read_far_ahead_only_without_a_link(tunnel, start):
    """With a link the replay buffer holds what is on its way and little more; without one all of it may fill."""
    stalled = start(StalledTarget())
    limits = {"limits": {"replay_buffer": "32MiB", "max_window": "1MiB"}}
    stage = tunnel(stalled.address, server_settings=limits, client_settings=limits, tls=False)
    pattern = Pattern(1)
    with stage.connect() as sock:
        sock.setblocking(False)
        offset = 0

        def buffered():
            nonlocal offset
            offset = write_what_fits(sock, pattern, offset)
            return stage.only_session()["buffered"]

        wait_until(stage.client.control.sessions, 10, "the session to be there")
        # Written to until nothing moves any more.
        last = -1
        while last != offset:
            last = offset
            buffered()
            select.select([], [sock], [], scaled(2, least=1))
        assert MIB < buffered() < 4 * MIB
        stage.relay.refuse()
        stage.relay.cut()
        wait_until(lambda: buffered() > 24 * MIB, 20, "the replay buffer to be filled")
        stage.relay.accept()
        stalled.release()
        sock.settimeout(patient(30))
        sock.shutdown(socket.SHUT_WR)
        expect_end(sock)
    stalled.wait_outcome(1)
    assert stalled.results == [(offset, pattern.digest(offset))]
