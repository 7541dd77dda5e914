"""The network, or a daemon, is gone for a while and comes back: data flows both ways again within a second.

Times count from the start of the command that heals until bytes arrive again in both directions of a stream and
through a real ssh. Every byte is checked.
"""

import signal
import time

import pytest

from support.flows import heal_seconds
from support.network_stage import NetworkStage
from support.routed_network import RoutedNetwork
from support.waiting import FULL, patient, short_or_full

WITHIN = patient(short_or_full(1.5, 1.0))
WITHIN_BY_NETLINK = patient(short_or_full(0.5, 0.2))

only_full = pytest.mark.skipif(not FULL, reason="takes minutes; BACKEDPIPE_E2E_NETWORK=full")


def case(*values, full_only=False, runs):
    return pytest.param(*values, runs, marks=only_full if full_only else (), id="-".join(map(str, values)))


def go_through(stage, flows, seconds, runs, breaks, heals):
    """Breaks and heals `runs` times; returns the times from healing until everything flows again."""
    times = []
    for _ in range(runs):
        breaks()
        time.sleep(seconds)
        for flow in flows:
            assert flow.quiet_seconds() > seconds / 2, "something came through while nothing could"
        times.append(heal_seconds(flows, heals))
        stage.wait_connected()
    for flow in flows:
        flow.finish()
    return times


@pytest.mark.may_take(500)
@pytest.mark.parametrize("where, seconds, family, runs", [
    case("client", 1, 4, runs=short_or_full(3, 20)),
    case("client", 1, 6, runs=short_or_full(1, 20)),
    case("client", 10, 4, runs=20, full_only=True),
    case("client", 60, 4, runs=3, full_only=True),
    case("far", 1, 4, runs=short_or_full(2, 20)),
    case("far", 10, 4, runs=20, full_only=True),
    case("far", 10, 6, runs=5, full_only=True),
    case("far", 60, 4, runs=3, full_only=True),
])
def test_everything_flows_again_after_a_link_was_down(network, start, tmp_path, report_recovery,
                                                      where, seconds, family, runs):
    """The client's own link, of which netlink tells it, and the router's other one, of which nothing does."""
    net = network(RoutedNetwork, family)
    stage = start(NetworkStage(tmp_path, net))
    flows = stage.stream_both_ways()
    down, up = ((net.client_link_down, net.client_link_up) if where == "client" else
                (net.far_link_down, net.far_link_up))
    times = go_through(stage, flows, seconds, runs, down, up)
    report_recovery(f"link down for {seconds} s at {where} end, IPv{family}", times)
    assert max(times) < (WITHIN_BY_NETLINK if where == "client" else WITHIN)


@pytest.mark.may_take(500)
@pytest.mark.parametrize("seconds, family, runs", [
    case(10, 4, runs=short_or_full(1, 20)),
    case(10, 6, runs=5, full_only=True),
    case(60, 4, runs=5, full_only=True),
])
def test_everything_flows_again_after_a_silent_blackhole(network, start, tmp_path, report_recovery,
                                                         seconds, family, runs):
    """Both sides keep sending into it; nobody is told anything."""
    net = network(RoutedNetwork, family)
    stage = start(NetworkStage(tmp_path, net))
    times = go_through(stage, stage.stream_both_ways(), seconds, runs, net.blackhole, net.heal)
    report_recovery(f"blackhole of {seconds} s, IPv{family}", times)
    assert max(times) < WITHIN


@pytest.mark.may_take(500)
@pytest.mark.parametrize("role", ["client", "server"])
def test_everything_flows_again_after_a_daemon_was_stopped(network, start, tmp_path, report_recovery, role):
    """SIGSTOP: a process that hangs, or a machine that sleeps; its kernel still takes connections."""
    net = network(RoutedNetwork)
    stage = start(NetworkStage(tmp_path, net))
    flows = stage.stream_both_ways()
    process = getattr(stage, role).process
    seconds = short_or_full(5, 30)
    times = go_through(stage, flows, seconds, short_or_full(1, 5),
                       lambda: process.send_signal(signal.SIGSTOP), lambda: process.send_signal(signal.SIGCONT))
    report_recovery(f"{role} daemon stopped for {seconds} s", times)
    assert max(times) < WITHIN
