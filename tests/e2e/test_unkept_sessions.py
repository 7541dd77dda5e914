"""Sessions that would end with their daemon although others outlive it: they are counted, and the log says why."""

import array
import contextlib
import json
import os
import pathlib
import socket

import pytest

from support.daemon import binary, run, write_config
from support.streams import echo_once, expect_reset
from support.supervised import SupervisedPair
from support.targets import EchoTarget
from support.waiting import wait_until

WORKERS = {"workers": 1}


def kept_by_application(pair):
    return {int(each["application"].rpartition(":")[2]): each["kept"] for each in pair.near.control.sessions()}


def opened(stack, pair, count):
    socks = [stack.enter_context(pair.connect()) for _ in range(count)]
    for sock in socks:
        echo_once(sock)
    return socks


def status_text(service):
    return run(binary("backedpipctl"), "--socket", service.control.path, "status").stdout


def test_sessions_beyond_the_limit_that_held_at_the_start(tmp_path, start):
    """The ledger has records for the sessions of both roles that the settings allowed when it was made."""
    pair = start(SupervisedPair(tmp_path, start(EchoTarget()), near_settings=WORKERS | {"limits": {"max_sessions": 1}}))
    near = pair.near
    config = pathlib.Path(tmp_path / "client" / "backedpipd.json")
    write_config(config, json.loads(config.read_text()) | {"limits": {"max_sessions": 10}})
    near.control.call("reload")
    with contextlib.ExitStack() as stack:
        kept, others = opened(stack, pair, 2), opened(stack, pair, 3)
        assert kept_by_application(pair) == {sock.getsockname()[1]: sock in kept for sock in kept + others}
        assert near.control.status()["continuity"]["not_kept"] == 3
        assert "3 of the present sessions end with the daemon" in status_text(near)
        # One line at once, and one for the others.
        near.wait_log(r"a session will end with this process, because limits\.max_sessions has been raised since it started"
                      r".*: session [0-9a-f]{32}\n(?s:.*) started.*: 2 more, the latest: session [0-9a-f]{32}")
        near.kill_daemon()
        for sock in kept:
            echo_once(sock)
        for sock in others:
            expect_reset(sock)
        # There is room again.
        opened(stack, pair, 3)
        assert near.control.status()["continuity"]["not_kept"] == 0


class UnderWay:
    """Descriptors of this user that are under way in a socket, which counts against the limit of each process."""

    def __init__(self, count):
        self._count = count

    def __enter__(self):
        self._ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with open(os.devnull, encoding="ascii") as file:
            for _ in range(self._count // 100):
                many = array.array("i", 100 * [file.fileno()])
                self._ends[0].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, many)])
        return self

    def __exit__(self, *_):
        for end in self._ends:
            end.close()


@pytest.fixture
def unprivileged(tmp_path):
    """A daemon that may have few descriptors, and has not the rights to have more than that under way."""
    program = tmp_path / "unprivileged"
    rights = "setpriv --bounding-set=-all" if os.geteuid() == 0 else ""
    program.write_text(f'#!/bin/sh\nexec {rights} prlimit --nofile=1000:1000 "{binary("backedpipd")}" "$@"\n')
    program.chmod(0o755)
    return program


def test_connections_that_the_system_does_not_let_it_keep(tmp_path, start, unprivileged):
    pair = start(SupervisedPair(tmp_path, start(EchoTarget()), near_settings=WORKERS, program=unprivileged))
    near = pair.near
    with contextlib.ExitStack() as stack:
        before = opened(stack, pair, 2)
        with UnderWay(2000):
            others = opened(stack, pair, 2)
            assert near.control.status()["continuity"]["not_kept"] == 2
        after = opened(stack, pair, 2)
        assert kept_by_application(pair) == {sock.getsockname()[1]: sock not in others for sock in before + others + after}
        near.wait_log("a session will end with this process, because the system lets it keep no more connections open; "
                      "raise LimitNOFILE in its systemd unit")
        near.kill_daemon()
        for sock in before + after:
            echo_once(sock)
        for sock in others:
            expect_reset(sock)


def test_without_a_keeper_no_session_is_kept(tunnel, start):
    stage = tunnel(start(EchoTarget()).address)
    with stage.connect() as sock:
        echo_once(sock)
        for daemon in (stage.client, stage.server):
            assert wait_until(daemon.control.sessions, 10, "the session")[0]["kept"] is False
            assert daemon.control.status()["continuity"]["not_kept"] == 1
