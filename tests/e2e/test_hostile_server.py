"""A server that breaks the rules: the session that went to it ends or waits, and the client daemon's others go on.

One client daemon has two peers, one of them honest. `prey.hostile(behave)` is what the other does with each link.
"""

import contextlib

import pytest

from support import wire
from support.bystander import Bystander
from support.daemon import Daemon, write_config
from support.ports import endpoint, free_port
from support.streams import connect, expect_reset, receive_exactly
from support.targets import EchoTarget
from support.waiting import KIB, MIB, patient, wait_until
from support.wire import HostileServer, Refused, Welcome

SLACK_BYTES = 8 * MIB
MAX_WINDOW = 1 * MIB
LONGEST_PAUSE = 0.5  # between two dials, in the first minute


class Prey:
    """The client daemon, and a server of our own that it trusts."""

    def __init__(self, stage, directory, start):
        self._stage = stage
        self._directory = directory
        self._start = start
        self.client = None
        self.server = None

    def hostile(self, behave, **settings):
        """Starts the client daemon, whose "bad" peer behaves like this."""
        self.server = self._start(HostileServer(behave))
        good, bad = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
        control = self._directory / "prey.sock"
        settings |= {
            "control": {"socket": str(control)}, "limits": {"max_window": "1MiB", "replay_buffer": "4MiB"},
            "peers": {"honest": {"endpoints": [endpoint(*self._stage.server_address)], "security": "none"},
                      "bad": {"endpoints": [endpoint(*self.server.address)], "security": "none"}},
            "tunnels": [{"name": "good", "listen": endpoint(*good), "peer": "honest", "service": "target"},
                        {"name": "bad", "listen": endpoint(*bad), "peer": "bad", "service": "target"}]}
        config = write_config(self._directory / "prey.json", settings)
        self.client = self._start(_Running(Daemon("prey", ["--config", str(config)], control, self._directory)))
        self.bystander = self._start(Bystander(connect(good, patient(30)), self.client.control.sessions))
        self._address = bad

    def connect(self):
        return connect(self._address, patient(30))

    def expect_reset(self, writes=b"", reads_after=lambda: True):
        """An application connects, and its connection ends by a reset, which can come before connect() returns."""
        try:
            sock = self.connect()
        except ConnectionResetError:
            return
        with sock:
            # A socket tells of a reset once, to whoever asks first: writing nothing asks as well.
            if writes:
                try:
                    sock.sendall(writes)
                except ConnectionResetError:
                    return
            wait_until(reads_after, 10, "the moment to read")
            expect_reset(sock)

    def victims(self):
        return [session for session in self.client.control.sessions() if session["tunnel"] == "bad"]

    def wait_over(self, reason):
        """No victim is left, and its end was logged once, with this reason."""
        wait_until(lambda: not self.victims(), 10, lambda: f"the session to end: {self.victims()}")
        (line,) = self.client.log_lines("ended: ")
        assert f"ended: {reason} " in line, line


class _Running:
    """A daemon that must have ended well by the end of the test."""

    def __init__(self, daemon):
        self._daemon = daemon

    def __enter__(self):
        return self._daemon.wait_ready()

    def __exit__(self, *exception):
        try:
            self._daemon.stop()
        finally:
            self._daemon.kill()


@pytest.fixture
def prey(tunnel, start, tmp_path):
    return Prey(tunnel(start(EchoTarget()).address, tls=False), tmp_path, start)


def welcome_to(hello, **fields):
    return Welcome(hello.session, hello.generation, created=bool(hello.service), **fields)


def silent(link, hello):
    """A server that does its part and no more; returns when the client closes the link."""
    link.send(welcome_to(hello).encode())
    link.wait_closed(60)


# -- answers that do not answer -----------------------------------------------------------------

