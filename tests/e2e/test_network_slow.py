"""A slow and lossy path that lives: it is used as it is, and nobody takes it for dead."""

import subprocess
import time

import pytest

from support.files import random_file, sha256_of
from support.network_stage import NetworkStage
from support.slow_network import SlowNetwork
from support.waiting import KIB, MIB, SCALE, patient, short_or_full

pytestmark = pytest.mark.skipif(SCALE < 1, reason="an instrumented daemon beside others is slower than the link")

SECONDS = short_or_full(15, 60)
KEYSTROKES = {"piece_bytes": 32, "seconds": 0.1}


def assert_links_were_left_alone(stage):
    """Each session still has its first link."""
    for daemon in stage.daemons():
        for session in daemon.control.sessions():
            assert (session["generation"], session["reconnects"]) == (1, 0), session
    for daemon in stage.daemons():
        assert not daemon.log_lines("generation [2-9]"), daemon.name


@pytest.mark.may_take(300)
def test_scp_and_a_shell_share_ten_megabits_with_a_round_trip_of_50_ms_and_one_percent_loss(
        network, start, tmp_path, report_figure):
    net = network(SlowNetwork, tmp_path, round_trip_ms=50, loss_percent=1, bits_per_second=10_000_000,
                  queue_bytes=256 * KIB)
    stage = start(NetworkStage(tmp_path, net))
    flow = stage.ssh_flow(1, **KEYSTROKES)
    original, copy = tmp_path / "original", tmp_path / "copy"
    random_file(original, MIB, seed=1)
    end = time.monotonic() + SECONDS
    copies, slowest = 0, 0.0
    while time.monotonic() < end:
        begin = time.monotonic()
        copying = stage.start_program(*stage.scp(original, stage.sshd.remote(copy)))
        while copying.poll() is None:
            slowest = max(slowest, flow.wait_first(time.monotonic(), 20) - time.monotonic() + flow.quiet_seconds())
            assert time.monotonic() - begin < patient(60), "scp does not get on"
        assert copying.returncode == 0, copying.communicate()[1]
        assert sha256_of(original) == sha256_of(copy)
        assert_links_were_left_alone(stage)
        copies += 1
    flow.finish()
    report_figure(f"10 Mbit/s, 50 ms, 1 % loss: {copies} MiB by scp in {SECONDS} s beside a shell, no takeover, "
                  f"{stage.surplus_dials()} dials for candidates")


@pytest.mark.may_take(300)
@pytest.mark.parametrize("congestion", ["cubic", "bbr"])
def test_a_slow_lossy_path_with_full_buffers_keeps_its_links(network, start, tmp_path, report_figure,
                                                            congestion):
    """1 Mbit/s, 300 ms, 2 % loss: far more is written both ways than gets through, until every buffer is full."""
    net = network(SlowNetwork, tmp_path, round_trip_ms=300, loss_percent=2, bits_per_second=1_000_000,
                  queue_bytes=128 * KIB, congestion=congestion)
    stage = start(NetworkStage(tmp_path, net))
    flow = stage.ssh_flow(1, **KEYSTROKES)
    original = tmp_path / "original"
    random_file(original, 32 * MIB, seed=1)
    copying = [stage.start_program(*stage.scp(original, stage.sshd.remote(tmp_path / "there")), stderr=subprocess.DEVNULL),
               stage.start_program(*stage.scp(stage.sshd.remote(original), tmp_path / "back"), stderr=subprocess.DEVNULL)]
    try:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            flow.wait_first(time.monotonic(), 30)
            assert_links_were_left_alone(stage)
            assert all(process.poll() is None for process in copying), "scp ended"
        carried = sum(session["bytes_in"] + session["bytes_out"] - session["unacked"]
                      for session in stage.client.control.sessions())
        report_figure(f"1 Mbit/s, 300 ms, 2 % loss, {congestion}: {SECONDS} s, {carried // KIB} KiB carried, no takeover, "
                      f"{stage.surplus_dials()} dials for candidates")
        assert carried > 4 * KIB * SECONDS
    finally:
        for process in copying:
            process.kill()
            process.wait()
    # What the shell wrote before comes out, behind all that waits.
    flow.finish(60)
