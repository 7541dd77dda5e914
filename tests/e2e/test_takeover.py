"""A link that falls silent is not waited for: another one is made beside it, and takes over once it is there."""

import time

import pytest
from support.streams import Background, Pattern, echo_once, receive_pattern, send_pattern
from support.targets import EchoTarget
from support.waiting import MIB, PATIENCE, patient, scaled, wait_until

SUSPECT_SECONDS = 0.5 * PATIENCE
LIVENESS = {"liveness": {"ping": f"{1000 * PATIENCE}ms", "suspect": f"{int(1000 * SUSPECT_SECONDS)}ms",
                         "dead": f"{20 * PATIENCE}s"}}
SETTINGS = {"client_settings": LIVENESS, "server_settings": LIVENESS}


@pytest.mark.parametrize("tls", [True, False], ids=["TLS", "plaintext"])
def test_a_link_that_is_forgotten_silently_is_replaced_in_the_middle_of_data(tunnel, start, tls):
    target = start(EchoTarget())
    stage = tunnel(target.address, tls=tls, **SETTINGS)
    total, pattern = scaled(64 * MIB, least=4 * MIB), Pattern(7)
    with stage.connect() as sock:
        writer = Background(send_pattern, sock, pattern, total)
        receive_pattern(sock, pattern, total // 4)
        stage.relay.strand()
        before = time.monotonic()
        # What the sockets on the way still hold comes without the link.
        wait_until(lambda: stage.only_session()["generation"] == 2, 10, "the second link")
        away = time.monotonic() - before
        receive_pattern(sock, pattern, total, total // 4)
        writer.result(patient(30))
    assert away < SUSPECT_SECONDS + 1.0 * PATIENCE, f"{away:.2f} s"
    assert stage.client.log_lines("generation 1: detached: given up for a newer link")
    assert len(stage.server.log_lines("attached to")) == 2
    stage.wait_no_sessions()


def test_an_idle_session_gets_a_new_link_before_anybody_needs_it(tunnel, start):
    target = start(EchoTarget())
    stage = tunnel(target.address, **SETTINGS)
    with stage.connect() as sock:
        echo_once(sock)
        stage.relay.strand()
        wait_until(lambda: stage.only_session()["generation"] == 2, 10, "the second link")
        echo_once(sock)


# The network stalls for longer than it takes to become suspicious. Then the link comes back, and what was dialled
# beside it does not.
def test_a_false_alarm_costs_no_reconnect(tunnel, start):
    target = start(EchoTarget())
    stage = tunnel(target.address, **SETTINGS)
    with stage.connect() as sock:
        echo_once(sock)
        for _ in range(3):
            before = stage.relay.links
            stage.relay.freeze()
            sock.sendall(b"x")
            wait_until(lambda n=before: stage.relay.links > n, 10, "a candidate to be dialled")
            stage.relay.strand(but=1)
            stage.relay.heal()
            assert sock.recv(1) == b"x"
            wait_until(lambda: not stage.only_session()["suspect"], 10, "the suspicion to be over")
        session = stage.only_session()
        assert session["generation"] == 1 and session["reconnects"] == 0, session
