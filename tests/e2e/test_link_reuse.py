"""A link outlives its session: the next one begins on it, unless there is a reason to doubt it."""

import contextlib
import time

import pytest

from support import wire
from support.daemon import keygen
from support.streams import echo_once, expect_reset_of
from support.targets import EchoTarget
from support.tunnel import IDENTITY
from support.waiting import PATIENCE, SCALE, Deadline, scaled, wait_until
from support.wire import Hello, PlainLink, Refused, Welcome

ONE_WORKER = {"workers": 1}
REUSE = wire.extension(1, b"")
MANY = scaled(300, least=60)
AT_A_TIME = 16


def peer(stage):
    (only,) = stage.client.control.status()["peers"]
    return only


def carry(stage, payload=b"x"):
    with stage.connect() as sock:
        echo_once(sock, payload)


def wait_spare(stage, count=1):
    wait_until(lambda: peer(stage)["spare_links"] == count, 10, f"{count} spare links: {peer(stage)}")


def wait_spare_at_server(stage, count):
    def seen():
        (only,) = stage.server.control.status()["listeners"]
        return only["spare_links"]

    wait_until(lambda: seen() == count, 10, lambda: f"{count} spare links at the server: {seen()}")


@pytest.fixture(params=["psk", "tls", "none"])
def stage(request, tunnel, start):
    return tunnel(start(EchoTarget()).address, security=request.param, server_settings=ONE_WORKER,
                  client_settings=ONE_WORKER)


# -- as it should be ----------------------------------------------------------------------------


def test_one_session_after_another_shares_a_link(stage):
    for number in range(5):
        carry(stage, f"session {number}".encode() * 1000)
        wait_spare(stage)
    assert stage.relay.links == 1
    assert peer(stage)["dials"] == 1 and peer(stage)["links_reused"] == 4
    assert stage.server.control.status()["totals"]["sessions_opened"] == 5
    stage.wait_no_sessions()


def test_one_that_has_lasted_leaves_its_link_as_well(stage):
    """The round trip is measured once a second: when the end comes, so does a PING."""
    for _ in range(2):
        with stage.connect() as sock:
            echo_once(sock)
            time.sleep(1.2)  # the time itself is what it takes
        wait_spare(stage)
    carry(stage)
    assert stage.relay.links == 1 and peer(stage)["links_reused"] == 2


def test_a_link_is_used_by_one_session_at_a_time(stage):
    carry(stage)
    wait_spare(stage)
    with stage.connect() as first, stage.connect() as second:
        echo_once(first, b"first")
        echo_once(second, b"second")
        assert peer(stage)["spare_links"] == 0
        wait_spare_at_server(stage, 0)
        assert stage.relay.open_links == 2 and stage.relay.links == 2
    wait_spare(stage, 2)
    wait_spare_at_server(stage, 2)
    stage.client.stop()
    wait_spare_at_server(stage, 0)


def test_whichever_worker_a_session_comes_to(tunnel, start):
    workers = {"workers": 4}
    stage = tunnel(start(EchoTarget()).address, server_settings=workers, client_settings=workers)
    for number in range(12):
        carry(stage, f"session {number}".encode())
        wait_spare(stage)
    assert sum(worker["sessions"] for worker in stage.client.control.status()["workers"]) == 0
    assert stage.relay.links == 1 and peer(stage)["links_reused"] == 11
    wait_spare_at_server(stage, 1)


def test_a_session_on_a_reused_link_survives_like_any_other(stage):
    carry(stage)
    wait_spare(stage)
    with stage.connect() as sock:
        echo_once(sock, b"before")
        assert peer(stage)["links_reused"] == 1
        stage.relay.cut()
        echo_once(sock, b"after")
        assert stage.only_session()["generation"] == 2
    wait_spare(stage)


def test_many_sessions_at_a_time_take_and_leave_links(tunnel, start):
    echo = start(EchoTarget())
    stage = tunnel(echo.address, server_settings={}, client_settings={})
    with contextlib.ExitStack() as all_open:
        waiting = []
        for number in range(MANY):
            if len(waiting) == AT_A_TIME:
                waiting.pop(0).close()
            sock = all_open.enter_context(stage.connect())
            echo_once(sock, f"number {number}".encode() * 100)
            waiting.append(sock)
    stage.wait_no_sessions()
    assert peer(stage)["links_reused"] + peer(stage)["dials"] == MANY
    assert peer(stage)["links_reused"] > MANY // 2
    assert stage.relay.links == peer(stage)["dials"]


