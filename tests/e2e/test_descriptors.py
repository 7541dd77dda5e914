"""Few file descriptors from the start: sessions use no more than leaves some for all else, and nobody is locked out."""

import contextlib
import http.client

import pytest

from support import wire
from support.daemon import Daemon, write_config
from support.ports import endpoint, free_port
from support.streams import echo_once
from support.targets import EchoTarget
from support.waiting import patient, wait_until
from support.wire import Hello, PlainLink, Refused, Welcome


def limited_to(count):
    """The start of a command's command line."""
    return ("sh", "-c", f'ulimit -n {count} && exec "$0" "$@"')


def scrape(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patient(5))
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        return connection.getresponse().status


class Server:
    """A server with few descriptors, whose clients are written by hand."""

    def __init__(self, directory, targets, descriptors, **settings):
        self.address, self.metrics_port = ("127.0.0.1", free_port()), free_port()
        control = directory / "server.sock"
        config = write_config(directory / "server.json", {
            "control": {"socket": str(control)}, "metrics": {"listen": endpoint("127.0.0.1", self.metrics_port)},
            "workers": 2, "accept": [{"listen": endpoint(*self.address), "security": "none"}],
            "services": {name: {"target": endpoint(*target.address)} for name, target in targets.items()}, **settings})
        self.daemon = Daemon("server", ["--config", str(config)], control, directory, limited_to(descriptors))

    def __enter__(self):
        try:
            self.daemon.wait_ready()
        except BaseException:
            self.daemon.kill()
            raise
        return self

    def __exit__(self, *exception):
        self.daemon.stop()

    def link(self):
        return PlainLink(self.address)

    def open(self, **fields):
        """The answer to an opening HELLO, whose link is lost at once, and the HELLO."""
        hello = Hello(service="echo", **fields)
        with self.link() as link:
            return link.handshake(hello), hello

    def answers(self):
        assert self.daemon.control.status()["sessions"]["connected"] >= 1
        assert scrape(self.metrics_port) == 200


def echo(link, offset, data):
    link.send(wire.data_frame(offset, data))
    assert link.receive_frame_of(wire.DATA).payload == data


@pytest.mark.parametrize("descriptors", [64, 128])
def test_a_server_full_of_lost_sessions_answers_resumes_and_opens(start, tmp_path, descriptors):
    server = start(Server(tmp_path, {"echo": start(EchoTarget())}, descriptors))
    (warning,) = server.daemon.log_lines("limits.max_sessions is 10000")
    assert f"may have {descriptors}:" in warning and "LimitNOFILE=" in warning and "ulimit -n" in warning
    (fewer,) = server.daemon.log_lines("limits.max_handshakes is [0-9]+ instead of 256")
    assert f"may have {descriptors} file descriptors" in fewer and "instead of 32" in fewer
    kept = Hello(service="echo")
    with contextlib.ExitStack() as links:
        old = links.enter_context(server.link())
        assert isinstance(old.handshake(kept), Welcome)
        echo(old, 0, b"abcd")
        # The oldest of these make room for the newest.
        for _ in range(2 * descriptors):
            answer, lost = server.open()
            assert isinstance(answer, Welcome), answer
        wait_until(lambda: server.daemon.control.status()["sessions"]["connected"] == 1, 5, "the links to be lost")
        # Connections that say nothing have no part in what sessions need.
        for _ in range(descriptors):
            links.enter_context(server.link())
        server.answers()
        for hello in (kept, lost):
            received = 4 if hello is kept else 0
            resumed = links.enter_context(server.link())
            answer = resumed.handshake(Hello(session=hello.session, generation=2, delivered=received, received=received))
            assert isinstance(answer, Welcome), answer
            echo(resumed, received, b"efgh")
        new = links.enter_context(server.link())
        answer = new.handshake(Hello(service="echo"))
        assert isinstance(answer, Welcome) and answer.created, answer
        echo(new, 0, b"new")
        server.answers()
    assert not server.daemon.log_lines("cannot accept|Too many open files")


def test_a_server_full_of_connected_sessions_asks_others_to_come_back(start, tmp_path):
    server = start(Server(tmp_path, {"echo": start(EchoTarget())}, 64))
    with contextlib.ExitStack() as links:
        there = []
        while True:
            link = links.enter_context(server.link())
            answer = link.handshake(Hello(service="echo"))
            if isinstance(answer, Refused):
                break
            there.append(link)
        assert answer.reason == wire.OVERLOADED, answer
        assert len(there) >= 5
        server.answers()
        for link in there:
            echo(link, 0, b"still here")
        there[0].send(wire.reset_frame(wire.APPLICATION_RESET))
        there[0].wait_closed()
        with server.link() as link:
            assert isinstance(link.handshake(Hello(service="echo")), Welcome)
    assert not server.daemon.log_lines("cannot accept|Too many open files")


@pytest.mark.parametrize("descriptors", [64, 128])
def test_a_client_full_of_sessions_answers_and_gets_their_links_back(tunnel, start, descriptors):
    echo_target = start(EchoTarget())
    metrics_port = free_port()
    stage = tunnel({f"service{number}": echo_target.address for number in range(4)}, tls=False, server_settings={},
                   client_settings={"workers": 2, "metrics": {"listen": endpoint("127.0.0.1", metrics_port)}},
                   client_launcher=limited_to(descriptors))
    with contextlib.ExitStack() as sockets:
        there = []
        for number in range(descriptors):
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                sock = sockets.enter_context(stage.connect(f"service{number % 4}"))
                echo_once(sock)
                there.append(sock)
        assert len(there) >= 5
        assert stage.client.log_lines("session_limit")
        for _ in range(3):
            stage.relay.cut()
            for sock in there:
                echo_once(sock, b"after the cut")
            assert stage.client.control.status()["sessions"]["connected"] == len(there)
            assert scrape(metrics_port) == 200
        assert not stage.client.log_lines("cannot accept|Too many open files")


def test_one_of_several_identities_gets_half_of_the_sessions_unless_the_settings_say_otherwise(tunnel, start):
    other = "other:" + 64 * "a" + "\n"
    stage = tunnel(start(EchoTarget()).address, keys=other, allow={"laptop": ["target"], "other": ["target"]},
                   server_settings={"limits": {"max_sessions": 4}})
    with contextlib.ExitStack() as sockets:
        for _ in range(2):
            echo_once(sockets.enter_context(stage.connect()))
        with stage.connect() as third, pytest.raises((ConnectionResetError, BrokenPipeError)):
            echo_once(third)
        with wire.TlsLink(stage.server_address, "other", 64 * "a") as link:
            answer = link.handshake(Hello(service="target"))
            assert isinstance(answer, Welcome) and answer.created, answer


def test_an_only_identity_gets_all_sessions(tunnel, start):
    stage = tunnel(start(EchoTarget()).address, server_settings={"limits": {"max_sessions": 4}})
    with contextlib.ExitStack() as sockets:
        for _ in range(4):
            echo_once(sockets.enter_context(stage.connect()))
