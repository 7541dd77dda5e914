"""How long a user waits after a cut. Reported at the end of the run; no time is a failure."""

import random
import time

import pytest

from support.relay import FIN, RESET
from support.streams import echo_once
from support.targets import EchoTarget
from support.waiting import patient, scaled

CUTS = scaled(150, least=100)


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
@pytest.mark.parametrize("how", [RESET, FIN])
def test_recovery_time_after_a_cut(tunnel, start, report_recovery, tls, how):
    """A byte is sent right after the cut; its echo needs a new link and a round trip."""
    stage = tunnel(start(EchoTarget()).address, tls=tls)
    moments = random.Random(1)
    seconds = []
    with stage.connect() as sock:
        for _ in range(CUTS):
            echo_once(sock)
            # Not always the same phase between traffic and cut.
            time.sleep(moments.uniform(0, 0.01))
            before = time.monotonic()
            assert stage.relay.cut(how) >= 1
            echo_once(sock)
            seconds.append(time.monotonic() - before)
    report_recovery(f"{'TLS' if tls else 'plaintext'}, cut by {how}", seconds)


@pytest.mark.parametrize("away", [3, 4, 5])
def test_a_peer_that_refused_connections_is_found_again_soon(tunnel, start, report_figure, away):
    """In the first minute it is dialled at least every half second."""
    stage = tunnel(start(EchoTarget()).address)
    with stage.connect() as sock:
        echo_once(sock)
        stage.relay.refuse()
        stage.relay.cut(RESET)
        time.sleep(away)
        stage.relay.accept()
        before = time.monotonic()
        echo_once(sock)
        seconds = time.monotonic() - before
    report_figure(f"refused for {away} s: back after {1000 * seconds:.0f} ms")
    assert seconds < patient(0.8)
