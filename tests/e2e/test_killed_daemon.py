"""A daemon that is gone, in whatever way, never ends a connection cleanly in the middle of its data."""

import contextlib
import resource
import signal
import socket

import pytest

from support.streams import (Background, Pattern, echo_once, expect_end, expect_reset_of, receive_pattern,
                             send_pattern)
from support.targets import ENDED, WAS_RESET, ClosingTarget, EchoTarget, SinkTarget, SourceTarget
from support.waiting import MIB, scaled, wait_until

# What ends a process without a chance to say anything, and the orderly stop.
ENDS = pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGABRT, signal.SIGTERM],
                               ids=["killed", "aborted", "stopped"])
ACTIVITY = pytest.mark.parametrize("active", [False, True], ids=["idle", "active"])


def end_by(stage, side, number):
    """Ends the daemon on that side of the stage, for good."""
    daemon = getattr(stage, side)
    setattr(stage, side, None)
    if number == signal.SIGTERM:
        daemon.stop()
        return
    resource.prlimit(daemon.pid, resource.RLIMIT_CORE, (0, 0))
    daemon.process.send_signal(number)
    assert daemon.process.wait(20) == -number
    daemon.kill()


def read_reset(sock):
    """Reads up to the reset, which must be read as one."""
    with pytest.raises(ConnectionResetError):
        while sock.recv(MIB):
            pass
        raise AssertionError("the connection ended cleanly")


@ENDS
@ACTIVITY
def test_the_application_of_a_client_that_is_gone_reads_a_reset(tunnel, start, end, active):
    stage = tunnel(start(SourceTarget(1, 10**12) if active else EchoTarget()).address)
    with stage.connect() as sock:
        if active:
            receive_pattern(sock, Pattern(1), scaled(8 * MIB))
        else:
            echo_once(sock)
        end_by(stage, "client", end)
        read_reset(sock)


@ENDS
@ACTIVITY
def test_the_target_of_a_server_that_is_gone_reads_a_reset(tunnel, start, end, active):
    sink = start(SinkTarget())
    stage = tunnel(sink.address)
    with stage.connect() as sock:
        sock.sendall(b"before")
        sink.wait_accepted()
        if active:
            sending = Background(send_pattern, sock, Pattern(1), 10**12)
            wait_until(lambda: stage.server.control.sessions()[0]["bytes_in"] > scaled(8 * MIB), 20,
                       "bytes at the target")
        end_by(stage, "server", end)
        assert sink.wait_outcome() == WAS_RESET
        end_by(stage, "client", signal.SIGKILL)
        if active:
            with pytest.raises(OSError):
                sending.result(10)


def test_an_application_that_has_finished_writing_reads_a_reset_when_its_client_is_killed(tunnel, start):
    stage = tunnel(start(SourceTarget(1, 10**12)).address)
    with stage.connect() as sock:
        sock.shutdown(socket.SHUT_WR)
        receive_pattern(sock, Pattern(1), scaled(4 * MIB))
        end_by(stage, "client", signal.SIGKILL)
        read_reset(sock)


def test_an_application_whose_target_has_finished_learns_that_its_own_bytes_are_lost(tunnel, start):
    """The end that it has read was the true one. What it writes now goes nowhere, and it must be told."""
    stage = tunnel(start(ClosingTarget()).address)
    with stage.connect() as sock:
        expect_end(sock)
        end_by(stage, "client", signal.SIGKILL)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            send_pattern(sock, Pattern(2), 64 * MIB)


def test_connections_that_a_killed_client_had_not_accepted_are_reset(tunnel, start):
    stage = tunnel(start(EchoTarget()).address)
    stage.client.process.send_signal(signal.SIGSTOP)
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(stage.connect()) for _ in range(5)]
        end_by(stage, "client", signal.SIGKILL)
        for sock in waiting:
            read_reset(sock)


def test_sessions_that_never_had_a_link_end_with_a_reset_when_their_client_is_killed(tunnel, start):
    stage = tunnel(start(EchoTarget()).address)
    stage.server.stop()
    with stage.connect() as sock:
        sock.sendall(b"early")
        wait_until(lambda: [s["unacked"] for s in stage.client.control.sessions()] == [len(b"early")], 10, "a session")
        end_by(stage, "client", signal.SIGKILL)
        read_reset(sock)


def test_an_application_beyond_the_limit_is_reset(tunnel, start):
    stage = tunnel(start(EchoTarget()).address, client_settings={"limits": {"max_sessions": 1}})
    with stage.connect() as first:
        echo_once(first)
        expect_reset_of(stage.connect)
        echo_once(first)


def test_a_clean_end_is_one_also_for_a_slow_reader_and_after_the_daemons_are_gone(tunnel, start):
    """The last bytes are in the socket's buffer when it is closed: neither that nor killing the daemon drops them."""
    total = 256 * 1024
    stage = tunnel(start(SourceTarget(3, total)).address)
    with stage.connect() as sock:
        wait_until(lambda: [each["bytes_in"] for each in stage.client.control.sessions()] == [total], 10,
                   "the daemon to have written everything")
        sock.shutdown(socket.SHUT_WR)
        stage.wait_no_sessions()
        for side in ("client", "server"):
            end_by(stage, side, signal.SIGKILL)
        receive_pattern(sock, Pattern(3), total)
        expect_end(sock)


def test_large_data_before_a_clean_end_reaches_a_target_that_reads_slowly(tunnel, start):
    sink = start(SinkTarget())
    stage = tunnel(sink.address)
    pattern, total = Pattern(4), scaled(32 * MIB)
    with stage.connect() as sock:
        send_pattern(sock, pattern, total)
    assert sink.wait_result(seconds=30) == (total, pattern.digest(total))
    stage.wait_no_sessions()


def test_a_unix_socket_cannot_be_reset(tunnel, start, tmp_path):
    """Its reader sees an end, as the manual says: a reset only if it had sent bytes that were not read."""
    path = tmp_path / "sink.sock"
    sink = start(SinkTarget(path=path))
    stage = tunnel(sink.address)
    with stage.connect() as sock:
        sock.sendall(b"before")
        sink.wait_accepted()
        end_by(stage, "server", signal.SIGKILL)
        assert sink.wait_outcome() == ENDED
