"""Peers that may not come in, or do not speak the protocol: refused for the right reason, logged once, harmless."""

import concurrent.futures
import contextlib
import os
import socket
import struct
import time

import pytest

from support import wire
from support.daemon import Daemon, keygen, write_private
from support.ports import endpoint, free_port
from support.streams import connect, echo_once, expect_reset_of
from support.targets import EchoTarget
from support.waiting import PATIENCE, patient, wait_until
from support.wire import Hello, PlainLink, Refused, TlsLink, Welcome

HANDSHAKE_SECONDS = 10


@pytest.fixture
def plain(tunnel, start):
    """A server without security, so that HELLO can be anything."""
    return tunnel({"echo": start(EchoTarget()).address}, tls=False)


@pytest.fixture
def two_identities(tunnel, start):
    """`laptop` may use echo; `guest` may use other only."""
    echo = start(EchoTarget()).address
    guest = keygen("guest")
    target = endpoint(*echo)
    stage = tunnel({"echo": echo}, keys=guest, allow={"laptop": ["echo"], "guest": ["other"]},
                   server_settings={"services": {"echo": {"target": target}, "other": {"target": target}}})
    stage.guest_line = guest
    return stage


@contextlib.contextmanager
def an_undisturbed_session(stage):
    """Another session is open all the while; afterwards it is on the same link and the server is as it was."""
    with stage.connect() as sock:
        echo_once(sock, b"before")
        generation = stage.only_session()["generation"]
        yield
        echo_once(sock, b"after")
        assert stage.only_session()["generation"] == generation, "the other session lost its link"
    assert stage.server.running()


def assert_logged_once(stage, mark, pattern):
    stage.server.wait_log(pattern, since=mark)
    stage.server.control.status()  # gives a second line the time to appear
    lines = stage.server.log_lines(pattern, since=mark)
    assert len(lines) == 1, lines


def key_of(line):
    return line.strip().split(":")[1]


# -- who may not come in ----------------------------------------------------------------------


@pytest.mark.parametrize("identity, key", [("laptop", "ab" * 32), ("stranger", "ab" * 32)],
                         ids=["wrong key", "unknown identity"])
def test_a_link_without_a_valid_key_is_refused(tunnel, start, identity, key):
    stage = tunnel(start(EchoTarget()).address)
    with an_undisturbed_session(stage):
        mark = stage.server.log_mark()
        with TlsLink(stage.server_address, identity, key) as link:
            assert link.wait_closed() == b""
            assert "alert" in link.errors()
        assert_logged_once(stage, mark, "not_authorised")


@pytest.mark.parametrize("identity", ["laptop", "stranger"])
def test_a_client_daemon_with_a_wrong_key_resets_its_application(tunnel, start, tmp_path, identity):
    """No retry can help, so the application is told instead of left waiting."""
    stage = tunnel(start(EchoTarget()).address)
    key = write_private(tmp_path / "wrong.key", keygen(identity))
    with an_undisturbed_session(stage), a_client(tmp_path, stage, key, "target") as (client, address):
        expect_reset_of(connect, address, patient(10))
        assert client.wait_log("not_authorised")
        assert stage.server.log_lines("not_authorised")


def test_a_service_that_is_not_allowed_is_refused(two_identities, tmp_path):
    stage = two_identities
    with an_undisturbed_session(stage):
        mark = stage.server.log_mark()
        with TlsLink(stage.server_address, "guest", key_of(stage.guest_line)) as link:
            answer = link.handshake(Hello(service="echo"))
            assert isinstance(answer, Refused) and answer.reason == wire.NOT_AUTHORISED, answer
            link.wait_closed()
        assert_logged_once(stage, mark, "not_authorised")
        key = write_private(tmp_path / "guest.key", stage.guest_line)
        with a_client(tmp_path, stage, key, "echo") as (_, address):
            expect_reset_of(connect, address, patient(10))
        with a_client(tmp_path, stage, key, "other") as (_, address), connect(address, patient(10)) as sock:
            echo_once(sock, b"but this one is")


