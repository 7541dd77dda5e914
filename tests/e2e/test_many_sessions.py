"""Hundreds of sessions through the same cuts: nothing mixes, nothing is left behind."""

import selectors
import socket

import pytest

from support.streams import PIECE_BYTES, Pattern
from support.targets import EchoTarget
from support.waiting import KIB, Deadline, scaled, wait_until

SESSIONS = scaled(500, least=50)
CUTS = 20
ROUND_BYTES = 16 * KIB


class Conversation:
    """One session's echo: its bytes depend on its number, so another's cannot pass for them."""

    def __init__(self, sock, pattern, number):
        self.sock = sock
        self._pattern = pattern
        self._base = number * 2089  # where in the pattern this session's stream begins
        self.goal = 0
        self.sent = 0
        self.received = 0

    def done(self):
        return self.received == self.goal

    def write(self):
        """Writes what fits; true when that was all."""
        try:
            while self.sent < self.goal:
                self.sent += self.sock.send(self._pattern.at(self._base + self.sent, self.goal - self.sent))
        except BlockingIOError:
            return False
        return True

    def read(self):
        data = self.sock.recv(PIECE_BYTES)
        assert data, f"end of stream at {self.received}"
        assert self.received + len(data) <= self.sent, "more bytes than were written"
        self._pattern.check(self._base + self.received, data)
        self.received += len(data)


def converse(selector, conversations, deadline):
    """Runs until every conversation has its goal."""
    waiting = {conversation for conversation in conversations if not conversation.done()}
    for conversation in waiting:
        selector.modify(conversation.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, conversation)
    while waiting:
        assert not deadline.passed(), f"{len(waiting)} sessions still without their bytes"
        for key, events in selector.select(0.5):
            conversation = key.data
            if events & selectors.EVENT_WRITE and conversation.write():
                selector.modify(conversation.sock, selectors.EVENT_READ, conversation)
            if events & selectors.EVENT_READ:
                conversation.read()
            if conversation.done():
                waiting.discard(conversation)


def is_at_rest(daemon):
    return (all(session["buffered"] == 0 and session["unacked"] == 0 for session in daemon.control.sessions())
            and daemon.control.status()["totals"]["segments_in_use"] == 0)


@pytest.mark.alone
def test_hundreds_of_sessions_survive_twenty_cuts_and_hold_nothing_when_idle(tunnel, start):
    echo = start(EchoTarget())
    stage = tunnel(echo.address)
    pattern = Pattern(1)
    selector = selectors.DefaultSelector()
    conversations = []
    for number in range(SESSIONS):
        sock = stage.connect()
        sock.setblocking(False)
        conversations.append(Conversation(sock, pattern, number))
        selector.register(sock, selectors.EVENT_READ, conversations[-1])
    try:
        deadline = Deadline(60)
        while stage.relay.cuts < CUTS:
            # The bytes are on their way when the cut comes.
            for conversation in conversations:
                conversation.goal += ROUND_BYTES
                conversation.write()
            wait_until(lambda: stage.relay.open_links, 10, "a link")
            stage.relay.cut()
            converse(selector, conversations, deadline)
        for daemon in stage.daemons():
            assert len(daemon.control.sessions()) == SESSIONS
            wait_until(lambda d=daemon: is_at_rest(d), 10, f"{daemon.name} to give its buffers back")
        for conversation in conversations:
            conversation.sock.setblocking(True)
            conversation.sock.settimeout(deadline.left() + 10)
            conversation.sock.shutdown(socket.SHUT_WR)
        for conversation in conversations:
            assert conversation.sock.recv(1) == b""
        stage.wait_no_sessions(20)
    finally:
        selector.close()
        for conversation in conversations:
            conversation.sock.close()
    assert echo.accepted == SESSIONS
