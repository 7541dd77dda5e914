"""A client that came in by the rules and then breaks them: one link or one session ends, with a reason, and no more.

Each test runs beside a session of somebody else (see Bystander). What is refused before a session exists is
in test_refusals.py.
"""

import concurrent.futures
import contextlib

import pytest

from support import wire
from support.bystander import Bystander
from support.streams import Pattern
from support.targets import WAS_RESET, EchoTarget, SinkTarget, SourceTarget, StalledTarget
from support.waiting import KIB, MIB, PATIENCE, patient, scaled, wait_until
from support.wire import Hello, PlainLink, Refused, TlsLink, Welcome

REPLAY_BUFFER, MAX_WINDOW = 4 * MIB, 1 * MIB
SMALL = {"limits": {"replay_buffer": "4MiB", "max_window": "1MiB"}}
# What the allocator keeps of what came and went; no session may cost more than its limits beyond it.
SLACK_BYTES = 8 * MIB
FIRST_WINDOW = 256 * KIB


@pytest.fixture
def server(tunnel, start):
    """A server whose services each behave in one way, and a session on it that is not ours."""
    targets = {"echo": EchoTarget(), "stalled": StalledTarget(), "source": SourceTarget(1, 64 * MIB),
               "sink": SinkTarget()}
    for target in targets.values():
        start(target)
    stage = tunnel({name: target.address for name, target in targets.items()}, tls=False, server_settings=SMALL)
    stage.at = targets
    stage.bystander = start(Bystander(stage.connect("echo"), stage.server.control.sessions))
    return stage


@contextlib.contextmanager
def opened(stage, service="echo", **fields):
    """A link with a session of our own: (link, the HELLO that opened it)."""
    hello = Hello(service=service, **fields)
    with PlainLink(stage.server_address) as link:
        welcome = link.handshake(hello)
        assert isinstance(welcome, Welcome) and welcome.created, welcome
        yield link, hello


def text_of(session):
    return session.hex()


def session_lines(stage, hello, pattern):
    """What the server logged of our session."""
    digits = text_of(hello.session)
    return [line for line in stage.server.log_lines(pattern) if digits in line.replace("-", "")]


def expect_ended(stage, link, hello, reason, name):
    """The session ends with this reason: told to the peer, logged once, and kept for whoever asks again."""
    assert link.receive_frame_of(wire.FRAME_RESET).value == reason
    link.wait_closed()
    wait_until(lambda: session_lines(stage, hello, "ended: "), 5, "the end to be logged")
    (line,) = session_lines(stage, hello, "ended: ")
    assert f"ended: {name} " in line, line
    with PlainLink(stage.server_address) as again:
        answer = again.handshake(Hello(session=hello.session, generation=hello.generation + 1))
        assert isinstance(answer, Refused) and answer.reason == reason, answer


def only_the_bystander_is_left(stage):
    wait_until(lambda: [s["id"] for s in stage.server.control.sessions()] == [stage.bystander.id], 5,
               lambda: f"one session: {stage.server.control.sessions()}")


class MemoryBound:
    """The daemon may grow by so much, and no more, while the context lasts."""

    def __init__(self, daemon, allowed_bytes):
        self._daemon = daemon
        self._allowed = allowed_bytes

    def __enter__(self):
        self._before = self._daemon.rss_bytes()

    def __exit__(self, kind, *exception):
        if kind is None and not self._daemon.is_instrumented():
            grown = self._daemon.peak_rss_bytes() - self._before
            assert grown <= self._allowed, f"grew by {grown / MIB:.1f} MiB"


# -- numbers that cannot be ---------------------------------------------------------------------