def test_a_missing_service_and_one_that_is_not_allowed_look_the_same(two_identities):
    """Who may not use a service shall not learn from the answer which ones there are; the log may say it."""
    stage = two_identities
    key = key_of(stage.guest_line)
    answers = {}
    mark = stage.server.log_mark()
    for service in ("echo", "none"):
        with TlsLink(stage.server_address, "guest", key) as link:
            answers[service] = link.handshake(Hello(service=service))
    assert answers["none"].reason == answers["echo"].reason == wire.NOT_AUTHORISED
    assert answers["none"].text == answers["echo"].text.replace('"echo"', '"none"')
    assert_logged_once(stage, mark, "not_authorised.*there is no such service")


def test_who_may_use_every_service_is_told_that_one_is_missing(tunnel, start):
    stage = tunnel(start(EchoTarget()).address)
    with TlsLink(stage.server_address, "laptop", stage.key) as link:
        answer = link.handshake(Hello(service="none"))
    assert answer.reason == wire.UNKNOWN_SERVICE and "none" in answer.text, answer


def test_resuming_a_session_of_another_identity_is_refused(two_identities):
    """Knowing a session's id is worth nothing without the key of the identity that opened it."""
    stage = two_identities
    with an_undisturbed_session(stage):
        session = stage.only_session()
        mark = stage.server.log_mark()
        stolen = Hello(session=bytes.fromhex(session["id"].replace("-", "")), generation=session["generation"] + 1000)
        with TlsLink(stage.server_address, "guest", key_of(stage.guest_line)) as link:
            answer = link.handshake(stolen)
            assert isinstance(answer, Refused), answer
            # Saying "unknown" to a stranger tells him even less.
            assert answer.reason in (wire.NOT_AUTHORISED, wire.UNKNOWN_SESSION), answer
            link.wait_closed()
        assert_logged_once(stage, mark, "not_authorised|unknown_session")


@contextlib.contextmanager
def a_client(directory, stage, key, service):
    """A second client daemon beside the stage's own."""
    address = ("127.0.0.1", free_port())
    control = directory / f"second{address[1]}.sock"
    client = Daemon(f"second-client-{address[1]}",
                    ["connect", "--listen", endpoint(*address), "--peer", endpoint(*stage.server_address),
                     "--service", service, "--key", str(key), "--control", str(control)], control, directory)
    try:
        yield client.wait_ready(), address
        client.stop()
    finally:
        client.kill()


# -- what does not fit ------------------------------------------------------------------------


def refusal(stage, hello, reason, name):
    """One attempt, and what must come of it."""
    mark = stage.server.log_mark()
    with PlainLink(stage.server_address) as link:
        answer = link.handshake(hello)
        assert isinstance(answer, Refused) and answer.reason == reason, answer
        assert answer.text
        assert link.wait_closed() == b""
    assert_logged_once(stage, mark, name)


def test_an_unknown_service_is_refused(plain):
    with an_undisturbed_session(plain):
        refusal(plain, Hello(service="nothing"), wire.UNKNOWN_SERVICE, "unknown_service")


def test_resuming_an_unknown_session_is_refused(plain):
    """Never a fresh session in disguise."""
    with an_undisturbed_session(plain):
        refusal(plain, Hello(generation=2), wire.UNKNOWN_SESSION, "unknown_session")


def test_a_version_from_the_future_is_refused(plain):
    with an_undisturbed_session(plain):
        refusal(plain, Hello(service="echo", version=9), wire.VERSION_UNSUPPORTED, "version_unsupported")


def test_a_stale_generation_is_refused_and_the_live_link_stays(plain):
    with an_undisturbed_session(plain), PlainLink(plain.server_address) as live:
        opening = Hello(service="echo", generation=5)
        welcome = live.handshake(opening)
        assert isinstance(welcome, Welcome) and welcome.created and welcome.generation == 5, welcome
        refusal(plain, Hello(session=opening.session, generation=5), wire.STALE_GENERATION, "stale_generation")
        refusal(plain, Hello(session=opening.session, generation=4), wire.STALE_GENERATION, "stale_generation")
        live.send(wire.ping_frame(4711))
        assert live.receive_frame_of(wire.PONG).value == 4711
        live.send(wire.data_frame(0, b"still here"))
        assert live.receive_frame_of(wire.DATA).payload == b"still here"


