"""A session whose client has not shown that it saw the WELCOME holds nothing for longer than a minute.

Whoever opened it may have given it up long ago: the HELLO came late.
"""

import os
import time

import pytest

from support import wire
from support.streams import echo_once
from support.targets import WAS_RESET, ClosingTarget, EchoTarget, SinkTarget
from support.waiting import PATIENCE, scaled, wait_until
from support.wire import Hello, PlainLink, Refused, Welcome

EACH = scaled(200, least=40)
LIVES = 60


def descriptors(daemon):
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def greet(stage, hello, then=None):
    """Says HELLO on a link of its own, and leaves."""
    with PlainLink(stage.server_address) as link:
        answer = link.handshake(hello)
        if then is not None:
            then(link)
        return answer


def ids(stage):
    return {session["id"].replace("-", "") for session in stage.server.control.sessions()}


def ask(link):
    link.send(wire.ping_frame(1))
    link.receive_frame_of(wire.PONG)


@pytest.mark.may_take(200)
def test_a_session_that_nobody_confirms_goes_after_a_minute(tunnel, start):
    """With its descriptor, whether its target waits for it or has ended. One that is confirmed stays."""
    targets = {"target": EchoTarget(), "waiting": SinkTarget(), "closing": ClosingTarget()}
    stage = tunnel({name: start(target).address for name, target in targets.items()}, tls=False)
    before = descriptors(stage.server)

    confirmed = [Hello(service="waiting"), Hello(service="waiting")]
    assert greet(stage, confirmed[0], ask).created
    assert greet(stage, confirmed[1]).created
    assert not greet(stage, Hello(session=confirmed[1].session, generation=2)).created, "a HELLO that only resumes"

    began = time.monotonic()
    orphans = {name: [Hello(service=name) for _ in range(EACH)] for name in ("waiting", "closing")}
    for hello in orphans["waiting"] + orphans["closing"]:
        assert greet(stage, hello).created
    ended = time.monotonic()
    targets["closing"].wait_accepted(EACH)
    targets["waiting"].wait_accepted(EACH + 2)
    assert len(ids(stage)) == 2 * EACH + 2, "none is gone yet"

    wait_until(lambda: len(ids(stage)) == 2, LIVES + 15, lambda: f"only two to be left, not {len(ids(stage))}")
    assert LIVES - 1 <= time.monotonic() - began
    assert time.monotonic() - ended <= LIVES + 5 * PATIENCE
    assert ids(stage) == {hello.session.hex() for hello in confirmed}
    wait_until(lambda: descriptors(stage.server) <= before + 2, 5, lambda: f"{descriptors(stage.server)} descriptors")
    assert targets["waiting"].wait_outcome(EACH) == WAS_RESET

    # A client that has seen no WELCOME has missed nothing; one that has must be told.
    late = greet(stage, Hello(session=orphans["waiting"][0].session, generation=2, service="waiting"))
    assert isinstance(late, Welcome) and late.created, late
    told = greet(stage, Hello(session=orphans["waiting"][1].session, generation=2))
    assert isinstance(told, Refused) and told.reason == wire.EXPIRED, told
    for hello in confirmed:
        again = greet(stage, Hello(session=hello.session, generation=3))
        assert isinstance(again, Welcome) and not again.created, again
    with stage.connect() as sock:
        echo_once(sock, b"and others go on")