FIN, ACK, WINDOW = wire.FIN, wire.ACK, wire.WINDOW
LAST = wire.LAST_NUMBER
OFFENCES = {
    "acknowledges one byte that was never sent": (wire.frame(ACK, acknowledgement=1), "future_sequence"),
    "acknowledges the last number there is": (wire.ping_frame(1, acknowledgement=LAST), "future_sequence"),
    "leaves a gap of one byte": (wire.data_frame(1, b"x"), "protocol_error"),
    "sends at the end of all offsets": (wire.data_frame(LAST - 1, b"x"), "protocol_error"),
    "finishes ahead of its data": (wire.number_frame(FIN, 5), "protocol_error"),
    "finishes at the last number there is": (wire.number_frame(FIN, LAST), "protocol_error"),
    "finishes behind what it sent": (wire.data_frame(0, b"abcd") + wire.number_frame(FIN, 2), "protocol_error"),
    "sends after its end": (wire.data_frame(0, b"ab") + wire.number_frame(FIN, 2) + wire.data_frame(2, b"c"),
                            "protocol_error"),
    "finishes twice, elsewhere": (wire.number_frame(FIN, 0) + wire.number_frame(FIN, 1), "protocol_error"),
}
CODES = {"protocol_error": wire.PROTOCOL_ERROR, "future_sequence": wire.FUTURE_SEQUENCE,
         "window_exceeded": wire.WINDOW_EXCEEDED, "replay_unavailable": wire.REPLAY_UNAVAILABLE}


@pytest.mark.parametrize("frames, name", OFFENCES.values(), ids=OFFENCES.keys())
def test_a_broken_rule_ends_that_session_with_its_reason(server, frames, name):
    with opened(server) as (link, hello):
        link.send(frames)
        expect_ended(server, link, hello, CODES[name], name)
    only_the_bystander_is_left(server)


def test_data_and_fin_that_are_repeated_break_no_rule(server):
    """The other side of the table: a replay may repeat anything, in any pieces."""
    with opened(server) as (link, _):
        link.send(wire.data_frame(0, b"abcd") + wire.data_frame(2, b"cdef") + wire.number_frame(FIN, 6)
                  + wire.data_frame(0, b"abcdef") + wire.number_frame(FIN, 6))
        echoed = b""
        while (got := link.receive_frame()).type != wire.FIN:
            echoed += got.payload if got.type == wire.DATA else b""
        assert echoed == b"abcdef"
        link.send(wire.frame(ACK, acknowledgement=got.value + 1))
        link.receive_frame_of(wire.FRAME_RESET)
    only_the_bystander_is_left(server)


RESUMES = {
    "one byte ahead": (dict(delivered=5, received=5), "future_sequence"),
    "at the last number there is": (dict(delivered=LAST, received=LAST), "future_sequence"),
    "behind what it had acknowledged": (dict(delivered=0, received=0), "replay_unavailable"),
}


@pytest.mark.parametrize("position, name", RESUMES.values(), ids=RESUMES.keys())
def test_a_resume_with_offsets_that_do_not_fit_ends_that_session(server, position, name):
    with opened(server) as (link, hello):
        link.send(wire.data_frame(0, b"abcd"))
        assert link.receive_frame_of(wire.DATA).payload == b"abcd"
        link.send(wire.ping_frame(1, acknowledgement=2))
        link.receive_frame_of(wire.PONG)
        with PlainLink(server.server_address) as liar:
            answer = liar.handshake(Hello(session=hello.session, generation=2, **position))
            assert isinstance(answer, Refused) and answer.reason == CODES[name], answer
        expect_ended(server, link, hello, CODES[name], name)
    only_the_bystander_is_left(server)


@pytest.mark.parametrize("position", [dict(received=1), dict(delivered=1, received=1),
                                      dict(delivered=LAST, received=LAST)], ids=str)
def test_an_opening_hello_that_has_received_something_already_creates_nothing(server, position):
    """Nor does it leave a tombstone that would stand against the correct one."""
    hello = Hello(service="sink", **position)
    with PlainLink(server.server_address) as link:
        answer = link.handshake(hello)
        assert isinstance(answer, Refused) and answer.reason == wire.PROTOCOL_ERROR, answer
        assert link.wait_closed() == b"", "nothing follows a refusal"
    only_the_bystander_is_left(server)
    assert server.at["sink"].accepted == 0
    with PlainLink(server.server_address) as link:
        welcome = link.handshake(Hello(session=hello.session, service="sink"))
        assert isinstance(welcome, Welcome) and welcome.created, welcome
        server.at["sink"].wait_accepted()
        # The same about a session that there is: it stays as it was.
        with PlainLink(server.server_address) as liar:
            answer = liar.handshake(Hello(session=hello.session, generation=2, service="sink", **position))
            assert isinstance(answer, Refused) and answer.reason == wire.PROTOCOL_ERROR, answer
        link.send(wire.ping_frame(7))
        assert link.receive_frame_of(wire.PONG).value == 7


