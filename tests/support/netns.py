"""A network namespace: a network stack of its own, in which processes and sockets of a test live.

Needs root, iproute2 and nftables. Names carry the process id and a number, so that test runs beside each
other cannot meet; closing a namespace ends what still runs in it.
"""

import contextlib
import ctypes
import itertools
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from support.waiting import FULL

NAMES = pathlib.Path("/run/netns")
PRIVATE_FILES = pathlib.Path("/etc/netns")  # "ip netns exec" shows NAME/hosts there as /etc/hosts
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()


def execute(*command, text=None):
    """Runs a tool to its end and returns its output; fails with its error output."""
    done = subprocess.run(command, input=text, stdin=subprocess.DEVNULL if text is None else None,
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr or done.stdout}"
    return done.stdout


def why_unavailable(*tools):
    """Why namespaces cannot be created here; None when they can."""
    missing = [tool for tool in ("ip", "nft", *tools) if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        Namespace("probe").close()
    except AssertionError as error:
        return f"no network namespaces: {error}"
    return None


def require(*tools):
    """Skips the test without the means for namespaces and these tools; when the network tests run in full, it fails."""
    lacking = why_unavailable(*tools)
    if lacking:
        (pytest.fail if FULL else pytest.skip)(lacking)


class Namespace:
    """Exists until closed."""

    def __init__(self, role):
        self.name = f"backedpipe-{os.getpid()}-{next(_numbers)}-{role}"
        execute("ip", "netns", "add", self.name)
        self.configure("link set lo up")

    # -- being in it --------------------------------------------------------------------------

    def command(self, *arguments):
        """The command line that runs a command inside, as the same process."""
        return ["ip", "netns", "exec", self.name, *map(str, arguments)]

    def execute(self, *arguments, text=None):
        return execute(*self.command(*arguments), text=text)

    def start(self, *arguments, **options):
        """Starts a program inside, with its input and output as Popen offers them."""
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0, **options}
        return subprocess.Popen(self.command(*arguments), **options)

    @contextlib.contextmanager
    def entered(self):
        """Puts the calling thread inside: a socket that it creates stays in the namespace."""
        with open("/proc/thread-self/ns/net", "rb") as outside, open(NAMES / self.name, "rb") as inside:
            _set_namespace(inside)
            try:
                yield
            finally:
                _set_namespace(outside)

    # -- setting it up ------------------------------------------------------------------------

    def configure(self, *lines):
        """Commands of ip(8) without the leading "ip", in one go."""
        execute("ip", "-n", self.name, "-batch", "-", text="\n".join(lines) + "\n")

    def sysctl(self, name, value):
        with self.entered(), open(f"/proc/sys/{name}", "w", encoding="ascii") as file:
            file.write(str(value))

    def nft(self, script):
        return self.execute("nft", "-f", "-", text=script)

    def hosts(self, **addresses):
        """Sets the addresses of host names for the processes inside, at once and also for those that already run."""
        folder = PRIVATE_FILES / self.name
        folder.mkdir(parents=True, exist_ok=True)
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in addresses.items())]
        # Written in place, because the file is mounted where the processes read it.
        (folder / "hosts").write_text("\n".join(lines) + "\n", encoding="ascii")

    # -- its end ------------------------------------------------------------------------------

    def processes(self):
        return [int(line) for line in execute("ip", "netns", "pids", self.name).split()]

    def close(self):
        for pid in self.processes():
            if pid != os.getpid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        execute("ip", "netns", "del", self.name)
        shutil.rmtree(PRIVATE_FILES / self.name, ignore_errors=True)
        with contextlib.suppress(OSError):
            PRIVATE_FILES.rmdir()  # if nobody else has files there


def _set_namespace(file):
    if _libc.setns(file.fileno(), CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
