"""A daemon that dies again and again soon after its start: the session that it dies of does not take the others along."""

import contextlib
import os
import pathlib
import signal
import subprocess

import pytest

from support.streams import echo_once, expect_reset
from support.supervised import SupervisedPair
from support.targets import EchoTarget
from support.waiting import Deadline

SOURCE = pathlib.Path(__file__).resolve().parents[1] / "support" / "deadly_connection.c"
ONE_BY_ONE = "the daemon died %d times in a row within 10 s of its start: its sessions are restored one by one"
ALL = "the daemon died %d times in a row within 10 s of its start: all its sessions are reset"


@pytest.fixture
def pair(tmp_path, start):
    return start(SupervisedPair(tmp_path, start(EchoTarget())))


@pytest.fixture
def deadly(tmp_path, start):
    """A pair whose client can be made to die of a connection."""
    library = tmp_path / "deadly_connection.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True, timeout=Deadline(60).left())
    connections = tmp_path / "deadly"
    sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    pair = start(SupervisedPair(tmp_path, start(EchoTarget()), environment={
        "LD_PRELOAD": str(library), "DEADLY_CONNECTIONS": str(connections), "ASAN_OPTIONS": sanitizer}))

    def die_of(how, socks):
        fresh = connections.with_suffix(".new")
        fresh.write_text("".join(f"{how} {sock.getsockname()[1]}\n" for sock in socks))
        fresh.replace(connections)

    pair.die_of = die_of
    return pair


def opened(stack, pair, count):
    socks = [stack.enter_context(pair.connect()) for _ in range(count)]
    for sock in socks:
        echo_once(sock)
    return socks


def identify(pair, socks):
    """The id of the session of each."""
    by_application = {each["application"]: each["id"] for each in pair.near.control.sessions()}
    return [by_application["127.0.0.1:%d" % sock.getsockname()[1]] for sock in socks]


@pytest.mark.parametrize("how", ["count", "read"], ids=["when it is restored", "in its first turn"])
@pytest.mark.parametrize("deadly_count", [1, 2])
def test_the_session_that_the_daemon_dies_of_is_reset_and_the_others_live(deadly, how, deadly_count):
    with contextlib.ExitStack() as stack:
        socks = opened(stack, deadly, 6)
        victims = socks[2:2 + deadly_count]
        ids = identify(deadly, victims)
        deadly.die_of(how, victims)
        deadly.near.kill_daemon()
        log = deadly.near.log()
        for sock in socks:
            expect_reset(sock) if sock in victims else echo_once(sock)
        assert ONE_BY_ONE % 2 in log
        for session in ids:
            assert f"session {session}: is reset, because the daemon died while it continued this session alone" in log
        continuity = deadly.near.control.status()["continuity"]
        # Before their first turns the others were restored, and what the process before has left was given up.
        assert (continuity["restored"], continuity["lost"]) == (6 - deadly_count, deadly_count if how == "count" else 1)


def test_after_five_deaths_all_sessions_are_reset_and_the_daemon_goes_on(pair):
    near = pair.near
    with contextlib.ExitStack() as stack:
        socks = opened(stack, pair, 3)
        for death in range(1, 5):
            near.kill_daemon()
            for sock in socks:
                echo_once(sock)
            assert (ONE_BY_ONE % death in near.log()) == (death >= 2)
        near.kill_daemon()
        for sock in socks:
            expect_reset(sock)
        assert ALL % 5 in near.log()
        assert "is reset, because" not in near.log()
        continuity = near.control.status()["continuity"]
        assert (continuity["restored"], continuity["lost"]) == (0, 3)
        echo_once(opened(stack, pair, 1)[0])


def test_the_sessions_of_a_server_that_resets_all_end_at_its_clients(pair):
    with contextlib.ExitStack() as stack:
        socks = opened(stack, pair, 3)
        for _ in range(5):
            pair.far.kill_daemon()
        for sock in socks:
            expect_reset(sock)
        echo_once(opened(stack, pair, 1)[0])


def test_an_orderly_end_is_no_crash(pair):
    with contextlib.ExitStack() as stack:
        sock, = opened(stack, pair, 1)
        for number in 4 * (signal.SIGKILL, signal.SIGTERM):
            pair.near.kill_daemon(number)
            echo_once(sock)
        for _ in range(4):
            old = pair.near.pid()
            pair.near.process.send_signal(signal.SIGUSR2)
            pair.near.another_pid(old)
            echo_once(sock)
        assert "times in a row" not in pair.near.log()


def test_a_start_that_lasts_is_no_crash(pair):
    near = pair.near
    with contextlib.ExitStack() as stack:
        sock, = opened(stack, pair, 1)
        for _ in range(2):
            near.kill_daemon()
        assert ONE_BY_ONE % 2 in near.log()
        near.wait_log("the daemon has run for 10 s: if it dies, its sessions are restored together")
        for _ in range(4):
            near.kill_daemon()
            echo_once(sock)
        assert ALL % 5 not in near.log()
