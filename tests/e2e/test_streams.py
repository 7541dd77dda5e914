"""Bulk data: every byte once and in order, wherever and however the link breaks."""

import socket

import pytest

from support.relay import ALTERNATE, DOWN, FIN, RESET, UP
from support.streams import (Background, Pattern, echo_once, expect_end, receive_exactly, receive_pattern, send_pattern)
from support.targets import DuplexTarget, EchoTarget, SinkTarget, SourceTarget, exchange
from support.waiting import KIB, MIB, patient, scaled


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
@pytest.mark.parametrize("how", [RESET, FIN, ALTERNATE])
def test_an_upload_arrives_intact_under_periodic_cuts(tunnel, start, tls, how):
    sink = start(SinkTarget())
    stage = tunnel(sink.address, tls=tls)
    pattern, total = Pattern(1), scaled(128 * MIB)
    with stage.connect() as sock, stage.relay.every(0.1, how):
        send_pattern(sock, pattern, total)
        sock.shutdown(socket.SHUT_WR)
        expect_end(sock)
        assert sink.wait_result(seconds=30) == (total, pattern.digest(total))


def test_a_download_arrives_intact_under_periodic_cuts(tunnel, start):
    total = scaled(128 * MIB)
    source = start(SourceTarget(2, total))
    stage = tunnel(source.address)
    with stage.connect() as sock, stage.relay.every(0.1):
        receive_pattern(sock, Pattern(2), total)
        expect_end(sock)


def test_both_directions_full_at_once_do_not_deadlock(tunnel, start):
    """Each side writes 32 MiB before it reads a byte: flow control must leave room for both."""
    total, unread = scaled(64 * MIB), scaled(32 * MIB)
    target = start(DuplexTarget(3, 4, total, unread))
    stage = tunnel(target.address)
    with stage.connect() as sock, stage.relay.every(0.2):
        Background(exchange, sock, Pattern(4), Pattern(3), total, unread).result(patient(60))
        target.wait_result(seconds=30)


# Inside the TLS handshake, inside our handshake, at its end, inside the first frames, and far into the data.
@pytest.mark.parametrize("byte_count", [1, 100, 517, 800, 1000, 1500, 4096, 70_000, 1_000_000])
@pytest.mark.parametrize("direction", [UP, DOWN])
def test_a_cut_at_a_chosen_byte_loses_and_repeats_nothing(tunnel, start, byte_count, direction):
    echo = start(EchoTarget())
    stage = tunnel(echo.address)
    pattern, total = Pattern(byte_count), 2 * MIB
    # Twice in a row: the attempt that repairs the first cut is cut at the same place.
    stage.relay.cut_at(byte_count, direction)
    stage.relay.cut_at(byte_count, direction)
    with stage.connect() as sock:
        writer = Background(send_pattern, sock, pattern, total)
        receive_pattern(sock, pattern, total)
        writer.result(patient(10))
        sock.shutdown(socket.SHUT_WR)
        expect_end(sock)
    stage.wait_no_sessions()


@pytest.mark.parametrize("byte_count", range(1, 160, 13))
def test_a_cut_at_any_byte_of_an_unencrypted_handshake_is_survived(tunnel, start, byte_count):
    """Without TLS the byte count falls inside HELLO and WELCOME themselves: the opening must be idempotent."""
    echo = start(EchoTarget())
    stage = tunnel(echo.address, tls=False)
    for direction in (UP, DOWN):
        stage.relay.cut_at(byte_count, direction)
        with stage.connect() as sock:
            echo_once(sock, b"after the cut " * 100)
    assert echo.accepted == 2, "an opening that was repeated reached the target twice"


def test_data_written_before_the_first_link_exists_arrives(tunnel, start):
    """The application's connection is accepted while the server is out of reach, and simply takes longer."""
    echo = start(EchoTarget())
    stage = tunnel(echo.address)
    stage.relay.refuse()
    with stage.connect() as sock:
        sock.sendall(b"early")
        stage.relay.accept()
        assert receive_exactly(sock, 5) == b"early"


def test_a_frozen_network_delays_and_loses_nothing(tunnel, start):
    """A black hole shorter than the dead time: both kernels still think the link is fine."""
    echo = start(EchoTarget())
    stage = tunnel(echo.address)
    pattern, total = Pattern(5), 4 * MIB
    with stage.connect() as sock:
        echo_once(sock)
        stage.relay.freeze()
        writer = Background(send_pattern, sock, pattern, total)
        sock.settimeout(1.0)
        with pytest.raises(socket.timeout):
            sock.recv(1)
        sock.settimeout(patient(30))
        stage.relay.heal()
        receive_pattern(sock, pattern, total)
        writer.result(patient(10))


def test_a_long_outage_ends_when_the_network_does(tunnel, start):
    """While nothing answers, the application's writes wait in the replay buffer."""
    sink = start(SinkTarget())
    stage = tunnel(sink.address)
    pattern, total = Pattern(6), scaled(32 * MIB)
    with stage.connect() as sock:
        send_pattern(sock, pattern, 64 * KIB)
        sink.wait_accepted()
        stage.relay.refuse()
        stage.relay.cut()
        send_pattern(sock, pattern, total, offset=64 * KIB)
        sock.shutdown(socket.SHUT_WR)
        assert sink.outcomes == []
        stage.relay.accept()
        expect_end(sock)
        assert sink.wait_result() == (total, pattern.digest(total))
