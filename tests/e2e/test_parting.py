"""A daemon that ends in order leaves its sessions to the next one, and says for how long the others should wait."""

import contextlib
import json
import os
import signal
import socket

import pytest

from support.daemon import binary, run
from support.ports import free_port
from support.service import client, server
from support.streams import echo_once, expect_reset
from support.supervised import Supervised
from support.targets import EchoTarget
from support.waiting import Deadline, wait_until

SHORT = {"limits": {"restart_grace": "1s"}}


@pytest.fixture
def pair(tmp_path, start):
    """A server and a client, both supervised, and a function that connects to the client."""
    target = start(EchoTarget())
    port, local = free_port(), free_port()
    with (Supervised(tmp_path / "server", server(port, "%s:%d" % target.address) | SHORT) as far,
          Supervised(tmp_path / "client", client(f"127.0.0.1:{local}", port) | SHORT) as near):
        far.pid(), near.pid()
        yield far, near, lambda: socket.create_connection(("127.0.0.1", local), timeout=Deadline(60).left())


class Away:
    """A daemon has ended in order, and its supervisor starts no other one before this is over."""

    def __init__(self, service):
        self.service = service
        self.pid = service.pid()

    def __enter__(self):
        os.kill(self.service.process.pid, signal.SIGSTOP)
        os.kill(self.pid, signal.SIGTERM)
        wait_until(lambda: "parked" in self.service.log(), 20, "the daemon to park")
        return self

    def __exit__(self, *_):
        os.kill(self.service.process.pid, signal.SIGCONT)
        self.service.another_pid(self.pid)


def only_session(service):
    sessions = service.control.call("sessions")
    return sessions[0] if sessions else None


@pytest.mark.parametrize("which", ["client", "server"])
def test_the_other_side_waits_for_the_daemon(pair, which):
    far, near, connect = pair
    gone, other = {"client": (near, far), "server": (far, near)}[which]
    with connect() as sock:
        echo_once(sock)
        with Away(gone):
            session = wait_until(lambda: (each := only_session(other)) and each["state"] != "connected" and each, 20,
                                 "the session without a link")
            assert session["last_error"] == "the other daemon ends, and may be back within 1 s"
        echo_once(sock)


@pytest.mark.parametrize("which", ["client", "server"])
def test_nobody_waits_for_ever(pair, which):
    far, near, connect = pair
    gone, other = {"client": (near, far), "server": (far, near)}[which]
    with connect() as sock:
        echo_once(sock)
        with Away(gone):
            wait_until(lambda: only_session(other) is None, 20, "the end of the session")
            assert "ended: expired" in other.log()
        # What is left of it ends there as well.
        wait_until(lambda: only_session(gone) is None, 20, "the end of the session where its daemon was away")
        expect_reset(sock)


def test_the_log_and_the_events_say_so(pair):
    far, near, connect = pair
    with connect() as sock:
        echo_once(sock)
        session = only_session(near)["id"]
        near.kill_daemon(signal.SIGTERM)
        log = near.log()
        for line in ("signal 15", "parking: 1 sessions are left to the next process",
                     f"session {session}: parked: left to the next process", "parked",
                     f"session {session}: restored"):
            assert line in log, log
            log = log.partition(line)[2]
        assert f"session {session} generation 1: detached: the other daemon ends, and may be back within 1 s" in far.log()
        echo_once(sock)


def test_stop_ends_sessions_that_a_restart_would_keep(pair):
    far, near, connect = pair
    with connect() as sock:
        echo_once(sock)
        done = run(binary("backedpipctl"), "--socket", near.control.path, "stop")
        assert (done.returncode, done.stderr) == (0, ""), done
        assert done.stdout.endswith("the daemon has ended\n")
        assert near.wait_end() == 0
        expect_reset(sock)
        wait_until(lambda: only_session(far) is None, 20, "the end of the session at the server")
        assert "ended: closed_by_operator" in far.log()


def test_stop_answers_before_the_end(pair):
    far, _, connect = pair
    with connect() as sock:
        echo_once(sock)
        done = run(binary("backedpipctl"), "--socket", far.control.path, "--json", "stop", "--no-wait")
        assert json.loads(done.stdout) == {"stopping": True, "sessions": 1}
        assert far.wait_end() == 0


def test_two_signals_in_a_row_do_no_harm(pair):
    far, near, connect = pair
    with connect() as sock:
        echo_once(sock)
        for service in (near, far):
            old = service.pid()
            os.kill(old, signal.SIGTERM)
            with contextlib.suppress(ProcessLookupError):  # it has ended already
                os.kill(old, signal.SIGTERM)
            service.another_pid(old)
        echo_once(sock)
