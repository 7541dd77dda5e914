"""Starting, stopping and the addresses a daemon can be given."""

import itertools
import signal
import time

import pytest

from support import wire
from support.streams import Pattern, echo_once, expect_reset, receive_pattern, send_pattern
from support.targets import EchoTarget
from support.waiting import MIB, PATIENCE, wait_until
from support.wire import Hello, PlainLink, Welcome

STOP_SECONDS = 3


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("side", ["client", "server"])
def test_a_signal_ends_a_daemon_in_order_with_sessions_open(tunnel, start, side, signal_number):
    echo = start(EchoTarget())
    stage = tunnel(echo.address)
    with stage.connect() as busy, stage.connect() as idle:
        echo_once(idle)
        # Replies that nobody reads: buffers are full when the signal comes.
        busy.setblocking(False)
        pattern, offset = Pattern(1), 0
        try:
            while offset < 64 * MIB:
                offset += busy.send(pattern.at(offset, MIB))
        except BlockingIOError:
            pass
        before = time.monotonic()
        getattr(stage, side).stop(signal_number)
        assert time.monotonic() - before < STOP_SECONDS * PATIENCE


@pytest.mark.parametrize("side", ["client", "server"])
def test_signals_that_come_until_it_has_ended_change_nothing(tunnel, start, side):
    """Whoever waits for it learns that it ended in order, also when the last signal came at the last moment."""
    stage = tunnel(start(EchoTarget()).address)
    with stage.connect() as sock:
        echo_once(sock)
        daemon = getattr(stage, side)
        numbers = itertools.cycle([signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
        while daemon.running():
            daemon.process.send_signal(next(numbers))
        daemon.stop()


def test_a_daemon_stops_while_its_peer_is_out_of_reach(tunnel, start):
    stage = tunnel(start(EchoTarget()).address)
    with stage.connect() as sock:
        echo_once(sock)
        stage.relay.refuse()
        stage.relay.cut()
        before = time.monotonic()
        for daemon in stage.daemons():
            daemon.stop()
        assert time.monotonic() - before < 2 * STOP_SECONDS * PATIENCE


def test_a_stopped_client_ends_its_sessions_on_the_server_and_at_the_target(tunnel, start):
    echo = start(EchoTarget())
    stage = tunnel(echo.address)
    with stage.connect() as sock:
        echo_once(sock)
        stage.client.stop()
        expect_reset(sock)
        echo.wait_outcome()
        wait_until(lambda: stage.server.control.sessions() == [], 5, "the server to forget the session")
        assert stage.server.log_lines("ended: closed_by_operator"), "the client has said so"


def test_a_stopped_server_says_nothing_on_its_links(tunnel, start):
    """For its clients that is a lost link, and they try again."""
    stage = tunnel(start(EchoTarget()).address, tls=False)
    with PlainLink(stage.server_address) as link:
        assert isinstance(link.handshake(Hello(service="target")), Welcome)
        link.send(wire.ping_frame(1))
        due = {wire.PONG, wire.PING, wire.WINDOW}
        while due:
            due.discard(link.receive_frame().type)
        stage.server.process.send_signal(signal.SIGTERM)
        assert link.wait_closed() == b""


def test_a_server_that_starts_again_refuses_the_sessions_it_no_longer_knows(tunnel, start):
    """The application must be told; a fresh session in disguise would be a gap in its stream."""
    echo = start(EchoTarget())
    stage = tunnel(echo.address)
    with stage.connect() as sock:
        echo_once(sock)
        stage.server.stop()
        stage.start_server()
        expect_reset(sock)
        assert stage.client.log_lines("unknown_session")
    with stage.connect() as sock:
        echo_once(sock, b"a new session works")


def test_a_killed_server_is_like_a_stopped_one(tunnel, start):
    echo = start(EchoTarget())
    stage = tunnel(echo.address)
    with stage.connect() as sock:
        echo_once(sock)
        stage.server.kill()
        stage.start_server()
        expect_reset(sock)


def test_a_client_may_start_before_its_server(tunnel, start):
    echo = start(EchoTarget())
    stage = tunnel(echo.address)
    stage.client.stop()
    stage.server.stop()
    stage.start_client()
    with stage.connect() as sock:
        sock.sendall(b"early")
        stage.start_server()
        assert sock.recv(5) == b"early"


def exchange_under_cuts(stage):
    pattern = Pattern(2)
    with stage.connect() as sock:
        echo_once(sock)
        stage.relay.cut()
        send_pattern(sock, pattern, 100_000)
        receive_pattern(sock, pattern, 100_000)


def test_everything_works_over_ipv6(tunnel, start):
    echo = start(EchoTarget(host="::1"))
    exchange_under_cuts(tunnel(echo.address, host="::1"))


def test_a_service_may_be_a_unix_socket(tunnel, start, tmp_path):
    echo = start(EchoTarget(path=tmp_path / "echo.sock"))
    exchange_under_cuts(tunnel(echo.address))


def test_a_target_may_be_given_by_name(tunnel, start):
    echo = start(EchoTarget())
    exchange_under_cuts(tunnel(f"localhost:{echo.address[1]}"))


def test_daemons_run_from_config_files_with_key_files_beside_them(tunnel, start, monkeypatch, tmp_path):
    """The key file's name is relative to the config file, not to where the daemon was started."""
    monkeypatch.chdir(tmp_path.parent)
    echo = start(EchoTarget())
    exchange_under_cuts(tunnel(echo.address, server_settings={}, client_settings={}))


def test_one_worker_is_enough(tunnel, start):
    echo = start(EchoTarget())
    exchange_under_cuts(tunnel(echo.address, server_settings={"workers": 1}, client_settings={"workers": 1}))


def test_running_without_security_is_warned_of(tunnel, start):
    stage = tunnel(start(EchoTarget()).address, tls=False)
    for daemon in stage.daemons():
        assert daemon.wait_log("(?i)warn")
    exchange_under_cuts(stage)


def test_keys_do_not_appear_in_logs_or_status(tunnel, start):
    stage = tunnel(start(EchoTarget()).address)
    exchange_under_cuts(stage)
    for daemon in stage.daemons():
        assert stage.key not in daemon.log()
        assert stage.key not in str(daemon.control.status()) + str(daemon.control.sessions())
