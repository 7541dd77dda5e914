"""An application or target whose system is gone is noticed; one that is merely quiet, or reads nothing, is left alone.

    far: application and target  ═══ a cable that can be cut ═══  near: client daemon and server daemon
"""

import itertools
import socket
import time

import pytest

from support.daemon import Daemon, stop_all, write_config
from support.netns import Namespace, require
from support.streams import (Pattern, connect, echo_once, expect_end, expect_reset, read_to_end, receive_pattern,
                             send_pattern)
from support.targets import WAS_RESET, EchoTarget, StalledTarget, Target
from support.waiting import MIB, patient, wait_until

NEAR, FAR = "10.98.7.1", "10.98.7.2"
KEEPALIVE = 6  # seconds
# TCP asks three times, and its timers are coarse.
NOTICED_WITHIN = 2 * KEEPALIVE
ORPHANS_LIVE = 2  # seconds: what the kernel keeps of a closed connection whose other direction is open
DIED = "does not answer any more"

_numbers = itertools.count()


class Machines:
    """Both daemons in one namespace, applications and targets in another."""

    def __init__(self, directory, keepalive=f"{KEEPALIVE}s"):
        self._directory = directory
        self._liveness = {"application_keepalive": keepalive}
        self.near, self.far = Namespace("near"), Namespace("far")
        self.daemons = []
        number = next(_numbers)
        self.near.configure(f"link add near{number} type veth peer name far{number} netns {self.far.name}",
                            f"addr add {NEAR}/24 dev near{number}", f"link set near{number} up")
        self.far.configure(f"addr add {FAR}/24 dev far{number}", f"link set far{number} up")
        self.far.nft("table inet cable {\n"
                     "  chain in { type filter hook input priority 0; policy accept; }\n"
                     "  chain out { type filter hook output priority 0; policy accept; }\n"
                     "}\n")
        self.far.sysctl("net/ipv4/tcp_fin_timeout", ORPHANS_LIVE)
        self.server = self.client = self._settings = None

    def serve(self, target):
        self._settings = {
            "server": {"accept": [{"listen": "127.0.0.1:7700", "security": "none"}],
                       "services": {"it": {"target": f"{FAR}:{target.address[1]}"}}},
            "client": {"peers": {"far": {"endpoints": ["127.0.0.1:7700"], "security": "none"}},
                       "tunnels": [{"name": "it", "listen": f"{NEAR}:2222", "peer": "far", "service": "it"}]}}
        self.server, self.client = self._daemon("server"), self._daemon("client")

    def _write(self, name):
        settings = {"control": {"socket": f"{name}.sock"}, "liveness": self._liveness, **self._settings[name]}
        return write_config(self._directory / f"{name}.json", settings)

    def _daemon(self, name):
        daemon = Daemon(name, ["--config", str(self._write(name))], self._directory / f"{name}.sock", self._directory,
                        self.near.command())
        self.daemons.append(daemon)
        return daemon.wait_ready()

    def reload(self, keepalive):
        self._liveness = {"application_keepalive": keepalive}
        for daemon in self.daemons:
            self._write(daemon.name)
            daemon.control.call("reload")

    def connect(self):
        with self.far.entered():
            return connect((NEAR, 2222), patient(30))

    def cut(self, port):
        """From now on the system behind this port, its own or the other side's, is gone: silence, not even an error."""
        for way in ("in", "out"):
            for end in ("sport", "dport"):
                self.far.nft(f"add rule inet cable {way} tcp {end} {port} drop")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            stop_all(self.daemons, lambda: None)
        finally:
            self.near.close()
            self.far.close()


@pytest.fixture
def machines(start, tmp_path):
    require()
    return lambda **settings: start(Machines(tmp_path, **settings))


def target_in(machines, start, kind, *arguments):
    with machines.far.entered():
        return start(kind(*arguments, host=FAR))


def wait_over(machines):
    """Both sides have noticed in time; returns how long it took."""
    began = time.monotonic()
    for daemon in machines.daemons:
        wait_until(lambda d=daemon: not d.control.sessions(), NOTICED_WITHIN, f"{daemon.name} to end its session")
    return time.monotonic() - began


class SayingTarget(Target):
    """Sends a byte for the one it reads first, and then what the test gives it."""

    def __init__(self, **where):
        self.sock = None
        super().__init__(**where)

    def serve(self, sock):
        sock.sendall(sock.recv(1))
        self.sock = sock
        return read_to_end(sock)


@pytest.mark.parametrize("under_way", [False, True], ids=["idle", "data under way"])
def test_an_application_whose_machine_is_gone_ends_its_session(machines, start, under_way):
    stage = machines()
    target = target_in(stage, start, SayingTarget)
    stage.serve(target)
    with stage.connect() as sock:
        echo_once(sock)
        stage.cut(2222)
        if under_way:
            target.sock.sendall(bytes(1000))
        assert wait_over(stage) > KEEPALIVE / 2
        assert stage.client.log_lines(f"its application {DIED}")
        assert target.wait_outcome() == WAS_RESET


@pytest.mark.parametrize("under_way", [False, True], ids=["idle", "data under way"])
def test_a_target_whose_machine_is_gone_ends_its_session(machines, start, under_way):
    stage = machines()
    target = target_in(stage, start, EchoTarget)
    stage.serve(target)
    with stage.connect() as sock:
        echo_once(sock)
        stage.cut(target.address[1])
        if under_way:
            sock.sendall(bytes(1000))
        assert wait_over(stage) > KEEPALIVE / 2
        assert stage.server.log_lines(f"its target {DIED}")
        expect_reset(sock)