# -- reasons not to -----------------------------------------------------------------------------


def test_a_spare_link_that_the_server_has_closed_is_not_used(stage):
    carry(stage)
    wait_spare(stage)
    stage.relay.cut("fin")
    carry(stage, b"over a new link")
    assert peer(stage)["links_reused"] == 0 and stage.relay.links == 2


def test_a_spare_link_that_is_dead_in_silence_costs_half_a_second(stage):
    carry(stage)
    wait_spare(stage)
    stage.relay.strand()
    began = time.monotonic()
    with stage.connect() as sock:
        echo_once(sock, b"over a new link")
        assert 0.4 < time.monotonic() - began < 1.5 * PATIENCE
        assert stage.only_session()["generation"] == 2
        assert peer(stage)["links_reused"] == 0 and stage.relay.links == 2


def test_a_lost_link_casts_doubt_on_the_others(stage):
    with stage.connect() as lasting:
        carry(stage)
        wait_spare(stage)
        stage.client.control.call("reconnect", all=True)
        echo_once(lasting, b"over another")
        wait_spare(stage, 0)


def test_a_session_that_ends_with_a_reset_leaves_none(stage):
    with stage.connect() as sock:
        echo_once(sock)
        (session,) = stage.client.control.sessions()
        stage.client.control.call("close", id=session["id"])
    stage.wait_no_sessions()
    assert peer(stage)["spare_links"] == 0
    carry(stage)
    assert stage.relay.links == 2


@pytest.fixture
def limited(tunnel, start):
    """`limited(side, count)`: one of the sides keeps no more spare links than that."""

    def make(side, count):
        settings = {"client": ONE_WORKER, "server": ONE_WORKER}
        settings[side] = {"limits": {"spare_links": count}, **ONE_WORKER}
        return tunnel(start(EchoTarget()).address, server_settings=settings["server"],
                      client_settings=settings["client"])

    return make


@pytest.mark.parametrize("side", ["client", "server"])
def test_there_are_no_more_than_the_limit_says(limited, side):
    stage = limited(side, 2)
    with contextlib.ExitStack() as all_open:
        for _ in range(5):
            echo_once(all_open.enter_context(stage.connect()))
    wait_until(lambda: stage.relay.open_links == 2, 10, "the rest to be closed")
    wait_spare(stage, 2)
    carry(stage)
    assert peer(stage)["links_reused"] == 1


@pytest.mark.parametrize("side", ["client", "server"])
def test_either_side_can_do_without(limited, side):
    stage = limited(side, 0)
    for number in range(3):
        carry(stage)
        wait_until(lambda: stage.relay.open_links == 0, 10, "the link to be closed with its session")
        assert stage.relay.links == number + 1
    assert peer(stage)["spare_links"] == 0 and peer(stage)["links_reused"] == 0


@pytest.mark.skipif(SCALE < 1, reason="the time is the same")
def test_a_spare_link_is_not_kept_forever(tunnel, start):
    """The client lets go first, so that its HELLO does not cross the server's close."""
    stage = tunnel(start(EchoTarget()).address, tls=False, server_settings=ONE_WORKER, client_settings=ONE_WORKER)
    with PlainLink(stage.server_address) as link:
        hand_carry(link)
        at_server = time.monotonic()
        carry(stage)
        wait_spare(stage)
        at_client = time.monotonic()
        wait_until(lambda: stage.relay.open_links == 0, 40, "the client to close its spare link")
        assert 29 < time.monotonic() - at_client < 33
        link.wait_closed(30)
        assert 44 < time.monotonic() - at_server < 48


# -- when the settings change, or a daemon stops --------------------------------------------------


def forbid(stage):
    """The server does not know our key any more."""
    stage.server_keys_path.write_text(keygen("somebody-else"))
    stage.server.control.call("reload")


@pytest.fixture
def keyed(tunnel, start):
    return tunnel(start(EchoTarget()).address, server_settings=ONE_WORKER, client_settings=ONE_WORKER,
                  allow={IDENTITY: ["*"], "somebody-else": ["*"]})


def test_who_is_not_let_in_any_more_has_no_use_of_a_spare_link(keyed):
    carry(keyed)
    wait_spare(keyed)
    forbid(keyed)
    expect_reset_of(keyed.connect)