@pytest.mark.parametrize("message", [Welcome(bytes(16), 1, created=True), Welcome(bytes(16), 1), Refused(0x8000, "no"),
                                     Refused(wire.VERSION_UNSUPPORTED)], ids=str)
def test_what_only_a_server_says_is_no_hello(server, message):
    with PlainLink(server.server_address) as link:
        answer = link.handshake(message)
        assert isinstance(answer, Refused) and answer.reason == wire.PROTOCOL_ERROR, answer
        assert link.wait_closed() == b"", "nothing follows a refusal"
    only_the_bystander_is_left(server)


# -- the window ---------------------------------------------------------------------------------


def send_up_to(link, offset, end):
    pattern = Pattern(2)
    while offset < end:
        piece = bytes(pattern.at(offset, min(end - offset, 64 * KIB)))
        link.send(wire.data_frame(offset, piece))
        offset += len(piece)


def fill_window(link):
    """Sends all that the target's socket and then the window take; returns the limit, which moves no more."""
    sent, limit = 0, FIRST_WINDOW
    while sent < limit:
        send_up_to(link, sent, limit)
        sent = limit
        with contextlib.suppress(AssertionError):  # nothing more comes
            while True:
                got = link.receive_frame(0.5)
                limit = max(limit, got.value) if got.type == wire.WINDOW else limit
    return limit


def test_one_byte_beyond_the_window_ends_that_session(server):
    with MemoryBound(server.server, MAX_WINDOW + SLACK_BYTES), opened(server, "stalled") as (link, hello):
        limit = fill_window(link)
        link.send(wire.data_frame(limit, b"x"))
        expect_ended(server, link, hello, wire.WINDOW_EXCEEDED, "window_exceeded")
    only_the_bystander_is_left(server)


@pytest.mark.parametrize("limit", [wire.LAST_NUMBER, 2**63, 10**15], ids=hex)
def test_a_peer_that_takes_everything_and_acknowledges_nothing_costs_one_replay_buffer(server, limit):
    """What the server keeps is its own choice; a window without end changes nothing about it."""
    with MemoryBound(server.server, REPLAY_BUFFER + SLACK_BYTES), \
         opened(server, "source", window_limit=limit) as (link, hello):

        def ours():
            return next(s for s in server.server.control.sessions() if s["id"] != server.bystander.id)

        # Acknowledging nothing, so all that was taken from the target is still held. More is taken as the link takes it.
        received, pattern = 0, Pattern(1)
        while received < 2 * MIB or ours()["unacked"] < REPLAY_BUFFER:
            got = link.receive_frame_of(wire.DATA)
            pattern.check(received, got.payload)
            received += len(got.payload)
        link.send(wire.number_frame(WINDOW, 0) + wire.number_frame(WINDOW, 1) + wire.number_frame(WINDOW, limit))
        assert ours()["unacked"] == REPLAY_BUFFER
        link.send(wire.reset_frame(wire.APPLICATION_RESET))
        link.wait_closed()
        wait_until(lambda: session_lines(server, hello, "ended: application_reset"), 5, "the end to be logged")
    only_the_bystander_is_left(server)


def test_a_window_that_shrinks_takes_nothing_back(server):
    with opened(server, "source", window_limit=1000) as (link, _):
        assert len(link.receive_frame_of(wire.DATA).payload) == 1000
        link.send(wire.number_frame(WINDOW, 1003) + wire.number_frame(WINDOW, 500))
        got = link.receive_frame_of(wire.DATA)
        assert (got.value, len(got.payload)) == (1000, 3)
        link.send(wire.number_frame(WINDOW, 1004) + wire.number_frame(WINDOW, 0))
        assert len(link.receive_frame_of(wire.DATA).payload) == 1


def test_a_handshake_that_states_a_lower_window_takes_nothing_back(server):
    with opened(server, "source", window_limit=1000) as (link, hello):
        assert len(link.receive_frame_of(wire.DATA).payload) == 1000
        for generation, received, limit, sends in ((2, 0, 500, 1000), (3, 990, 0, 10), (4, 1000, 1003, 3)):
            with PlainLink(server.server_address) as again:
                again.handshake(Hello(session=hello.session, generation=generation, received=received, window_limit=limit))
                got = again.receive_frame_of(wire.DATA)
                assert (got.value, len(got.payload)) == (received, sends)


