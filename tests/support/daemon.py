"""Starting, watching and ending the daemons under test, and talking to their control socket."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess

from support.waiting import Deadline, wait_until

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

# Output that contains one of these is a sanitizer's finding.
SANITIZER_SIGNS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", "runtime error:")


def binary(name):
    """The path of a built program."""
    directory = os.environ.get("BACKEDPIPE_BIN") or REPOSITORY / "build" / "release" / "bin"
    return str(pathlib.Path(directory).resolve() / name)


def write_private(path, text):
    """Writes a file that only its owner can ever read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return pathlib.Path(path)


def write_config(path, settings):
    return write_private(path, json.dumps(settings, indent=2) + "\n")


def keygen(identity):
    """A fresh key line, `identity:64 hex digits`."""
    done = run(binary("backedpipctl"), "keygen", identity)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(*command, timeout=20):
    """Runs a program to its end, with its output as text."""
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=Deadline(timeout).left(), check=False)


class ControlError(Exception):
    """The control socket answered with an error object."""

    def __init__(self, error):
        super().__init__(f"{error.get('code')}: {error.get('message')}")
        self.error = error
        self.code = error.get("code")


class Control:
    """JSON-RPC 2.0 over the control socket, one object a line, one connection per call."""

    def __init__(self, path):
        self.path = str(path)

    def connect(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(Deadline(10).left())
        try:
            sock.connect(self.path)
        except OSError:
            sock.close()
            raise
        return sock

    def call(self, method, **parameters):
        request = {"jsonrpc": "2.0", "id": 1, "method": method}
        if parameters:
            request["params"] = parameters
        with self.connect() as sock:
            sock.sendall(json.dumps(request).encode() + b"\n")
            with sock.makefile("rb") as replies:
                line = replies.readline()
        if not line:
            raise ConnectionError(f"the control socket closed without answering {method}")
        reply = json.loads(line)
        if "error" in reply:
            raise ControlError(reply["error"])
        return reply["result"]

    def status(self):
        return self.call("status")

    def sessions(self):
        return self.call("sessions")

    def session(self, session_id):
        return self.call("session", id=session_id)

    def reconnect(self, session_id=None):
        return self.call("reconnect", id=session_id) if session_id else self.call("reconnect")

    def close(self, session_id):
        return self.call("close", id=session_id)


def stop_all(daemons, rest):
    """Ends the daemons in order, then calls `rest`; fails when a daemon did not end well."""
    errors = []
    for daemon in daemons:
        try:
            daemon.stop()
        except AssertionError as error:
            errors.append(str(error))
    rest()
    assert not errors, "\n".join(errors)


class Daemon:
    """One running backedpipd; its stderr goes to a file, so that its output can never block it.

    A launcher, such as the start of a namespace's command, runs it somewhere else; its control socket is a file, and can be reached from anywhere.
    """

    # Every daemon started since the list was last cleared; a failing test shows their logs.
    started = []

    def __init__(self, name, arguments, control, directory, launcher=()):
        self.name = name
        self.control = Control(control)
        self.log_path = pathlib.Path(directory) / f"{name}.log"
        self._log = open(self.log_path, "ab")
        self.process = subprocess.Popen([*launcher, binary("backedpipd"), *arguments], stdin=subprocess.DEVNULL,
                                        stdout=self._log, stderr=self._log)
        Daemon.started.append(self)

    @property
    def pid(self):
        return self.process.pid

    def wait_ready(self, seconds=10):
        """Waits until the control socket answers; fails at once when the process ends before that."""

        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.log()}")
            try:
                return self.control.status()
            except OSError:
                return None

        wait_until(ready, seconds, f"{self.name} to answer on its control socket")
        return self

    def running(self):
        return self.process.poll() is None

    # -- its log ------------------------------------------------------------------------------

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def log_mark(self):
        """The current end of the log, from which later lines can be read."""
        return self.log_path.stat().st_size

    def log_lines(self, pattern, since=0):
        """The lines after a mark in which the pattern occurs."""
        with open(self.log_path, "rb") as file:
            file.seek(since)
            text = file.read().decode("utf-8", errors="replace")
        return [line for line in text.splitlines() if re.search(pattern, line)]

    def wait_log(self, pattern, since=0, seconds=10):
        return wait_until(lambda: self.log_lines(pattern, since), seconds,
                          lambda: f"{pattern!r} in the log of {self.name}:\n{self.log()[-4000:]}")

    # -- its costs ----------------------------------------------------------------------------

    def cpu_seconds(self):
        """The resources that it has used since its start."""
        text = pathlib.Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8")
        user, system = text.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    # -- its memory ---------------------------------------------------------------------------

    def _memory(self, field):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
        raise AssertionError(f"no {field} in /proc/{self.pid}/status")

    def rss_bytes(self):
        return self._memory("VmRSS")

    def peak_rss_bytes(self):
        return self._memory("VmHWM")

    def is_instrumented(self):
        """Built with a sanitizer, whose shadow memory makes memory figures meaningless."""
        with open(f"/proc/{self.pid}/maps", encoding="utf-8") as file:
            maps = file.read()
        return "libasan" in maps or "libtsan" in maps

    # -- its end ------------------------------------------------------------------------------

    def stop(self, signal_number=signal.SIGTERM, seconds=10):
        """Ends it with a signal, and fails when it did not end well."""
        if self.running():
            self.process.send_signal(signal_number)
        try:
            code = self.process.wait(Deadline(seconds).left())
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {seconds:g} s of signal {signal_number}:\n"
                                 f"{self.log()[-4000:]}") from None
        self._log.close()
        text = self.log()
        for sign in SANITIZER_SIGNS:
            assert sign not in text, f"{self.name}:\n{text[-8000:]}"
        assert code == 0, f"{self.name} ended with {code}:\n{text[-4000:]}"

    def kill(self):
        """Kills it; harmless when it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self._log.close()
