"""What a burst has taken is given back to the system soon after it has been delivered."""

import pytest

from support.streams import Background, Pattern, receive_pattern, send_pattern
from support.targets import SourceTarget, StalledTarget
from support.waiting import MIB, wait_until

BURST_BYTES = 96 * MIB
REPLAY_BUFFER = 64 * MIB
LIMITS = {"limits": {"replay_buffer": "64MiB"}}
# 2 MiB a worker stay in the pool, and the daemon has meanwhile met its first sessions.
KEPT_BYTES = 12 * MIB


def test_memory_falls_back_when_the_bytes_of_an_outage_have_been_delivered(tunnel, start):
    """Meanwhile those for the target wait in the client, those for the application in the server."""
    stalled, source = start(StalledTarget()), start(SourceTarget(2, BURST_BYTES))
    stage = tunnel({"stalled": stalled.address, "source": source.address}, server_settings=LIMITS, client_settings=LIMITS)
    if stage.client.is_instrumented():
        pytest.skip("a sanitizer's shadow memory makes memory figures meaningless")
    idle = {daemon: daemon.rss_bytes() for daemon in stage.daemons()}

    with stage.connect("stalled") as upward, stage.connect("source") as downward:
        wait_until(lambda: len(stage.server.control.sessions()) == 2, 10, "both sessions to be open")
        stage.relay.refuse()
        stage.relay.cut()
        writer = Background(send_pattern, upward, Pattern(1), BURST_BYTES)
        for daemon in stage.daemons():
            wait_until(lambda daemon=daemon: daemon.rss_bytes() > idle[daemon] + REPLAY_BUFFER * 3 // 4, 20,
                       f"{daemon.name} to fill its buffers")
        stage.relay.accept()
        stalled.release()
        receive_pattern(downward, Pattern(2), BURST_BYTES)
        writer.result(30)
        # The sessions go on: what is given back does not wait for their end.
        for daemon in stage.daemons():
            wait_until(lambda daemon=daemon: daemon.rss_bytes() < idle[daemon] + KEPT_BYTES, 10,
                       lambda daemon=daemon: f"{daemon.name} to give memory back: it holds "
                                             f"{(daemon.rss_bytes() - idle[daemon]) // MIB} MiB more than when it was idle")
