"""The ways in which a daemon may die, beyond kill -9 at some moment, and what is left of it then."""

import collections
import contextlib
import os
import pathlib
import random
import re
import socket
import subprocess
import threading

import pytest

from support.ports import free_port
from support.service import client, server
from support.streams import Background, receive_exactly
from support.supervised import Supervised
from support.targets import EchoTarget
from support.waiting import Deadline


# Each death costs a second.
PART = 1 if os.environ.get("BACKEDPIPE_E2E_NETWORK") == "full" else 10


class Pair:
    """A target, and both daemons before it, supervised."""

    def __init__(self, directory, target, **how):
        directory.mkdir()
        link, self.port = free_port(), free_port()
        self.server = Supervised(directory / "server", server(link, "%s:%d" % target.address), **how)
        self.client = Supervised(directory / "client", client(f"127.0.0.1:{self.port}", link), **how)
        for site in (self.server, self.client):
            site.pid()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=Deadline(20).left())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.__exit__()
        self.client.__exit__()


# --- before every system call


class Strace:
    """Writes down the system calls of a process, by the thread that makes them, and may be told to kill it."""

    def __init__(self, pid, path, *options):
        self._pid, self._path = pid, path
        self.has_killed = False
        self._ended = threading.Event()
        self._process = subprocess.Popen(["strace", "-f", "-p", str(pid), "-o", str(path), *options],
                                         stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        line = self._process.stderr.readline()
        assert "attached" in line, line
        self._watch = Background(self._release_the_dead)

    def _release_the_dead(self):
        """Sometimes strace forgets a thread that it has killed, and waits. Their parent cannot see its child's end then."""
        while not self.has_killed and not self._ended.wait(0.01):
            self.has_killed = is_dead(self._pid)
        if self.has_killed:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.3)
            self._process.kill()

    def end(self):
        """What it has written."""
        self._ended.set()
        self._watch.result(10)
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        self._process.kill()
        self._process.wait()
        self._process.stderr.close()
        return self._path.read_text(encoding="utf-8", errors="replace")


def is_dead(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def calls_of_a_worker(trace):
    """The names of what the thread calls that accepts the connection, in order."""
    by_thread = collections.defaultdict(list)
    for thread, name in re.findall(r"^(\d+) +(\w+)\(", trace, re.MULTILINE):
        by_thread[thread].append(name)
    return next(names for names in by_thread.values() if "accept" in names)


def was_accepted_and_no_more(trace):
    """Until a connection is in the vault, nobody but the daemon has it."""
    accepted = re.search(r"accept(\(| resumed>).*= \d+$", trace, re.MULTILINE)
    return accepted and not re.search(r"sendmsg(\(.*SCM_RIGHTS| resumed>).*= 1$", trace[accepted.end():], re.MULTILINE)


def converse(pair):
    """What the application hears until the end of the stream, or a reset."""
    heard = b""
    try:
        with pair.connect() as sock:
            for word in (b"one", b"two"):
                sock.sendall(word)
                heard += receive_exactly(sock, len(word))
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""
        return heard.decode()
    except ConnectionResetError:
        return f"a reset after \"{heard.decode()}\""


@pytest.mark.may_take(300)
@pytest.mark.parametrize("side", ["client", "server"])
def test_a_session_goes_on_whichever_system_call_its_daemon_dies_before(tmp_path, start, side):
    target = start(EchoTarget())

    def under_strace(name, *options):
        with Pair(tmp_path / name, target) as pair:
            strace = Strace(getattr(pair, side).pid(), tmp_path / f"{name}.trace", *options)
            try:
                heard = converse(pair)
            finally:
                trace = strace.end()
        return heard, trace, strace.has_killed

    heard, trace, _ = under_strace("whole")
    assert heard == "onetwo"
    calls = calls_of_a_worker(trace)
    assert calls.count("accept") > 1 and len(calls) > 50, calls
    before = collections.Counter()
    places = []
    for name in calls:
        before[name] += 1
        places.append((name, before[name]))
    # Another part of them each time.
    places = random.sample(places, len(places) // PART)
    killed = 0
    for number, (name, when) in enumerate(places):
        heard, trace, has_killed = under_strace(f"{number}", "-e", f"inject={name}:signal=KILL:when={when}")
        killed += has_killed
        if side == "client" and was_accepted_and_no_more(trace):
            assert heard in ("onetwo", 'a reset after ""')
        else:
            assert heard == "onetwo", f"killed before {name} number {when}:\n{trace}"
    assert killed > len(places) * 0.6
