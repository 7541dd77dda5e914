"""Thousands of idle sessions lose their network together, and find back together."""

import contextlib
import selectors
import socket
import threading
import time

import pytest

from support.network_stage import LOOPBACK, NetworkStage
from support.routed_network import RoutedNetwork
from support.streams import receive_exactly
from support.waiting import patient, scaled, short_or_full, wait_until

SESSIONS = scaled(short_or_full(200, 2000), least=50)
OUTAGE = 10
WITHIN = patient(3.0)


class ManyEchoes:
    """One thread that echoes on any number of connections."""

    def __init__(self, namespace):
        with namespace.entered():
            self._listener = socket.create_server((LOOPBACK, 0), backlog=4096)
        self._listener.setblocking(False)
        self.address = self._listener.getsockname()[:2]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._ended:
            for key, _ in self._selector.select(0.2):
                if key.fileobj is self._listener:
                    sock, _ = self._listener.accept()
                    self._selector.register(sock, selectors.EVENT_READ)
                elif not self._echo(key.fileobj):
                    self._selector.unregister(key.fileobj)
                    key.fileobj.close()

    @staticmethod
    def _echo(sock):
        """False at the connection's end."""
        with contextlib.suppress(ConnectionResetError):
            if data := sock.recv(4096):
                sock.sendall(data)
                return True
        return False

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._ended = True
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()


def is_attached(session):
    return session["state"] == "connected" and not session["suspect"]


def echo_on_all(socks, data):
    for sock in socks:
        sock.sendall(data)
    for sock in socks:
        assert receive_exactly(sock, len(data)) == data


@pytest.mark.may_take(180)
@pytest.mark.parametrize("how", ["blackhole", "link down"])
def test_idle_sessions_are_all_attached_again_soon_after_an_outage(network, start, tmp_path, report_recovery,
                                                                  report_figure, how):
    net = network(RoutedNetwork)
    echoes = start(ManyEchoes(net.server))
    stage = start(NetworkStage(tmp_path, net, stream_target=echoes.address))
    breaks, heals = ((net.blackhole, net.heal) if how == "blackhole" else (net.client_link_down, net.client_link_up))
    socks = [stage.connect() for _ in range(SESSIONS)]
    try:
        echo_on_all(socks, b"before")
        dials, cpu = net.counters()["dials"], {d.name: d.cpu_seconds() for d in stage.daemons()}
        breaks()
        time.sleep(OUTAGE)
        sessions = stage.client.control.sessions()
        assert len(sessions) == SESSIONS
        assert not any(map(is_attached, sessions)), "nobody noticed the outage"
        dials_in_outage = net.counters()["dials"] - dials
        moment = time.monotonic()
        heals()
        # Suspect links count as none; the server agrees when no session of its is without a link.
        wait_until(lambda: all(map(is_attached, stage.client.control.sessions())), 30, "all sessions at the client",
                   interval=0.1)
        seconds = time.monotonic() - moment
        wait_until(lambda: stage.server.control.status()["sessions"]["connected"] == SESSIONS, 30,
                   "all sessions at the server")
        used = {d.name: d.cpu_seconds() - cpu[d.name] for d in stage.daemons()}
        dials = net.counters()["dials"] - dials
        echo_on_all(socks, b"after")
    finally:
        for sock in socks:
            sock.close()
    report_recovery(f"{SESSIONS} idle sessions, {how} for {OUTAGE} s: all attached", [seconds])
    report_figure(f"{SESSIONS} idle sessions, {how} for {OUTAGE} s: {dials} SYNs, of them {dials_in_outage} in the outage; "
                  f"CPU {used['client']:.2f} s at the client, {used['server']:.2f} s at the server")
    assert seconds < WITHIN
