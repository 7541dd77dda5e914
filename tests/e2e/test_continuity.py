"""Sessions that outlive their daemon: whatever ends it, to applications it is a pause."""

import os
import random
import signal
import socket
import threading

import pytest

from support.ports import free_port
from support.service import client, server
from support.streams import Pattern
from support.supervised import Supervised
from support.targets import DuplexTarget, EchoTarget, exchange
from support.waiting import Deadline

TOTAL = 24 << 20


@pytest.fixture
def pair(tmp_path, start):
    """Starts a target with a server and a client before it, both supervised."""
    started = []

    def begin(target):
        target = start(target)
        port, local = free_port(), free_port()
        far = Supervised(tmp_path / "server", server(port, "%s:%d" % target.address))
        near = Supervised(tmp_path / "client", client(f"127.0.0.1:{local}", port))
        started.extend((far, near))
        far.pid(), near.pid()

        def connect():
            return socket.create_connection(("127.0.0.1", local), timeout=Deadline(60).left())

        return far, near, connect

    yield begin
    for each in started:
        each.__exit__()


def echo(sock, data):
    sock.sendall(data)
    received = b""
    while len(received) < len(data):
        piece = sock.recv(len(data) - len(received))
        assert piece, f"a clean end after {len(received)} of {len(data)} bytes"
        received += piece
    assert received == data


@pytest.mark.parametrize("which", ["client", "server", "both"])
@pytest.mark.parametrize("how", ["killed", "aborted", "upgraded"])
def test_an_idle_session_goes_on_after_its_daemon(pair, which, how):
    far, near, connect = pair(EchoTarget())
    with connect() as sock:
        echo(sock, b"before")
        victims = {"client": [near], "server": [far], "both": [far, near]}[which]
        old = [victim.pid() for victim in victims]
        for victim, pid in zip(victims, old):
            if how == "upgraded":
                victim.process.send_signal(signal.SIGUSR2)
            else:
                os.kill(pid, signal.SIGKILL if how == "killed" else signal.SIGABRT)
        for victim, pid in zip(victims, old):
            victim.another_pid(pid)
        echo(sock, b"after")
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""


def test_no_byte_is_lost_or_doubled_while_daemons_are_killed_again_and_again(pair):
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    far, near, connect = pair(DuplexTarget(seed, seed + 1, TOTAL, 0))
    over = threading.Event()
    kills = []

    def kill():
        while not over.wait(chance.uniform(0.01, 0.3)):
            victim = chance.choice((far, near))
            victim.kill_daemon()
            kills.append(victim)

    killer = threading.Thread(target=kill)
    with connect() as sock:
        killer.start()
        try:
            exchange(sock, Pattern(seed + 1), Pattern(seed), TOTAL, 0)
        finally:
            over.set()
            killer.join()
    assert kills, f"seed {seed}"