# -- floods -------------------------------------------------------------------------------------

PINGS = scaled(100_000, least=10_000)


def test_a_flood_of_pings_over_tls_is_answered_with_the_newest(tunnel, start):
    stage = tunnel(start(EchoTarget()).address)
    start(Bystander(stage.connect(), stage.server.control.sessions))
    with MemoryBound(stage.server, SLACK_BYTES), \
         TlsLink(stage.server_address, "laptop", stage.key) as link, \
         concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert isinstance(link.handshake(Hello(service="target")), Welcome)
        flood = b"".join(wire.ping_frame(token) for token in range(1, PINGS + 1))
        sending = pool.submit(link.send, flood)
        tokens = [0]
        while tokens[-1] != PINGS:
            tokens.append(link.receive_frame_of(wire.PONG).value)
        assert tokens == sorted(set(tokens)), "each answer is to a newer ping"
        sending.result()


def test_a_link_that_is_taken_over_without_a_pause_costs_one_link(server):
    """Each takeover asks for the same bytes again, and never reads them."""
    takeovers = scaled(500, least=50)
    with MemoryBound(server.server, REPLAY_BUFFER + SLACK_BYTES), \
         opened(server, "source", window_limit=wire.LAST_NUMBER) as (first, hello), \
         contextlib.ExitStack() as links:
        for generation in range(2, takeovers + 2):
            link = links.enter_context(PlainLink(server.server_address))
            link.send(Hello(session=hello.session, generation=generation, window_limit=wire.LAST_NUMBER).encode())
        welcome = link.receive_message()
        assert isinstance(welcome, Welcome) and welcome.generation == takeovers + 1, welcome
        Pattern(1).check(0, link.receive_frame_of(wire.DATA).payload)
        first.wait_closed()
        assert server.server.running()
        sessions = server.server.control.sessions()
        assert len(sessions) == 2, sessions


def test_of_two_links_that_race_for_a_generation_one_is_refused(server):
    with opened(server) as (_, hello), concurrent.futures.ThreadPoolExecutor(4) as pool:
        for generation in range(2, 2 + scaled(50, least=10)):
            with contextlib.ExitStack() as stack:
                links = [stack.enter_context(PlainLink(server.server_address)) for _ in range(4)]
                racer = Hello(session=hello.session, generation=generation)
                answers = list(pool.map(lambda link: link.handshake(racer), links))
                welcomed = [link for link, answer in zip(links, answers) if isinstance(answer, Welcome)]
                refused = [answer.reason for answer in answers if isinstance(answer, Refused)]
                assert len(welcomed) == 1 and refused == 3 * [wire.STALE_GENERATION], answers
                welcomed[0].send(wire.ping_frame(generation))
                assert welcomed[0].receive_frame_of(wire.PONG).value == generation


# -- the last generation ------------------------------------------------------------------------


def test_after_the_last_generation_there_is_no_other(server):
    """It is valid. Its link works; when that is gone, the session waits for an operator or its timeout."""
    with opened(server, generation=wire.LAST_NUMBER) as (link, hello):
        link.send(wire.data_frame(0, b"works"))
        assert link.receive_frame_of(wire.DATA).payload == b"works"
        for generation in (wire.LAST_NUMBER, wire.LAST_NUMBER - 1, 1):
            with PlainLink(server.server_address) as late:
                answer = late.handshake(Hello(session=hello.session, generation=generation))
                assert isinstance(answer, Refused) and answer.reason == wire.STALE_GENERATION, answer
        link.send(wire.data_frame(5, b"still"))
        assert link.receive_frame_of(wire.DATA).payload == b"still"
    wait_until(lambda: session_lines(server, hello, "detached"), 5, "the lost link to be logged")
    ours = next(s for s in server.server.control.sessions() if s["id"] != server.bystander.id)
    assert (ours["state"], ours["generation"]) == ("disconnected", wire.LAST_NUMBER), ours
    server.server.control.close(ours["id"])
    only_the_bystander_is_left(server)


# -- handshakes as large as they may be -----------------------------------------------------------


