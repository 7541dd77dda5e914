"""Several workers: sessions are spread over them, and links find the one where their session lives."""

import dataclasses
import os
import pathlib
import signal

import pytest

from support import wire
from support.streams import Background, Pattern, echo_once, receive_pattern, send_pattern
from support.targets import EchoTarget
from support.threads import threads
from support.waiting import MIB, PATIENCE, scaled, wait_until
from support.wire import Hello, PlainLink, Welcome

WORKERS = 4
SESSIONS = 24


@pytest.fixture
def stage(tunnel, start):
    settings = {"workers": WORKERS}
    return tunnel({"echo": start(EchoTarget()).address}, server_settings=settings, client_settings=settings)


def spread(daemon):
    return [worker["sessions"] for worker in daemon.control.status()["workers"]]


def handed_over(stage):
    return stage.server.control.status()["totals"]["links_handed_over"]


def takes(process, thread, number):
    status = pathlib.Path(f"/proc/{process}/task/{thread}/status").read_text()
    blocked, = (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigBlk"))
    return not blocked >> (number - 1) & 1


def test_signals_are_for_the_thread_that_directs(stage):
    pid = stage.server.process.pid
    assert len(threads(pid)) > WORKERS
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        assert [thread for thread in threads(pid) if takes(pid, thread, number)] == [pid]


def test_sessions_are_spread_over_the_workers(stage):
    socks = [stage.connect() for _ in range(SESSIONS)]
    try:
        for sock in socks:
            echo_once(sock)
        for daemon in stage.daemons():
            counts = spread(daemon)
            assert len(counts) == WORKERS and sum(counts) == SESSIONS
            # By chance, one in thousands of runs has all of them in one place.
            assert max(counts) < SESSIONS
    finally:
        for sock in socks:
            sock.close()
    stage.wait_no_sessions()


def test_a_link_is_handed_over_to_the_worker_of_its_session(stage):
    """With data in both directions all the time; each cut brings the link to any of the workers."""
    total = scaled(64 * MIB)
    pattern = Pattern(7)
    with stage.connect() as sock:
        echo_once(sock)
        writer = Background(send_pattern, sock, pattern, total)
        reader = Background(receive_pattern, sock, pattern, total)
        # With four workers one cut in four finds the right one by itself.
        generation = stage.only_session()["generation"]
        while handed_over(stage) < 3:
            stage.relay.cut()
            wait_until(lambda last=generation: stage.only_session()["generation"] > last
                       and stage.only_session()["state"] == "connected", 10, "the next link")
            generation = stage.only_session()["generation"]
        writer.result(60 * PATIENCE)
        reader.result(60 * PATIENCE)
    stage.wait_no_sessions()


def test_sessions_on_all_workers_survive_the_same_cut(stage):
    socks = [stage.connect() for _ in range(SESSIONS)]
    try:
        for i, sock in enumerate(socks):
            echo_once(sock, b"before %d" % i)
        before = spread(stage.server)
        for _ in range(3):
            stage.relay.cut()
            for i, sock in enumerate(socks):
                echo_once(sock, b"after %d" % i)
        # Sessions stay where they are.
        assert spread(stage.server) == before
        assert handed_over(stage) > 0
    finally:
        for sock in socks:
            sock.close()
    stage.wait_no_sessions()


def test_a_repeated_opening_hello_is_one_session_wherever_it_comes_in(tunnel, start):
    """Two links that open the same session at the same time, again and again: the newer one has it."""
    echo = start(EchoTarget())
    stage = tunnel({"echo": echo.address}, tls=False, server_settings={"workers": WORKERS}, client_settings={})
    rounds = scaled(20, 5)
    for _ in range(rounds):
        older = Hello(service="echo")
        newer = dataclasses.replace(older, generation=2)
        with PlainLink(stage.server_address) as first, PlainLink(stage.server_address) as second:
            first.send(older.encode())
            assert isinstance(second.handshake(newer), Welcome)
            assert [session["id"] for session in stage.server.control.sessions()] == [older.session.hex()]
            second.send(wire.reset_frame(wire.APPLICATION_RESET))
            stage.wait_no_sessions()
    assert echo.accepted <= rounds


def test_the_peer_gate_is_one_for_all_workers(stage):
    socks = [stage.connect() for _ in range(SESSIONS)]
    try:
        for sock in socks:
            echo_once(sock)
        stage.relay.refuse()
        stage.relay.cut()
        seen = wait_until(lambda: [peer for peer in stage.client.control.status()["peers"]
                                   if peer["state"] == "down" and peer["waiting"] + peer["dialling"] == SESSIONS],
                          10, "all sessions to wait")[0]
        assert seen["dialling"] <= 1
        assert len(stage.client.log_lines("peer far: down")) == 1
        stage.relay.accept()
        for sock in socks:
            echo_once(sock, b"back")
        assert len(stage.client.log_lines("peer far: up again")) == 1
    finally:
        for sock in socks:
            sock.close()


def test_each_worker_has_a_thread(stage):
    for daemon in stage.daemons():
        threads = os.listdir(f"/proc/{daemon.pid}/task")
        # And one that directs them; a sanitizer may have one of its own.
        assert len(threads) == WORKERS + 1 or (daemon.is_instrumented() and len(threads) == WORKERS + 2)


@pytest.mark.parametrize("workers", [1, 64])
def test_any_number_of_workers_serves(tunnel, start, workers):
    settings = {"workers": workers, "limits": {"max_memory": "2MiB"}}
    stage = tunnel({"echo": start(EchoTarget()).address}, server_settings=settings, client_settings=settings)
    with stage.connect() as sock:
        pattern, total = Pattern(3), scaled(16 * MIB)
        writer = Background(send_pattern, sock, pattern, total)
        receive_pattern(sock, pattern, total)
        writer.result(60 * PATIENCE)
        stage.relay.cut()
        echo_once(sock)
    stage.wait_no_sessions()