def test_a_newer_generation_takes_over_and_the_older_link_is_dropped(plain):
    with an_undisturbed_session(plain), PlainLink(plain.server_address) as older:
        opening = Hello(service="echo")
        assert isinstance(older.handshake(opening), Welcome)
        older.send(wire.data_frame(0, b"0123456789"))
        assert older.receive_frame_of(wire.DATA).payload == b"0123456789"
        with PlainLink(plain.server_address) as newer:
            welcome = newer.handshake(Hello(session=opening.session, generation=7, delivered=4, received=4))
            assert isinstance(welcome, Welcome) and not welcome.created, welcome
            assert (welcome.generation, welcome.delivered) == (7, 10), welcome
            older.wait_closed()
            replayed = newer.receive_frame_of(wire.DATA)
            assert (replayed.value, replayed.payload) == (4, b"456789")


def test_repeating_the_opening_hello_creates_one_session(plain):
    with an_undisturbed_session(plain):
        opening = Hello(service="echo")
        with PlainLink(plain.server_address) as first:
            assert first.handshake(opening).created
        opening.generation = 2
        with PlainLink(plain.server_address) as second:
            again = second.handshake(opening)
            assert isinstance(again, Welcome) and not again.created, again


def test_a_resume_beyond_what_was_ever_sent_ends_that_session(plain):
    with an_undisturbed_session(plain), PlainLink(plain.server_address) as link:
        opening = Hello(service="echo")
        assert isinstance(link.handshake(opening), Welcome)
        with PlainLink(plain.server_address) as liar:
            answer = liar.handshake(Hello(session=opening.session, generation=2, delivered=10**9, received=10**9))
            assert isinstance(answer, Refused) and answer.reason == wire.FUTURE_SEQUENCE, answer


# -- what is not the protocol -----------------------------------------------------------------

OVERSIZED = wire.preamble(wire.HELLO, 65535) + bytes(5000)
HOSTILE = {
    "text": b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "noise": bytes(range(255, 0, -1)) * 20,
    "wrong magic": wire.preamble(wire.HELLO, 64, magic=b"BKPE") + bytes(64),
    "unknown kind": wire.preamble(77, 64) + bytes(64),
    "a server's message": wire.preamble(wire.WELCOME, 52) + bytes(52),
    "oversized": OVERSIZED,
    "too short for a HELLO": wire.preamble(wire.HELLO, 10) + bytes(10),
    "service longer than the message": Hello(service="echo").encode()[:-5] + b"\xffecho",
    "extension longer than the message": Hello(service="echo", extensions=b"\x00\x01\xff\xff").encode(),
}


@pytest.mark.parametrize("message", HOSTILE.values(), ids=HOSTILE.keys())
def test_bytes_that_are_no_handshake_end_that_connection_only(plain, message):
    with an_undisturbed_session(plain):
        mark = plain.server.log_mark()
        with PlainLink(plain.server_address) as link:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                link.send(message)
            answer = link.wait_closed()
            assert answer == b"" or answer[4:6] == bytes([wire.VERSION, wire.REFUSED]), answer
        assert_logged_once(plain, mark, "protocol_error")


def test_a_handshake_that_breaks_off_is_logged_once(plain):
    whole = Hello(service="echo").encode()
    with an_undisturbed_session(plain):
        for length in (3, 8, len(whole) - 1):
            mark = plain.server.log_mark()
            with PlainLink(plain.server_address) as link:
                link.send(whole[:length])
                link.finish()
                link.wait_closed()
                assert_logged_once(plain, mark, "handshake|protocol_error")


@pytest.mark.parametrize("message", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 3000, Hello(service="echo").encode()],
                         ids=["text", "noise", "plaintext HELLO"])
def test_bytes_that_are_no_tls_end_that_connection_only(tunnel, start, message):
    stage = tunnel(start(EchoTarget()).address)
    with an_undisturbed_session(stage):
        mark = stage.server.log_mark()
        with PlainLink(stage.server_address) as link:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                link.send(message)
            link.wait_closed()
            assert_logged_once(stage, mark, "handshake|protocol_error|TLS")