def test_a_target_that_is_gone_while_it_reads_nothing_ends_its_session(machines, start):
    """Its window was full: there is nothing to repeat, only to ask for room, less and less often."""
    stage = machines()
    target = target_in(stage, start, StalledTarget)
    stage.serve(target)
    with stage.connect() as sock:
        fill(sock)
        stage.cut(target.address[1])
        for daemon in stage.daemons:
            wait_until(lambda d=daemon: not d.control.sessions(), 4 * NOTICED_WITHIN,
                       f"{daemon.name} to end its session")
        assert stage.server.log_lines(f"its target {DIED}")


def fill(sock, quiet=1.0):
    """Writes until nothing has been taken for a while; returns how many bytes were."""
    sock.setblocking(False)
    pattern, sent, last = Pattern(1), 0, time.monotonic()
    while time.monotonic() - last < patient(quiet):
        try:
            sent += sock.send(pattern.at(sent, MIB))
            last = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    sock.settimeout(patient(30))
    return sent


def test_a_target_that_reads_nothing_for_long_keeps_its_session_and_all_its_bytes(machines, start):
    stage = machines()
    target = target_in(stage, start, StalledTarget)
    stage.serve(target)
    with stage.connect() as sock:
        sent = fill(sock)
        time.sleep(4 * KEEPALIVE)
        assert stage.server.control.sessions() and stage.client.control.sessions()
        target.release()
        sock.shutdown(socket.SHUT_WR)
        assert target.wait_result(seconds=60) == (sent, Pattern(1).digest(sent))


def test_an_application_that_reads_nothing_for_long_keeps_its_session_and_all_its_bytes(machines, start):
    stage = machines()
    target = target_in(stage, start, SayingTarget)
    stage.serve(target)
    with stage.connect() as sock:
        echo_once(sock)
        sent = fill(target.sock)
        time.sleep(4 * KEEPALIVE)
        assert stage.server.control.sessions() and stage.client.control.sessions()
        receive_pattern(sock, Pattern(1), sent)
        echo_once_from(target.sock, sock)


def echo_once_from(near, far):
    near.sendall(b"!")
    assert far.recv(1) == b"!"


def test_quiet_and_half_closed_connections_stay(machines, start):
    stage = machines()
    target = target_in(stage, start, SayingTarget)
    stage.serve(target)
    with stage.connect() as quiet:
        echo_once(quiet)
        quiet_target = target.sock
        with stage.connect() as half:
            target.sock = None
            echo_once(half)
            half_target = wait_until(lambda: target.sock, 10, "the second connection")
            # The target has ended its direction, and waits for the rest of the other.
            half_target.shutdown(socket.SHUT_WR)
            expect_end(half)
            time.sleep(4 * KEEPALIVE)
            assert len(stage.client.control.sessions()) == 2
            send_pattern(half, Pattern(2), MIB)
            half.shutdown(socket.SHUT_WR)
            echo_once_from(quiet_target, quiet)
        assert target.wait_result() == (MIB, Pattern(2).digest(MIB))


class HoldingTarget(Target):
    """Reads to the end and then keeps its own direction open."""

    def __init__(self, **where):
        self.sock = None
        super().__init__(**where)

    def serve(self, sock):
        read_to_end(sock)
        self.sock = sock
        sock.settimeout(patient(NOTICED_WITHIN + 5))
        # The other side has ended: what can come is only a reset, which a write shows.
        while True:
            time.sleep(0.1)
            if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise ConnectionResetError(error, "reset")


def test_an_application_that_has_closed_ends_its_session_though_the_target_keeps_its_direction_open(machines, start):
    """As after a cancelled HTTP request. A direct connection ends a minute (tcp_fin_timeout) later."""
    stage = machines()
    target = target_in(stage, start, HoldingTarget)
    stage.serve(target)
    socks = [stage.connect() for _ in range(20)]
    for sock in socks:
        sock.sendall(b"GET /")
    wait_until(lambda: len(stage.server.control.sessions()) == 20, 10, "all sessions")
    target.wait_accepted(20)
    for sock in socks:
        sock.close()
    wait_over(stage)
    for count in range(1, 21):
        assert target.wait_outcome(count) == WAS_RESET


class ClosingAtOnce(Target):
    """Closes its connection after the first byte."""

    def serve(self, sock):
        sock.recv(1)


def test_a_target_that_has_closed_ends_its_session_though_the_application_keeps_its_direction_open(machines, start):
    stage = machines()
    closing = target_in(stage, start, ClosingAtOnce)
    stage.serve(closing)
    with stage.connect() as sock:
        sock.sendall(b"?")
        expect_end(sock)
        wait_over(stage)
        # The end was read already; the reset shows in the next write.
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            send_pattern(sock, Pattern(1), MIB)


@pytest.mark.parametrize("gone", ["application", "target"])
def test_a_reload_changes_how_long_is_waited(machines, start, gone):
    stage = machines(keepalive="off")
    target = target_in(stage, start, SayingTarget)
    stage.serve(target)
    stage.reload(f"{KEEPALIVE}s")
    with stage.connect() as sock:
        echo_once(sock)
        stage.cut(2222 if gone == "application" else target.address[1])
        wait_over(stage)


def test_without_keepalive_nobody_is_asked(machines, start):
    stage = machines(keepalive="off")
    target = target_in(stage, start, SayingTarget)
    stage.serve(target)
    with stage.connect() as sock:
        echo_once(sock)
        stage.cut(2222)
        stage.cut(target.address[1])
        time.sleep(NOTICED_WITHIN)
        assert stage.client.control.sessions() and stage.server.control.sessions()
