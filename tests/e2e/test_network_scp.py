"""A blackhole under a running scp: it goes on where it was, and what was acknowledged is not sent again."""

import time

import pytest

from support.files import random_file, sha256_of
from support.network_stage import NetworkStage
from support.routed_network import RoutedNetwork
from support.waiting import KIB, MIB, patient, short_or_full, wait_until

OUTAGE = short_or_full(6, 60)
SIZE = short_or_full(24, 96) * MIB
MEGABITS = 60  # so that buffers are full when the network goes away
WITHIN = patient(short_or_full(1.5, 1.0))
# Of TLS, frames, TCP and IP, and what the other way's acknowledgements take.
OVERHEAD = 1.10


def acknowledged(daemon):
    """{session: bytes that need not be sent again}"""
    return {session["id"]: session["bytes_out"] - session["unacked"] for session in daemon.control.sessions()}


@pytest.mark.may_take(300)
def test_scp_both_ways_resumes_without_sending_acknowledged_bytes_again(network, start, tmp_path,
                                                                       report_recovery, report_figure):
    net = network(RoutedNetwork)
    net.limit(MEGABITS)
    stage = start(NetworkStage(tmp_path, net))
    original, there, back = tmp_path / "original", tmp_path / "there", tmp_path / "back"
    random_file(original, SIZE, seed=1)
    copying = [stage.start_program(*stage.scp(*paths))
               for paths in ((original, stage.sshd.remote(there)), (stage.sshd.remote(original), back))]
    wait_until(lambda: all(path.exists() and path.stat().st_size > SIZE / 4 for path in (there, back)), 60,
               "a part of both files")

    net.blackhole()
    daemons = {"to_server": stage.client, "to_client": stage.server}
    held = {way: acknowledged(daemon) for way, daemon in daemons.items()}
    time.sleep(OUTAGE)
    assert all(process.poll() is None for process in copying), "scp ended in the outage"
    # No acknowledgement comes through, so this is what both sides may still lack.
    owed = {way: sum(session["unacked"] for session in daemon.control.sessions()) for way, daemon in daemons.items()}
    before = net.counters()
    sizes = [path.stat().st_size for path in (there, back)]
    moment = time.monotonic()
    net.heal()
    wait_until(lambda: all(path.stat().st_size > size for path, size in zip((there, back), sizes)), 30,
               "both files to grow", interval=0.002)
    seconds = time.monotonic() - moment
    for process in copying:
        assert process.wait(patient(120)) == 0, process.communicate()[1]
    after = net.counters()

    assert sha256_of(original) == sha256_of(there) == sha256_of(back)
    report_recovery(f"blackhole of {OUTAGE} s under scp both ways", [seconds])
    totals = {way: daemon.control.status()["totals"] for way, daemon in daemons.items()}
    for way, other in (("to_server", stage.server), ("to_client", stage.client)):
        # What one side read from its application, the other delivered: known when the sessions have ended.
        missing = other.control.status()["totals"]["bytes_in"] - sum(held[way].values())
        on_the_wire = after[way] - before[way]
        report_figure(f"scp, blackhole of {OUTAGE} s, {way}: {owed[way] / KIB:.0f} KiB unacknowledged at the end of the "
                      f"outage, {totals[way]['replayed_bytes'] / KIB:.0f} KiB replayed; after it {missing / KIB:.0f} KiB "
                      f"were missing, {on_the_wire / KIB:.0f} KiB on the wire")
        assert totals[way]["replayed_bytes"] <= owed[way]
        assert missing > 0
        assert on_the_wire <= missing * OVERHEAD + 512 * KIB
    assert seconds < WITHIN
