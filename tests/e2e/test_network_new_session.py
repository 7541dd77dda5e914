"""What a new session costs where the way is long: one round trip on a link that is there, three on a new one."""

import time

from support.network_stage import NetworkStage
from support.slow_network import SlowNetwork
from support.streams import echo_once
from support.targets import EchoTarget
from support.waiting import MIB, wait_until

ROUND_TRIP = 0.2


def test_the_next_session_saves_two_round_trips(network, start, tmp_path, report_figure):
    net = network(SlowNetwork, tmp_path, round_trip_ms=1000 * ROUND_TRIP, loss_percent=0, bits_per_second=100_000_000,
                  queue_bytes=MIB)
    with net.server.entered():
        echo = start(EchoTarget())
    stage = start(NetworkStage(tmp_path, net, stream_target=echo.address))

    def seconds_to_first_answer():
        before = time.monotonic()
        with stage.connect() as sock:
            echo_once(sock)
            taken = time.monotonic() - before
        wait_until(lambda: stage.client.control.status()["peers"][0]["spare_links"] == 1, 10, "a spare link")
        return taken

    seconds_to_first_answer()  # the two hosts find each other
    stage.client.control.call("reload")  # which keeps no link
    fresh = seconds_to_first_answer()
    reused = max(seconds_to_first_answer() for _ in range(3))
    report_figure(f"{1000 * ROUND_TRIP:.0f} ms round trip: first answer after {1000 * fresh:.0f} ms over a new link, "
                  f"{1000 * reused:.0f} ms over one that was there")
    assert stage.client.control.status()["peers"][0]["dials"] == 2
    # The bytes themselves take another.
    assert fresh > 3.9 * ROUND_TRIP
    assert reused < fresh - 1.5 * ROUND_TRIP
