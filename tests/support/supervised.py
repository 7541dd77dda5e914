"""backedpipd under its own supervisor."""

import contextlib
import os
import pathlib
import re
import signal
import socket

from support.ports import free_port
from support.service import Service, client, server
from support.waiting import Deadline, wait_until


class Supervised(Service):
    """The supervisor is the process of the service; the daemon is its child."""

    def __init__(self, directory, settings, **how):
        directory.mkdir(exist_ok=True)
        super().__init__(directory, settings, options=["--supervise"], **how)

    def pid(self):
        """The daemon's, as soon as there is one that answers."""
        return wait_until(self._pid, 20, lambda: f"a daemon that answers:\n{self.log()}")

    def _pid(self):
        with contextlib.suppress(OSError):
            return self.control.status()["pid"]
        return None

    def child(self):
        """The daemon's pid, even if it does not answer yet; nothing if there is none."""
        supervisor = self.process.pid
        children = pathlib.Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text(encoding="ascii").split()
        return int(children[0]) if children else None

    def another_pid(self, old):
        return wait_until(lambda: (pid := self._pid()) != old and pid, 20, lambda: f"another daemon:\n{self.log()}")

    def kill_daemon(self, number=signal.SIGKILL):
        """Returns the process that takes its place."""
        old = self.pid()
        os.kill(old, number)
        return self.another_pid(old)

    def wait_log(self, pattern):
        return wait_until(lambda: re.findall(pattern, self.log()), 20, lambda: f"{pattern!r} in\n{self.log()}")

    def wait_end(self):
        return self.process.wait(Deadline(20).left())


class SupervisedPair:
    """A server before a target, and a client, both supervised."""

    def __init__(self, directory, target, far_settings=None, near_settings=None, **how):
        port, self._local = free_port(), free_port()
        self.far = Supervised(directory / "server",
                              server(port, "%s:%d" % target.address) | (far_settings or {}), **how)
        self.near = Supervised(directory / "client",
                               client(f"127.0.0.1:{self._local}", port) | (near_settings or {}), **how)

    def __enter__(self):
        self.far.pid(), self.near.pid()
        return self

    def __exit__(self, *_):
        self.near.__exit__()
        self.far.__exit__()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self._local), timeout=Deadline(60).left())