OTHER_SESSION = bytes(16)
ANSWERS = {
    "another session": lambda hello: Welcome(OTHER_SESSION, hello.generation, created=True).encode(),
    "another generation": lambda hello: Welcome(hello.session, hello.generation + 1, created=True).encode(),
    "the last generation": lambda hello: Welcome(hello.session, wire.LAST_NUMBER, created=True).encode(),
    "more delivered than received": lambda hello: welcome_to(hello, delivered=5, received=4).encode(),
    "the HELLO itself": lambda hello: hello.encode(),
    "another version": lambda hello: b"BKPD\x09" + welcome_to(hello).encode()[5:],
    "too long": lambda hello: wire.filled_with_extensions(welcome_to(hello), 4097).encode(),
    "text": lambda hello: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "nothing": lambda hello: b"",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_that_fits_no_hello_is_one_failed_attempt(prey, answer):
    """Whoever is on the path can send this. The client tries again with backoff, and gets through in the end."""
    generations = []

    def behave(link):
        hello = link.receive_message()
        generations.append(hello.generation)
        if len(generations) < 4:
            link.send(answer(hello))
            return
        silent(link, hello)

    prey.hostile(behave)
    with prey.connect():
        wait_until(lambda: [s["state"] for s in prey.victims()] == ["connected"], 10, lambda: f"{prey.victims()}")
        assert generations == [1, 2, 3, 4], generations
        assert prey.server.dialled_at[3] - prey.server.dialled_at[0] >= 0.025 + 0.05 + 0.1, "no backoff"


def test_an_answer_that_created_what_was_only_resumed_is_one_failed_attempt(prey):
    """A server that has lost the session must not pass a new one off as the old one."""
    hellos = []

    def behave(link):
        hello = link.receive_message()
        hellos.append((hello.generation, hello.service))
        if hello.generation == 1:
            link.send(welcome_to(hello).encode())
            link.receive_frame_of(wire.WINDOW)
            return
        if hello.generation == 2:
            link.send(Welcome(hello.session, hello.generation, created=True).encode())
            assert link.wait_closed() == b"", "it is not answered with frames"
            return
        link.send(welcome_to(hello).encode() + wire.data_frame(0, b"the old one"))
        link.wait_closed(60)

    prey.hostile(behave)
    with prey.connect() as sock:
        assert receive_exactly(sock, 11) == b"the old one"
    assert hellos == [(1, "target"), (2, ""), (3, "")]


def test_what_follows_a_refusal_is_not_looked_at(prey):
    def behave(link):
        link.receive_message()
        link.send(Refused(wire.TARGET_REFUSED).encode() + wire.data_frame(0, b"x") * 100)
        link.wait_closed()

    prey.hostile(behave)
    prey.expect_reset()
    prey.wait_over("target_refused")
    assert prey.server.links == 1


def test_an_answer_of_the_full_size_is_read_to_its_end(prey):
    def behave(link):
        hello = link.receive_message()
        message = wire.filled_with_extensions(welcome_to(hello)).encode()
        for at in range(0, len(message), 100):
            link.send(message[at : at + 100])
        link.send(wire.data_frame(0, b"welcome"))
        link.wait_closed(60)

    prey.hostile(behave)
    with prey.connect() as sock:
        assert receive_exactly(sock, 7) == b"welcome"


def test_refusals_without_end_are_met_with_backoff(prey):
    """And their text, which comes from outside, cannot forge a line of the log."""
    text = "busy\n2026-01-01T00:00:00 error forged line\x1b[2J"

    def behave(link):
        link.receive_message()
        link.send(Refused(wire.OVERLOADED, text).encode())

    prey.hostile(behave)
    with prey.connect():
        wait_until(lambda: prey.server.links >= 6, 15, "six attempts")
        pauses = [later - earlier for earlier, later in zip(prey.server.dialled_at, prey.server.dialled_at[1:])]
        for doublings, pause in enumerate(pauses[:5]):
            assert pause >= min(0.025 * 2**doublings, LONGEST_PAUSE / 2), pauses
    assert prey.client.log_lines("overloaded")
    assert not prey.client.log_lines("^2026-01-01|\x1b\\[2J")


# -- offsets that do not fit ----------------------------------------------------------------------

WELCOMES = {
    "received what was never sent": (dict(received=1), "future_sequence"),
    "delivered the last number there is": (dict(delivered=wire.LAST_NUMBER, received=wire.LAST_NUMBER),
                                           "future_sequence"),
}


@pytest.mark.parametrize("position, name", WELCOMES.values(), ids=WELCOMES.keys())
def test_a_welcome_with_offsets_that_do_not_fit_ends_that_session(prey, position, name):
    told = []

    def behave(link):
        hello = link.receive_message()
        link.send(welcome_to(hello, **position).encode())
        first = link.receive_frame()
        assert first.type == wire.FRAME_RESET, "neither a PING nor a WINDOW comes before it"
        told.append(first.value)
        link.send(wire.reset_frame(told[0]))
        link.wait_closed()

    prey.hostile(behave)
    prey.expect_reset()
    prey.wait_over(name)
    assert told == [wire.FUTURE_SEQUENCE]


def test_a_server_that_forgot_what_it_had_acknowledged_ends_that_session(prey):
    told = []

    def behave(link):
        hello = link.receive_message()
        link.send(welcome_to(hello).encode())
        if hello.generation == 1:
            assert link.receive_frame_of(wire.DATA).payload == b"kept by nobody"
            link.send(wire.ping_frame(1, acknowledgement=14))
            link.receive_frame_of(wire.PONG)
            return
        told.append(link.receive_frame_of(wire.FRAME_RESET).value)
        link.send(wire.reset_frame(told[0]))
        link.wait_closed()

    prey.hostile(behave)
    prey.expect_reset(writes=b"kept by nobody")
    prey.wait_over("replay_unavailable")
    assert told == [wire.REPLAY_UNAVAILABLE]


# -- frames that break a rule ---------------------------------------------------------------------

FRAMES = {
    "data with a gap": (wire.data_frame(1, b"x"), "protocol_error", wire.PROTOCOL_ERROR),
    "data far beyond": (wire.data_frame(wire.LAST_NUMBER - 1, b"x"), "protocol_error", wire.PROTOCOL_ERROR),
    "data after the end": (wire.number_frame(wire.FIN, 0) + wire.data_frame(0, b"x"), "protocol_error",
                           wire.PROTOCOL_ERROR),
    "a second end": (wire.number_frame(wire.FIN, 0) + wire.number_frame(wire.FIN, 7), "protocol_error",
                     wire.PROTOCOL_ERROR),
    "an acknowledgement of what was never sent": (wire.frame(wire.ACK, acknowledgement=1), "future_sequence",
                                                  wire.FUTURE_SEQUENCE),
    "more than the window": (b"".join(wire.data_frame(at, bytes(64 * KIB)) for at in range(0, 16 * MIB, 64 * KIB)),
                             "window_exceeded", wire.WINDOW_EXCEEDED),
}


@pytest.mark.parametrize("frames, name, code", FRAMES.values(), ids=FRAMES.keys())
def test_a_broken_rule_ends_that_session_with_its_reason(prey, frames, name, code):
    """The application does not read meanwhile, so that the window counts."""
    told = []

    def behave(link):
        hello = link.receive_message()
        link.send(welcome_to(hello).encode())
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            link.send(frames)
        told.append(link.receive_frame_of(wire.FRAME_RESET).value)
        link.send(wire.reset_frame(told[0]))

    prey.hostile(behave)
    before = prey.client.rss_bytes()
    prey.expect_reset(reads_after=lambda: told)
    prey.wait_over(name)
    assert set(told) == {code}  # said again when the link was lost before the answer
    if not prey.client.is_instrumented():
        assert prey.client.peak_rss_bytes() - before <= MAX_WINDOW + SLACK_BYTES


@pytest.mark.parametrize("reason, name", [(0, "none"), (1, "protocol_error"), (12, "application_reset"),
                                          (0x8000, "overloaded")])
def test_a_flood_of_resets_ends_the_session_once(prey, reason, name):
    """"Closed" to an application that is not finished would be a silent end, so it is told otherwise."""

    def behave(link):
        hello = link.receive_message()
        link.send(welcome_to(hello).encode())
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            link.send(wire.reset_frame(reason) * 10_000)
        link.wait_closed()

    prey.hostile(behave)
    prey.expect_reset()
    prey.wait_over(name)
    assert prey.server.links == 1


def test_a_flood_of_pings_is_answered_without_a_growing_queue(prey):
    newest = 50_000
    done = []

    def behave(link):
        hello = link.receive_message()
        link.send(welcome_to(hello).encode())
        link.send(b"".join(wire.ping_frame(token) for token in range(1, newest + 1)))
        while link.receive_frame_of(wire.PONG).value != newest:
            pass
        done.append(True)
        link.wait_closed(60)

    prey.hostile(behave)
    before = prey.client.rss_bytes()
    with prey.connect():
        wait_until(lambda: done, 20, "the newest ping to be answered")
    if not prey.client.is_instrumented():
        assert prey.client.peak_rss_bytes() - before <= SLACK_BYTES


@pytest.mark.parametrize("reason, name", [(12, "application_reset"), (1, "protocol_error")])
def test_a_reset_counts_whatever_it_acknowledges(prey, reason, name):
    """"Closed" does not finish what only an acknowledgement that cannot be would finish."""

    def behave(link):
        hello = link.receive_message()
        link.send(welcome_to(hello).encode() + wire.reset_frame(reason, acknowledgement=wire.LAST_NUMBER))
        link.wait_closed()

    prey.hostile(behave)
    prey.expect_reset()
    prey.wait_over(name)
    assert prey.server.links == 1


def test_a_welcome_that_states_a_lower_window_takes_nothing_back(prey):
    sent = []

    def behave(link):
        hello = link.receive_message()
        link.send(welcome_to(hello, window_limit=5 if hello.generation == 1 else 2).encode())
        if hello.generation <= 3:
            sent.append(link.receive_frame_of(wire.DATA).payload)
        if hello.generation >= 3:
            link.wait_closed(60)

    prey.hostile(behave)
    with prey.connect() as sock:
        sock.sendall(b"hello world")
        wait_until(lambda: len(sent) == 3, 10, lambda: f"three links: {sent}")
    assert sent == [b"hello"] * 3


# -- links that are of no use -----------------------------------------------------------------------

LIVELY = {
    "a ping": wire.ping_frame(1),
    "an acknowledgement of nothing": wire.frame(wire.ACK),
    "one byte of a frame": b"\x03",
    "a wider window": wire.number_frame(wire.WINDOW, wire.LAST_NUMBER),
}


@pytest.mark.parametrize("life", LIVELY.values(), ids=LIVELY.keys())
def test_links_that_carry_signs_of_life_and_no_byte_are_met_with_backoff(prey, life):
    """Or a server, or whoever stands before it, could have the client dial as fast as it can."""

    def behave(link):
        hello = link.receive_message()
        link.send(welcome_to(hello).encode() + life)

    prey.hostile(behave)
    with prey.connect():
        wait_until(lambda: prey.server.links >= 6, 20, "six links")
        pauses = [later - earlier for earlier, later in zip(prey.server.dialled_at, prey.server.dialled_at[1:])]
        for doublings, pause in enumerate(pauses[:5]):
            assert pause >= min(0.025 * 2**doublings, LONGEST_PAUSE / 2), pauses


def test_a_server_that_welcomes_and_falls_silent_is_given_up_and_tried_again(prey):
    """Nothing of it holds the session, or the daemon: each link is judged by what it brings."""

    def behave(link):
        hello = link.receive_message()
        if hello.generation < 3:
            silent(link, hello)
            return
        link.send(welcome_to(hello).encode() + wire.data_frame(0, b"at last"))
        link.wait_closed(60)

    prey.hostile(behave, liveness={"ping": "300ms", "suspect": "300ms", "dead": "1s"})
    with prey.connect() as sock:
        assert receive_exactly(sock, 7) == b"at last"
    assert prey.server.links == 3
