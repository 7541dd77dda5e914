"""Something on the path accepts connections itself, and the server behind it answers late."""

import time

import pytest

from support.slow_relay import SlowRelay
from support.streams import echo_once
from support.targets import EchoTarget
from support.waiting import patient


@pytest.mark.may_take(180)
@pytest.mark.parametrize("security", ["psk", "none"])
@pytest.mark.parametrize("round_trip", [0.5, 1.1, 3, 8])
def test_a_slow_answer_is_waited_for(tunnel, start, round_trip, security):
    """Not by the first attempt, which cannot know; but soon, and the link is then kept."""
    stage = tunnel(start(EchoTarget()).address, security=security)
    stage.relay.destination = start(SlowRelay(stage.server_address, round_trip)).address
    with stage.connect(timeout=90) as sock:
        before = time.monotonic()
        echo_once(sock)
        first = time.monotonic() - before
        # At most: two attempts that were too impatient, connection and handshake, WELCOME, and the echo.
        assert first < patient(1 + 3 + 4 * round_trip + 1)
        generation = stage.client.control.sessions()[0]["generation"]
        for _ in range(2):
            echo_once(sock)
        session = stage.client.control.sessions()[0]
        assert (session["state"], session["generation"]) == ("connected", generation), "the link was not kept"


@pytest.mark.may_take(60)
def test_later_attempts_know_that_answers_are_slow(tunnel, start):
    stage = tunnel(start(EchoTarget()).address, security="none")
    stage.relay.destination = start(SlowRelay(stage.server_address, 2)).address
    with stage.connect() as first:
        echo_once(first)
        attempts = stage.relay.links
        assert attempts > 1
        # While the first is open, so that its link is not there for the second.
        with stage.connect() as second:
            echo_once(second)
            assert stage.relay.links == attempts + 1
