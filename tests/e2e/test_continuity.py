"""Sessions that outlive their daemon: whatever ends it, to applications it is a pause."""

import contextlib
import datetime
import os
import random
import signal
import socket
import struct
import threading

import pytest

from support.daemon import write_config
from support.daemon import binary, run
from support.ports import free_port
from support.service import Service, client, server
from support.streams import Pattern, receive_pattern
from support.supervised import Supervised
from support.targets import DuplexTarget, EchoTarget, ResettingOnCommandTarget, SourceTarget, exchange
from support.waiting import Deadline, wait_until

TOTAL = 128 << 20


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
@pytest.mark.parametrize("how", ["killed", "aborted", "ended", "upgraded"])
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
                os.kill(pid, {"killed": signal.SIGKILL, "aborted": signal.SIGABRT, "ended": signal.SIGTERM}[how])
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
    deaths = {far: 0, near: 0}  # the latest kills in a row

    def kill():
        while True:
            victim = chance.choice((far, near))
            # After five in a row all its sessions would be reset: see test_crash_loop.py.
            number = signal.SIGTERM if deaths[victim] == 4 else chance.choice((signal.SIGKILL, signal.SIGTERM))
            deaths[victim] = deaths[victim] + 1 if number == signal.SIGKILL else 0
            victim.kill_daemon(number)
            kills.append(victim)
            if over.wait(chance.uniform(0, 0.05)):
                return

    killer = threading.Thread(target=kill)
    with connect() as sock:
        killer.start()
        try:
            exchange(sock, Pattern(seed + 1), Pattern(seed), TOTAL, 0)
        finally:
            over.set()
            killer.join()
    assert kills, f"seed {seed}"


def test_many_sessions_go_on(pair):
    far, near, connect = pair(EchoTarget())
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connect()) for _ in range(200)]
        for i, sock in enumerate(socks):
            echo(sock, b"%d before" % i)
        for victim in (far, near, far, near):
            victim.kill_daemon()
        for i, sock in enumerate(socks):
            echo(sock, b"%d after" % i)
        status = near.control.status()
        expected = {"kept": True, "why_not": None, "restarts": 2, "restored": 200, "lost": 0, "not_kept": 0}
        assert status["continuity"] | expected == status["continuity"]


def test_a_session_says_which_process_has_continued_it(pair):
    far, near, connect = pair(EchoTarget())
    with connect() as sock:
        echo(sock, b"x")
        begun = {service: (service.control.status(), service.control.sessions()[0]) for service in (far, near)}
        for restarts in (1, 2, 3):
            for service in (far, near):
                service.kill_daemon(signal.SIGTERM if restarts == 2 else signal.SIGKILL)
            echo(sock, b"y")
            for service, (first, session) in begun.items():
                status = service.control.status()
                assert status["started_at"] > first["started_at"]
                assert status["continuity"]["since"] == first["continuity"]["since"]
                assert status["continuity"]["restarts"] == restarts
                now = service.control.session(session["id"])
                assert (session["restores"], now["restores"], now["kept"]) == (0, restarts, True)
                begin = [datetime.datetime.fromisoformat(each["created_at"]) for each in (session, now)]
                assert abs(begin[1] - begin[0]) < datetime.timedelta(milliseconds=100)
                restored, *links = now["history"]
                assert restored == {"restored": restarts, "time": restored["time"]}
                assert first["started_at"] < restored["time"] <= links[0]["attached_at"]
                done = run(binary("backedpipctl"), "--socket", service.control.path, "session", session["id"])
                assert f"a new process of the daemon has continued the session (restart {restarts})" in done.stdout


def test_a_half_closed_session_goes_on(pair):
    """The application has ended its stream; the target's bytes, and its end, still come."""
    total = 32 << 20
    far, near, connect = pair(SourceTarget(7, total))
    with connect() as sock:
        sock.shutdown(socket.SHUT_WR)
        far.kill_daemon()
        near.kill_daemon()
        receive_pattern(sock, Pattern(7), total)
        assert sock.recv(1) == b""