def test_a_hello_of_the_full_size_is_read_to_its_end(server):
    many = b"".join(wire.extension(0xF100 + number, b"") for number in range(1000))
    for hello in (wire.filled_with_extensions(Hello(service="echo")), Hello(service="echo", extensions=many)):
        with PlainLink(server.server_address) as link:
            assert isinstance(link.handshake(hello), Welcome)
            link.send(wire.data_frame(0, b"and now data"))
            assert link.receive_frame_of(wire.DATA).payload == b"and now data"
    too_large = wire.filled_with_extensions(Hello(service="echo"), wire.MAX_HANDSHAKE_BYTES + 1)
    with PlainLink(server.server_address) as link:
        answer = link.handshake(too_large)
        assert isinstance(answer, Refused) and answer.reason == wire.PROTOCOL_ERROR, answer


# -- its own end --------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [0, 1, 12, 0x8000, 0xFFFF])
def test_a_reset_ends_the_session_whatever_its_reason_says(server, reason):
    """Also "closed", which only the server may say, and reasons that sound as if one could try again."""
    with opened(server, "sink") as (link, hello):
        server.at["sink"].wait_accepted()
        link.send(wire.data_frame(0, b"lost with the session") + wire.reset_frame(reason))
        assert link.receive_frame_of(wire.FRAME_RESET).value == reason
        link.wait_closed()
        assert server.at["sink"].wait_outcome() == WAS_RESET
        link_after = Hello(session=hello.session, generation=2)
        with PlainLink(server.server_address) as again:
            answer = again.handshake(link_after)
            assert isinstance(answer, Refused) and answer.reason == reason, answer
    only_the_bystander_is_left(server)


def test_a_session_that_is_reset_with_its_hello_never_reaches_its_target(server):
    """A target that was dialled would have to be reset again, and may not see a clean end."""
    for _ in range(10):
        with PlainLink(server.server_address) as link:
            link.send(Hello(service="sink").encode() + wire.reset_frame(wire.APPLICATION_RESET))
            assert isinstance(link.receive_message(), Welcome)
            assert link.receive_frame_of(wire.FRAME_RESET).value == wire.APPLICATION_RESET
            link.wait_closed()
    with opened(server, "sink") as (link, _):
        server.at["sink"].wait_accepted()
        link.send(wire.reset_frame(wire.APPLICATION_RESET))
        assert server.at["sink"].wait_outcome() == WAS_RESET
    assert server.at["sink"].accepted == 1
    only_the_bystander_is_left(server)


@pytest.mark.parametrize("acknowledgement", [1, LAST])
def test_a_reset_counts_whatever_it_acknowledges(server, acknowledgement):
    with opened(server, "sink") as (link, hello):
        server.at["sink"].wait_accepted()
        link.send(wire.reset_frame(wire.APPLICATION_RESET, acknowledgement))
        expect_ended(server, link, hello, wire.APPLICATION_RESET, "application_reset")
        assert server.at["sink"].wait_outcome() == WAS_RESET
    only_the_bystander_is_left(server)


def test_what_follows_a_reset_is_not_looked_at(server):
    with opened(server) as (link, hello):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            link.send(wire.reset_frame(wire.APPLICATION_RESET) * 1000 + bytes(range(256)) * 64)
        link.wait_closed()
        wait_until(lambda: session_lines(server, hello, "ended: "), 5, "the end to be logged")
        (line,) = session_lines(server, hello, "ended: ")
        assert "ended: application_reset " in line, line
    only_the_bystander_is_left(server)


def test_a_peer_that_says_nothing_more_loses_its_link(tunnel, start):
    """A connection that stays open proves nothing: what counts is what is received."""
    stage = tunnel({"echo": start(EchoTarget()).address}, tls=False,
                   server_settings={"liveness": {"ping": "500ms", "suspect": "500ms", "dead": "1500ms"}})
    start(Bystander(stage.connect(), stage.server.control.sessions))
    with opened(stage) as (link, hello):
        link.send(wire.data_frame(0, bytes(100))[:50])  # and not a byte more
        link.wait_closed(1.5 * PATIENCE + 2)
        wait_until(lambda: session_lines(stage, hello, "detached: .*timed out"), 5, "the loss to be logged")
        assert not session_lines(stage, hello, "ended: ")
    with PlainLink(stage.server_address) as again:
        welcome = again.handshake(Hello(session=hello.session, generation=2))
        assert isinstance(welcome, Welcome) and welcome.received == 26, welcome
