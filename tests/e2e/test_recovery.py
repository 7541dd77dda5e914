"""How long a user waits after a cut. Reported at the end of the run; no time is a failure."""

import random
import time

import pytest

from support.relay import FIN, RESET
from support.streams import echo_once
from support.targets import EchoTarget
from support.waiting import scaled

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