def test_what_an_application_has_yet_to_read_outlives_the_end_of_its_session(pair):
    """The session has ended cleanly: the daemon has given all of it to the system, which alone has it now."""
    total = 256 << 10
    _, near, connect = pair(SourceTarget(7, total))
    with connect() as sock:
        sock.shutdown(socket.SHUT_WR)
        wait_until(lambda: near.control.status()["totals"]["sessions_ended"] == 1, 20, "the end of the session")
        near.kill_daemon()
        near.kill_daemon()
        receive_pattern(sock, Pattern(7), total)
        assert sock.recv(1) == b""


@pytest.mark.parametrize("who", ["application", "target"])
def test_a_reset_is_passed_on_after_the_daemon_was_killed(pair, who):
    target = ResettingOnCommandTarget()
    far, near, connect = pair(target)
    with connect() as sock:
        sock.sendall(b"x")
        wait_until(lambda: far.control.status()["sessions"]["connected"] == 1, 20, "the session at the server")
        near.kill_daemon()
        far.kill_daemon()
        if who == "application":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            wait_until(lambda: far.control.status()["sessions"]["connected"] == 0, 20, "the end of the session")
        else:
            target.reset()
            with pytest.raises(ConnectionResetError):
                sock.recv(1)


def test_who_connects_while_there_is_no_daemon_waits(pair):
    _, near, connect = pair(EchoTarget())
    supervisor = near.process.pid
    daemon = near.pid()
    os.kill(supervisor, signal.SIGSTOP)
    try:
        os.kill(daemon, signal.SIGKILL)
        sock = connect()
    finally:
        os.kill(supervisor, signal.SIGCONT)
    with sock:
        echo(sock, b"at last")


def test_an_orderly_end_leaves_nothing_behind(pair):
    far, near, connect = pair(EchoTarget())
    with connect() as sock:
        echo(sock, b"before")
        near.end()
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    wait_until(lambda: not any(far.control.status()["sessions"].values()), 20, "the end of the session at the server")


def test_without_a_keeper_status_says_why_sessions_end_with_the_daemon(tmp_path):
    with Service(tmp_path, server(free_port()), environment={"NOTIFY_SOCKET": "", "FDSTORE": ""}) as service:
        continuity = wait_until(lambda: status_of(service), 20, "the daemon")["continuity"]
        assert continuity["kept"] is False
        assert "no service manager or supervisor keeps descriptors" in continuity["why_not"]


def status_of(service):
    with contextlib.suppress(OSError):
        return service.control.status()
    return None


@pytest.mark.parametrize("change", ["to another address", "to another name"])
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_settings_may_change_while_a_session_goes_on(tmp_path, start, kind, change):
    """What is kept listening under the settings before must not be in the way."""
    target = start(EchoTarget())
    port = free_port()
    local = str(tmp_path / "local.sock") if kind == "unix" else ("127.0.0.1", free_port())
    listen = f"unix:{local}" if kind == "unix" else "127.0.0.1:%d" % local[1]

    def connect():
        sock = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
        sock.settimeout(Deadline(60).left())
        sock.connect(local)
        return sock

    settings = client(listen, port)
    with (Supervised(tmp_path / "server", server(port, "%s:%d" % target.address)),
          Supervised(tmp_path / "client", settings) as near):
        near.pid()
        with connect() as sock:
            echo(sock, b"before")
            if change == "to another name":
                settings["tunnels"][0]["name"] = "other"
            elif kind == "unix":
                settings["tunnels"][0]["listen"] = "unix:" + (local := str(tmp_path / "other.sock"))
            else:
                settings["tunnels"][0]["listen"] = "0.0.0.0:%d" % local[1]
            write_config(tmp_path / "client" / "backedpipd.json", {"control": {"socket": "control.sock"}} | settings)
            near.kill_daemon(signal.SIGTERM)
            echo(sock, b"after")
            with connect() as another:
                echo(another, b"a new one")