def test_nor_of_the_link_of_a_session_that_ends_later(keyed):
    with keyed.connect() as sock:
        echo_once(sock)
        forbid(keyed)
        echo_once(sock, b"the session goes on")
    keyed.wait_no_sessions()
    expect_reset_of(keyed.connect)


def test_a_client_that_reloads_begins_anew(stage):
    carry(stage)
    wait_spare(stage)
    stage.client.control.call("reload")
    wait_until(lambda: stage.relay.open_links == 0, 10, "the spare link to be closed")
    carry(stage)
    assert peer(stage)["links_reused"] == 0


def test_a_server_that_is_drained_keeps_none(stage):
    with stage.connect() as lasting:
        echo_once(lasting)
        carry(stage)
        wait_spare(stage)
        stage.server.control.call("drain")
        wait_until(lambda: stage.relay.open_links == 1, 10, "the spare link to be closed")
        echo_once(lasting, b"goes on")


@pytest.mark.parametrize("side", ["client", "server"])
def test_spare_links_keep_nobody_from_stopping(stage, side):
    carry(stage)
    wait_spare(stage)
    daemon = getattr(stage, side)
    began = time.monotonic()
    daemon.process.terminate()
    assert daemon.process.wait(Deadline(10).left()) == 0
    assert time.monotonic() - began < 1.5 * PATIENCE
    getattr(stage, f"start_{side}")()
    carry(stage)


# -- a client by hand ---------------------------------------------------------------------------


@pytest.fixture
def server(tunnel, start):
    return tunnel(start(EchoTarget()).address, tls=False, server_settings={"limits": {"max_handshakes": 1}, **ONE_WORKER})


def hand_carry(link, extensions=REUSE):
    """A session from HELLO to the server's last frame, which is empty both ways."""
    welcome = link.handshake(Hello(service="target", extensions=extensions))
    assert isinstance(welcome, Welcome) and welcome.created, welcome
    link.send(wire.number_frame(wire.FIN, 0))
    assert link.receive_frame_of(wire.FIN).value == 0
    link.send(wire.frame(wire.ACK, acknowledgement=1))
    assert link.receive_frame_of(wire.FRAME_RESET).value == 1


@pytest.fixture
def spare(server):
    with PlainLink(server.server_address) as link:
        hand_carry(link)
        yield link


def test_a_hello_may_follow_the_end(server, spare):
    for _ in range(3):
        hand_carry(spare)
    answer = spare.handshake(Hello(service="none-of-that-name"))
    assert isinstance(answer, Refused) and answer.reason == wire.UNKNOWN_SERVICE
    spare.wait_closed()


def test_a_spare_link_takes_no_place_of_a_handshake(server, spare):
    with PlainLink(server.server_address) as other:
        hand_carry(other)
        hand_carry(spare)


def test_without_an_offer_the_link_ends_with_its_session(server):
    with PlainLink(server.server_address) as link:
        hand_carry(link, extensions=b"")
        link.wait_closed()


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", wire.ping_frame(7, acknowledgement=1), b"BKPX", bytes(5000)],
                         ids=["http", "a frame", "no magic", "zeros"])
def test_what_is_no_hello_ends_the_link_alone(server, spare, junk):
    spare.send(junk)
    spare.wait_closed()
    with server.connect() as sock:
        echo_once(sock)


@pytest.mark.parametrize("hello", [Hello(service="target", version=2), Hello(service="target", received=1),
                                   Hello(generation=0), Welcome(bytes(16), 1)],
                         ids=["another version", "received something", "generation 0", "a WELCOME"])
def test_a_hello_that_is_none_gets_no_answer_on_a_spare_link(server, spare, hello):
    """It could be the rest of what the ended session has sent."""
    spare.send(hello.encode())
    assert spare.wait_closed() == b""


def test_a_hello_that_has_begun_must_be_complete_within_ten_seconds(server, spare):
    began = time.monotonic()
    spare.send(Hello(service="target").encode()[:40])
    assert spare.receive(5) is None
    spare.send(Hello(service="target").encode()[40:41])  # which does not begin the ten seconds anew
    assert spare.wait_closed(15) == b""
    assert 9.5 <= time.monotonic() - began <= 12 * PATIENCE


def test_a_hello_may_come_in_pieces(server, spare):
    for byte in Hello(service="target").encode():
        spare.send(bytes([byte]))
    assert isinstance(spare.receive_message(), Welcome)
    spare.send(wire.data_frame(0, b"in pieces"))
    assert spare.receive_frame_of(wire.DATA).payload == b"in pieces"
