"""A path that swallows packets over a certain size and tells nobody: an MTU black hole."""

import itertools
import threading
import time

import pytest

from support.network_stage import NetworkStage
from support.routed_network import RoutedNetwork
from support.streams import Pattern, receive_pattern, send_pattern
from support.waiting import MIB, patient, wait_until

AMOUNT = 3 * MIB
PATTERN = Pattern(3)


def carried(near, far):
    """The seconds until AMOUNT has gone from one end to the other."""
    before = time.monotonic()
    sender = threading.Thread(target=send_pattern, args=(near, PATTERN, AMOUNT), daemon=True)
    sender.start()
    receive_pattern(far, PATTERN, AMOUNT)
    sender.join()
    return time.monotonic() - before


@pytest.mark.parametrize("largest", [1400, 800])
@pytest.mark.parametrize("probing", [0, 1])
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("security", ["psk", "tls"])
def test_bytes_come_through(network, start, tmp_path, report_figure, security, direction, probing, largest):
    net = network(RoutedNetwork)
    for place in (net.client, net.server):
        place.sysctl("net/ipv4/tcp_mtu_probing", probing)
    net.swallow_larger_than(largest)
    stage = start(NetworkStage(tmp_path, net, security=security))
    before = time.monotonic()
    near, far = stage.connect_both()
    connected = time.monotonic() - before
    seconds = carried(near, far) if direction == "up" else carried(far, near)
    report_figure(f"packets over {largest} bytes swallowed, {security}, tcp_mtu_probing={probing}, {direction}: connected "
                  f"after {connected:.1f} s, 3 MiB in {seconds:.1f} s")
    assert seconds < patient(5)


def test_what_was_learned_serves_other_sessions(network, start, tmp_path):
    net = network(RoutedNetwork)
    net.swallow_larger_than(1400)
    stage = start(NetworkStage(tmp_path, net))
    near, far = stage.connect_both()
    carried(near, far)
    second_near, second_far = stage.connect_both()
    carried(second_near, second_far)
    session = max(stage.client.control.sessions(), key=lambda session: session["created_at"])
    assert session["generation"] == 1, "its first link carried everything"


def test_links_of_a_silent_peer_are_not_replaced_ever_faster(network, start, tmp_path):
    """The path carries nothing but handshakes, whatever their size."""
    net = network(RoutedNetwork)
    net.swallow_larger_than(520)
    stage = start(NetworkStage(tmp_path, net))
    near, _ = stage.connect_both()
    near.sendall(bytes(64 * 1024))
    moments = []

    def next_link():
        seen = stage.client.control.sessions()[0]["generation"]
        wait_until(lambda: stage.client.control.sessions()[0]["generation"] > seen, 20, "another link")
        moments.append(time.monotonic())

    for _ in range(6):
        next_link()
    lives = [after - before for before, after in itertools.pairwise(moments)]
    assert lives[-1] > 2 * lives[0]
