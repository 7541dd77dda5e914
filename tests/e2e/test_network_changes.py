"""The network stays, and something in it changes from one moment to the next: addresses, translations, paths.

Times are those of one byte that is written at once after the change, to the other end and one back. Meanwhile a
real ssh carries a checked stream.
"""

import time

import pytest

from support.flows import heal_seconds
from support.network_stage import NetworkStage
from support.routed_network import SERVER_NAME, RoutedNetwork
from support.waiting import patient, short_or_full

pytestmark = pytest.mark.may_take(300)

WITHIN = patient(short_or_full(1.5, 1.0))
WITHIN_REACHABLE = patient(short_or_full(0.25, 0.05))
WITHIN_DEAD_FIRST = patient(short_or_full(0.6, 0.3))


def crossings(stage, runs, change, restore=lambda: None):
    """Changes something `runs` times and has a byte cross each time; the stream through ssh runs beside."""
    flow = stage.ssh_flow(1)
    near, far = stage.connect_both()
    times = []
    for _ in range(runs):
        stage.crossing_seconds(near, far)
        flow.wait_first(time.monotonic(), 30)
        change()
        times.append(stage.crossing_seconds(near, far))
        flow.wait_first(time.monotonic(), 30)
        restore()
        stage.wait_connected()
    flow.finish()
    return times


def test_a_connection_that_is_reset_on_the_way_is_replaced_at_once(network, start, tmp_path, report_recovery):
    net = network(RoutedNetwork)
    stage = start(NetworkStage(tmp_path, net))
    times = crossings(stage, short_or_full(10, 50), lambda: net.reset_links(stage.link_ports()))
    report_recovery("link reset on the way", times)
    assert stage.reconnects() >= len(times)
    assert max(times) < WITHIN_REACHABLE


def test_a_new_client_address_is_taken_up(network, start, tmp_path, report_recovery):
    net = network(RoutedNetwork)
    stage = start(NetworkStage(tmp_path, net))
    times = crossings(stage, short_or_full(3, 20), net.replace_client_address)
    report_recovery("client address replaced", times)
    assert max(times) < WITHIN


def test_a_new_client_address_is_taken_up_over_ipv6(network, start, tmp_path, report_recovery):
    net = network(RoutedNetwork, 6)
    stage = start(NetworkStage(tmp_path, net))
    times = crossings(stage, short_or_full(1, 20), net.replace_client_address)
    report_recovery("client address replaced, IPv6", times)
    assert max(times) < WITHIN


def test_a_translation_that_is_lost_and_answered_with_a_reset_costs_next_to_nothing(network, start, tmp_path,
                                                                                   report_recovery):
    net = network(RoutedNetwork)
    net.translate()
    stage = start(NetworkStage(tmp_path, net))
    times = crossings(stage, short_or_full(3, 20), net.forget_translations)
    report_recovery("NAT rebinding, reset", times)
    assert max(times) < WITHIN_REACHABLE


def test_a_translation_that_is_lost_silently_is_found_out(network, start, tmp_path, report_recovery):
    net = network(RoutedNetwork)
    net.translate(silent=True)
    stage = start(NetworkStage(tmp_path, net))
    times = crossings(stage, short_or_full(1, 20), net.forget_translations)
    report_recovery("NAT rebinding, silent (from the change on)", times)
    assert max(times) < WITHIN


def test_a_server_that_comes_back_with_another_address_is_found_by_its_name(network, start, tmp_path,
                                                                           report_recovery):
    net = network(RoutedNetwork)
    net.publish_server()
    stage = start(NetworkStage(tmp_path, net, hosts=[SERVER_NAME]))
    flows = stage.stream_both_ways()
    times = []
    for _ in range(short_or_full(1, 20)):
        net.far_link_down()
        net.move_server()
        time.sleep(short_or_full(4, 5))
        times.append(heal_seconds(flows, net.far_link_up))
        stage.wait_connected()
    for flow in flows:
        flow.finish()
    report_recovery("server back with another address behind its name", times)
    assert max(times) < WITHIN


def test_a_server_that_moves_without_a_word_is_found_by_its_name(network, start, tmp_path, report_recovery):
    net = network(RoutedNetwork)
    net.publish_server()
    stage = start(NetworkStage(tmp_path, net, hosts=[SERVER_NAME]))
    times = crossings(stage, short_or_full(1, 20), net.move_server)
    report_recovery("server address replaced behind its name (from the change on)", times)
    assert max(times) < WITHIN


def test_a_dead_endpoint_in_front_of_a_living_one_costs_little(network, start, tmp_path, report_recovery):
    """The first of two addresses swallows everything, when sessions open and when they reconnect."""
    net = network(RoutedNetwork)
    living, dead = net.server_address(), net.add_server_address()
    net.drop_address(dead)
    stage = start(NetworkStage(tmp_path, net, hosts=[dead, living]))
    opening = []
    for _ in range(short_or_full(3, 20)):
        before = time.monotonic()
        near, far = stage.connect_both()
        stage.crossing_seconds(near, far)
        opening.append(time.monotonic() - before)
    times = crossings(stage, short_or_full(3, 20), lambda: net.reset_links(stage.link_ports()))
    report_recovery("first of two endpoints dead: opening", opening)
    report_recovery("first of two endpoints dead: link reset on the way", times)
    assert max(opening) < WITHIN_DEAD_FIRST
    assert max(times) < WITHIN_DEAD_FIRST


def test_the_other_endpoint_is_used_when_one_dies(network, start, tmp_path, report_recovery):
    net = network(RoutedNetwork)
    first, second = net.server_address(), net.add_server_address()
    stage = start(NetworkStage(tmp_path, net, hosts=[first, second]))

    def drop_the_used_one():
        links = [session["link"] for session in stage.client.control.sessions() if session["service"] == "stream"]
        net.drop_address(first if links[0].startswith(f"{first}:") else second)

    times = crossings(stage, short_or_full(1, 20), drop_the_used_one, net.restore_addresses)
    report_recovery("one of two endpoints dies silently (from the change on)", times)
    assert max(times) < WITHIN
