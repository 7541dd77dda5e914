"""A way of 100 ms without loss: what TCP hears there counts, and what it heard before does not."""

import signal
import time

import pytest

from support.flows import socket_flow
from support.network_stage import NetworkStage
from support.slow_network import SlowNetwork
from support.waiting import KIB, patient, wait_until

# More than patience, which is 600 ms and four round trips, and less than `liveness.dead`.
STOPPED_SECONDS = 4


@pytest.fixture
def stage(network, start, tmp_path):
    return start(NetworkStage(tmp_path, network(SlowNetwork, tmp_path, round_trip_ms=100, loss_percent=0,
                                                bits_per_second=100_000_000, queue_bytes=1024 * KIB)))


@pytest.fixture
def keystrokes(stage):
    """From the client's application to the target."""
    flow = socket_flow(*stage.connect_both(), 1, piece_bytes=32, seconds=0.1)
    flow.wait_first(0, 10)
    stage.wait_connected()
    return flow


def is_suspect(stage):
    return stage.client.control.sessions()[0]["suspect"]


def test_nobody_is_dialled_while_the_other_sides_tcp_still_answers(stage, keystrokes):
    process = stage.server.process
    process.send_signal(signal.SIGSTOP)
    end = time.monotonic() + STOPPED_SECONDS
    while time.monotonic() < end:
        assert not is_suspect(stage)
        time.sleep(0.05)
    process.send_signal(signal.SIGCONT)
    keystrokes.wait_first(time.monotonic(), 10)
    keystrokes.finish()
    assert stage.surplus_dials() == 0 and stage.reconnects() == 0


def test_a_way_that_is_gone_is_doubted_although_tcp_answered_until_then(stage, keystrokes):
    before = time.monotonic()
    stage.network.far_link_down()
    wait_until(lambda: is_suspect(stage), 10, "the client to doubt its link")
    assert time.monotonic() - before < patient(3)
    stage.network.far_link_up()
    keystrokes.wait_first(time.monotonic(), 10)
    keystrokes.finish()


def test_what_tcp_heard_before_the_address_went_does_not_speak_for_the_link(stage, keystrokes):
    stage.network.replace_client_address()
    wait_until(lambda: stage.reconnects() == 1, 10, "the client to be back")
    keystrokes.finish()
    assert stage.surplus_dials() == 1
