"""Every way in which a connection ends must reach the other end as what it was."""

import contextlib
import socket

import pytest

from support.ports import free_port
from support.relay import close_with_reset
from support.streams import (Pattern, echo_once, expect_end, expect_reset, expect_reset_of, receive_pattern, send_pattern)
from support.targets import (ENDED, WAS_RESET, AnsweringTarget, ClosingTarget, EchoTarget,
                             ResettingOnCommandTarget, ResettingTarget, SinkTarget)
from support.waiting import MIB, wait_until


@pytest.mark.parametrize("cut", [False, True], ids=["quiet", "cut"])
def test_a_client_that_has_finished_writing_still_receives_the_whole_answer(tunnel, start, cut):
    total = 10 * MIB
    target = start(AnsweringTarget(1, total))
    stage = tunnel(target.address)
    question = Pattern(2)
    with stage.connect() as sock, stage.relay.every(0.02) if cut else contextlib.nullcontext():
        send_pattern(sock, question, MIB)
        sock.shutdown(socket.SHUT_WR)
        receive_pattern(sock, Pattern(1), total)
        expect_end(sock)
    assert target.wait_result() == (MIB, question.digest(MIB))
    stage.wait_no_sessions()


def test_a_target_that_ends_first_still_receives_what_the_client_sends(tunnel, start):
    target = start(ClosingTarget())
    stage = tunnel(target.address)
    pattern = Pattern(3)
    with stage.connect() as sock:
        expect_end(sock)
        stage.relay.cut()
        send_pattern(sock, pattern, MIB)
        sock.shutdown(socket.SHUT_WR)
        assert target.wait_result() == (MIB, pattern.digest(MIB))
    stage.wait_no_sessions()


def test_a_reset_by_the_application_reaches_the_target_as_a_reset(tunnel, start):
    sink = start(SinkTarget())
    stage = tunnel(sink.address)
    sock = stage.connect()
    sock.sendall(b"before")
    sink.wait_accepted()
    close_with_reset(sock)
    assert sink.wait_outcome() == WAS_RESET
    stage.wait_no_sessions()


@pytest.mark.parametrize("urgent", [False, True], ids=["plain", "with urgent data"])
def test_an_application_that_resets_while_nothing_is_read_from_it_is_noticed(tunnel, urgent):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stage = tunnel(listener.getsockname())
        sock = stage.connect()
        # It reads nothing: at some point nothing is read from the application any more.
        with listener.accept()[0]:
            sock.settimeout(1)
            if urgent:
                sock.send(b"!", socket.MSG_OOB)
            with pytest.raises(TimeoutError):
                while True:
                    sock.sendall(bytes(MIB))
            close_with_reset(sock)
            stage.wait_no_sessions()


def test_a_reset_by_the_target_reaches_the_application_as_a_reset(tunnel, start):
    target = start(ResettingTarget(after=6))
    stage = tunnel(target.address)
    with stage.connect() as sock:
        sock.sendall(b"before")
        expect_reset(sock)
    stage.wait_no_sessions()


def test_a_target_that_refuses_is_seen_as_a_reset(tunnel):
    stage = tunnel(("127.0.0.1", free_port()))
    expect_reset_of(stage.connect)
    assert stage.server.wait_log("target_refused")
    stage.wait_no_sessions()


def test_a_target_that_closes_at_once_is_seen_as_a_clean_end(tunnel, start):
    target = start(ClosingTarget())
    stage = tunnel(target.address)
    for count in range(1, 6):
        with stage.connect() as sock:
            expect_end(sock)
            sock.shutdown(socket.SHUT_WR)
            assert target.wait_result(count) == (0, Pattern(0).digest(0))
    stage.wait_no_sessions()


def test_an_application_that_closes_while_the_link_is_down_still_delivers_everything(tunnel, start):
    sink = start(SinkTarget())
    stage = tunnel(sink.address)
    pattern = Pattern(4)
    with stage.connect() as sock:
        send_pattern(sock, pattern, 1000)
        sink.wait_accepted()
        stage.relay.refuse()
        stage.relay.cut()
        send_pattern(sock, pattern, MIB, offset=1000)
    assert sink.outcomes == []
    stage.relay.accept()
    assert sink.wait_result() == (MIB, pattern.digest(MIB))
    stage.wait_no_sessions()


def test_an_application_that_resets_while_the_link_is_down_resets_the_target_later(tunnel, start):
    sink = start(SinkTarget())
    stage = tunnel(sink.address)
    sock = stage.connect()
    sock.sendall(b"before")
    sink.wait_accepted()
    stage.relay.refuse()
    stage.relay.cut()
    close_with_reset(sock)
    wait_until(lambda: not stage.relay.open_links, 5, "the link to be down")
    stage.relay.accept()
    assert sink.wait_outcome(seconds=20) == WAS_RESET
    stage.wait_no_sessions()


def test_a_target_that_resets_while_the_link_is_down_resets_the_application_later(tunnel, start):
    target = start(ResettingOnCommandTarget())
    stage = tunnel(target.address)
    with stage.connect() as sock:
        target.wait_accepted()
        stage.relay.refuse()
        stage.relay.cut()
        target.reset()
        assert target.wait_outcome() == ENDED
        stage.relay.accept()
        expect_reset(sock)
    stage.wait_no_sessions()


def test_one_session_ending_leaves_another_alone(tunnel, start):
    echo = start(EchoTarget())
    stage = tunnel(echo.address)
    with stage.connect() as staying:
        echo_once(staying)
        for _ in range(5):
            with stage.connect() as leaving:
                echo_once(leaving)
            leaving = stage.connect()
            echo_once(leaving)
            close_with_reset(leaving)
        echo_once(staying, b"still here")
        wait_until(lambda: len(stage.client.control.sessions()) == 1, 10, "only one session to be left")
        echo_once(staying)
        staying.shutdown(socket.SHUT_WR)
        expect_end(staying)
    stage.wait_no_sessions()
