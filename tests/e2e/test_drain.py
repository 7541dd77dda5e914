"""A daemon that is drained takes in nobody, lets its sessions end by themselves, and ends."""

import json
import signal
import subprocess

import pytest

from support.daemon import ControlError, binary, run
from support.streams import connect, echo_once, expect_reset
from support.targets import EchoTarget
from support.waiting import Deadline, patient, wait_until


@pytest.fixture
def stage(tunnel, start):
    return tunnel({"echo": start(EchoTarget()).address}, server_settings={}, client_settings={})


def wait_end(daemon, seconds=10):
    assert daemon.process.wait(Deadline(seconds).left()) == 0, daemon.log()


def ctl(daemon, *words):
    return subprocess.Popen([binary("backedpipctl"), "--socket", daemon.control.path, *words], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_client_ends_with_its_last_session(stage):
    with stage.connect() as first, stage.connect() as second:
        echo_once(first)
        echo_once(second)
        with ctl(stage.client, "drain") as drain:
            assert drain.stdout.readline() == ("draining: no new sessions; it ends with the last one, in 1h at most\n")
            assert drain.stdout.readline() == "2 sessions left\n"
            with pytest.raises(ConnectionRefusedError):
                connect(stage.address, patient(5))
            first.close()
            assert drain.stdout.readline() == "1 session left\n"
            # It is still a session like any other.
            stage.relay.cut()
            echo_once(second, b"after a cut")
            assert stage.client.control.status()["draining"] is True
            second.close()
            assert drain.stdout.read() == "the daemon has ended\n"
            assert drain.wait(patient(10)) == 0
    wait_end(stage.client)
    assert stage.client.log_lines("drained$") and stage.client.log_lines("stopped")


def test_a_server_lets_sessions_be_resumed_and_opens_none(stage):
    with stage.connect() as sock:
        echo_once(sock)
        assert stage.server.control.call("drain") == {"draining": True, "sessions": 1, "timeout_s": 3600.0}
        stage.relay.cut()
        echo_once(sock, b"resumed")
        with stage.connect() as other:
            stage.client.wait_log("refused by the server: shutting_down: the server is being drained")
            echo_once(sock, b"meanwhile")
            assert stage.server.running()
            sock.close()
            wait_end(stage.server)
            # The one that came too late goes to whoever serves next.
            stage.start_server()
            echo_once(other, b"to the next")


def test_the_time_is_over_at_some_point(stage):
    with stage.connect() as sock:
        echo_once(sock)
        done = run(binary("backedpipctl"), "--socket", stage.client.control.path, "--json", "drain", "--timeout", "300ms",
                   "--no-wait")
        assert done.returncode == 0 and json.loads(done.stdout) == {"draining": True, "sessions": 1, "timeout_s": 0.3}
        expect_reset(sock)
    wait_end(stage.client)
    assert stage.client.log_lines("drained: the time is over")
    wait_until(lambda: not stage.server.control.sessions(), 10, "the server to be told")


def test_the_setting_says_how_long(tunnel, start):
    stage = tunnel({"echo": start(EchoTarget()).address}, client_settings={"limits": {"shutdown_timeout": "2s"}})
    with stage.connect() as sock:
        echo_once(sock)
        assert stage.client.control.call("drain")["timeout_s"] == 2.0
        # The later word counts.
        assert stage.client.control.call("drain", timeout_s=0)["timeout_s"] == 0.0
        expect_reset(sock)
    wait_end(stage.client)


def test_one_without_sessions_ends_at_once(stage):
    done = run(binary("backedpipctl"), "--socket", stage.server.control.path, "drain")
    assert done.returncode == 0 and done.stdout.endswith("the daemon has ended\n"), done
    wait_end(stage.server)


def test_a_session_whose_client_is_gone_is_not_waited_for(tunnel, start):
    stage = tunnel({"echo": start(EchoTarget()).address},
                   server_settings={"liveness": {"ping": "200ms", "suspect": "300ms", "dead": "1s"}})
    with stage.connect() as sock:
        echo_once(sock)
        stage.client.kill()
        stage.client = None
        wait_until(lambda: stage.server.control.sessions()[0]["state"] == "disconnected", 10, "the server to notice")
        stage.server.control.call("drain")
        wait_end(stage.server)


def test_a_signal_ends_the_wait(stage):
    with stage.connect() as sock:
        echo_once(sock)
        with ctl(stage.client, "drain") as drain:
            assert drain.stdout.readline().startswith("draining")
            stage.client.process.send_signal(signal.SIGTERM)
            expect_reset(sock)
            assert drain.stdout.read().endswith("the daemon has ended\n")
    wait_end(stage.client)


def test_a_daemon_that_is_drained_reloads_nothing(stage):
    with stage.connect() as sock:
        echo_once(sock)
        stage.client.control.call("drain")
        with pytest.raises(ControlError, match="being stopped"):
            stage.client.control.call("reload")
        echo_once(sock)
    wait_end(stage.client)


@pytest.mark.parametrize("words, says", [
    (("drain", "now"), "unexpected 'now'"),
    (("drain", "--timeout", "soon"), "after --timeout"),
    (("status", "--timeout", "1s"), "belongs to 'drain'"),
    (("status", "--no-wait"), "belongs to 'drain'"),
])
def test_wrong_usage(words, says):
    done = run(binary("backedpipctl"), *words)
    assert done.returncode == 2 and says in done.stderr, done
