"""Peers that ask for work without end, of which none brings anything: they are held up, and cost next to nothing."""

import contextlib
import pathlib
import select
import subprocess
import sys
import threading
import time

import pytest

from support import wire
from support.bystander import Bystander
from support.daemon import Daemon, write_config
from support.ports import endpoint, free_port
from support.streams import Background, connect, echo_once
from support.targets import EchoTarget
from support.waiting import KIB, PATIENCE, patient, scaled, wait_until
from support.wire import Hello, HostileServer, PlainLink, Welcome

FLOOD_SECONDS = 3.0
LINKS = 4
# Of a core, over the whole flood. Without a bound it is all of one.
MOST_COST = 0.15

FRAMES = {
    "pings": wire.ping_frame(1),
    "pongs that nobody asked for": wire.number_frame(wire.PONG, 99),
    "acknowledgements": wire.frame(wire.ACK),
    "windows": wire.number_frame(wire.WINDOW, 300_000),
    "repeated data": wire.data_frame(0, b"x"),
}


def flood(link, piece, seconds):
    """Sends the frame again and again, as fast as the other side takes it; how many bytes it has taken."""
    data = memoryview(piece * (64 * KIB // len(piece)))
    link.socket.setblocking(False)
    end, sent = time.monotonic() + seconds, 0
    while (left := end - time.monotonic()) > 0:
        if select.select([], [link.socket], [], left)[1]:
            with contextlib.suppress(BlockingIOError):
                sent += link.socket.send(data[sent % len(data):])
    return sent


def cost_of(daemon, work):
    before, began = daemon.cpu_seconds(), time.monotonic()
    work()
    return (daemon.cpu_seconds() - before) / (time.monotonic() - began)


@pytest.mark.alone
@pytest.mark.parametrize("piece", FRAMES.values(), ids=FRAMES.keys())
def test_a_client_that_floods_is_held_up(tunnel, start, piece):
    stage = tunnel({"target": start(EchoTarget()).address}, tls=False)
    server = stage.server
    with contextlib.ExitStack() as stack:
        bystander = start(Bystander(stage.connect(), server.control.sessions))
        idle = cost_of(server, lambda: time.sleep(1))
        links = [stack.enter_context(PlainLink(stage.server_address)) for _ in range(LINKS)]
        for link in links:
            assert isinstance(link.handshake(Hello(service="target")), Welcome)
            link.send(wire.data_frame(0, b"x"))
            link.receive_frame_of(wire.DATA)

        def work():
            for each in [Background(flood, link, piece, FLOOD_SECONDS) for link in links]:
                each.result(patient(30))

        cost = cost_of(server, work) - idle
        assert cost < MOST_COST * PATIENCE, f"{100 * cost:.0f} % of a core"
        # They are slow, but neither dead nor doubted.
        states = {session["id"]: session["state"] for session in server.control.sessions()}
        assert len(states) == LINKS + 1 and set(states.values()) == {"connected"}, states
        assert bystander.id in states


@pytest.mark.alone
def test_a_server_that_floods_is_held_up(start, tmp_path):
    ended, over = [], threading.Event()

    def behave(link):
        hello = link.receive_message()
        link.send(wire.Welcome(hello.session, hello.generation, created=True).encode())
        ended.append(flood(link, FRAMES["pings"], FLOOD_SECONDS))
        over.wait(patient(30))

    server = start(HostileServer(behave))
    listen, control = ("127.0.0.1", free_port()), tmp_path / "client.sock"
    config = write_config(tmp_path / "client.json", {
        "control": {"socket": str(control)},
        "peers": {"bad": {"endpoints": [endpoint(*server.address)], "security": "none"}},
        "tunnels": [{"name": "bad", "listen": endpoint(*listen), "peer": "bad", "service": "target"}]})
    client = Daemon("client", ["--config", str(config)], control, tmp_path).wait_ready()
    with contextlib.ExitStack() as stack:
        stack.callback(client.stop)
        stack.callback(over.set)
        for _ in range(LINKS):
            stack.enter_context(connect(listen, patient(30)))
        cost = cost_of(client, lambda: wait_until(lambda: len(ended) == LINKS, 30, "the floods to end", interval=0.2))
        assert cost < MOST_COST * PATIENCE, f"{100 * cost:.0f} % of a core"
        assert server.links == LINKS, "no link was given up"


# -- sessions that are over as soon as they begin ------------------------------------------------

STORM = scaled(20_000, least=2_000)
STORMS = 2
# For connecting, a session and an echo beside the storm. Usually it takes a few milliseconds.
SLOWEST_SECONDS = 1.0
# In a process of its own, so that what the test measures is not its own interpreter's lock.
STORM_SCRIPT = """
import socket, sys
sys.path.insert(0, sys.argv[1])
from support import wire
address, count = (sys.argv[2], int(sys.argv[3])), int(sys.argv[4])
for _ in range(count):
    with socket.create_connection(address, timeout=60) as sock:
        sock.sendall(wire.Hello(service="target").encode() + wire.reset_frame(wire.APPLICATION_RESET))
"""


@pytest.mark.alone
def test_beside_a_storm_of_sessions_that_are_reset_at_once_others_are_served(tunnel, start, report_figure):
    """The senders wait for no answer."""
    target = start(EchoTarget())
    stage = tunnel({"target": target.address}, tls=False, server_settings={"log": {"level": "error"}})
    host, port = stage.server_address
    command = [sys.executable, "-c", STORM_SCRIPT, str(pathlib.Path(__file__).parents[1]), host, str(port),
               str(STORM // STORMS)]
    storms = [subprocess.Popen(command) for _ in range(STORMS)]
    times = []
    with contextlib.ExitStack() as stack:
        for storm in storms:
            stack.callback(storm.wait)
            stack.callback(storm.kill)
        while any(storm.poll() is None for storm in storms):
            before = time.monotonic()
            with stage.connect() as sock:
                echo_once(sock)
            times.append(time.monotonic() - before)
            time.sleep(0.01)
        assert all(storm.returncode == 0 for storm in storms)
        over = time.monotonic()
        wait_until(lambda: not stage.server.control.sessions(), 10, "the storm's sessions to be forgotten")
        after = time.monotonic() - over
    times.sort()
    report_figure(f"a new session beside a storm: p50 {1000 * times[len(times) // 2]:.1f} ms, "
                  f"worst {1000 * times[-1]:.1f} ms of {len(times)}; all forgotten {after:.1f} s after it")
    assert len(times) >= 10 and times[-1] < SLOWEST_SECONDS * PATIENCE, f"{times[-1]:.2f} s"
    assert after < 2.0 * PATIENCE
    assert target.accepted == len(times), "what was reset at once has dialled no target"