@pytest.mark.parametrize("end", ["finish", "reset"])
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_a_connection_that_is_closed_before_it_has_said_anything_is_no_failure(tunnel, start, tls, end):
    """A client that dials several addresses at once needs one of them, and closes the others."""
    stage = tunnel(start(EchoTarget()).address, tls=tls, server_settings={"log": {"level": "debug"}})
    with an_undisturbed_session(stage):
        mark = stage.server.log_mark()
        sock = socket.create_connection(stage.server_address)
        if end == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        assert_logged_once(stage, mark, "debug link from .*(closed|reset)")
        assert not stage.server.log_lines("warning", since=mark)
        assert stage.server.control.status()["totals"]["handshakes_failed"] == 0


def drip(address, message):
    """Sends one byte a second; returns after how many seconds the server had enough."""
    began = time.monotonic()
    with socket.create_connection(address) as sock:
        for byte in message:
            sock.settimeout(1.0)
            try:
                sock.send(bytes([byte]))
                if not sock.recv(4096):
                    break
            except socket.timeout:
                continue
            except (ConnectionResetError, BrokenPipeError):
                break
    return time.monotonic() - began


def test_a_handshake_of_one_byte_a_second_is_ended_by_an_absolute_deadline(plain, tunnel, start):
    """A trickle must not restart the timer, be it below TLS or inside the handshake itself; nor may silence last."""
    secure = tunnel(start(EchoTarget()).address)
    slow_hello = Hello(service="echo").encode()
    client_hello_begin = bytes.fromhex("1603010200010001fc0303") + os.urandom(100)
    marks = {stage: stage.server.log_mark() for stage in (plain, secure)}
    with an_undisturbed_session(plain), an_undisturbed_session(secure), concurrent.futures.ThreadPoolExecutor() as pool:
        trickles = [pool.submit(drip, plain.server_address, slow_hello),
                    pool.submit(drip, secure.server_address, client_hello_begin)]
        with PlainLink(plain.server_address) as silent, PlainLink(secure.server_address) as silent_secure:
            silent.wait_closed(HANDSHAKE_SECONDS + 5)
            silent_secure.wait_closed(HANDSHAKE_SECONDS + 5)
        for trickle in trickles:
            seconds = trickle.result()
            assert HANDSHAKE_SECONDS - 1 <= seconds <= HANDSHAKE_SECONDS + 3 * PATIENCE, f"{seconds:.1f} s"
        for stage, mark in marks.items():
            # One line for the trickle, one for the silence.
            wait_until(lambda s=stage, m=mark: len(s.server.log_lines("timeout", m)) >= 2, 5, "both to be logged")
            assert len(stage.server.log_lines("timeout", mark)) == 2


# -- after the handshake ----------------------------------------------------------------------

BROKEN_FRAMES = {
    "unknown type": wire.frame(99),
    "non-zero padding": b"\x03\x01\x00\x00" + bytes(12),
    "empty data": wire.data_frame(0, b""),
    "data beyond 1 MiB": wire.frame(wire.DATA, b"")[:4] + (2**20 + 9).to_bytes(4, "big") + bytes(16),
    "ping of the wrong length": wire.frame(wire.PING, b"abc"),
    "a gap": wire.data_frame(1000, b"from nowhere"),
    "acknowledging what was never sent": wire.ping_frame(1, acknowledgement=10**12),
    "data beyond the window": wire.data_frame(10**12, b"far away"),
}


@pytest.mark.parametrize("broken", BROKEN_FRAMES.values(), ids=BROKEN_FRAMES.keys())
def test_a_broken_frame_ends_its_own_link_only(plain, broken):
    with an_undisturbed_session(plain), PlainLink(plain.server_address) as link:
        assert isinstance(link.handshake(Hello(service="echo")), Welcome)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            link.send(broken)
        link.wait_closed()


def test_a_flood_of_pings_is_answered_without_a_growing_queue(plain):
    """The peer sends pings and reads nothing: at most one pong may be pending, and memory must not grow."""
    with an_undisturbed_session(plain), PlainLink(plain.server_address) as link:
        assert isinstance(link.handshake(Hello(service="echo")), Welcome)
        before = plain.server.rss_bytes()
        link.socket.settimeout(2.0)
        flood = b"".join(wire.ping_frame(token) for token in range(10_000))
        try:
            for _ in range(100):
                link.send(flood)
        except socket.timeout:
            pass  # it stopped reading from this peer, which is as good
        if not plain.server.is_instrumented():
            assert plain.server.peak_rss_bytes() - before < 16 * 2**20
