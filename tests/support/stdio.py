"""`backedpipd stdio` beside a tunnel: through its relay to its server, with its key."""

import contextlib
import signal
import subprocess

from support.daemon import binary
from support.ports import endpoint
from support.waiting import Deadline


def stdio_command(stage, *options, service=None, peer=None, key=None):
    """The command line, as a list."""
    security = ["--key", str(key)] if key else stage.link_options()
    return [binary("backedpipd"), "stdio", "--peer", peer or endpoint(*stage.relay.address),
            "--service", service or stage.service, *security, *options]


def _as_from_a_shell():
    """Restores signals that tests started in the background or by nohup(1) ignore, since children inherit that."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Stdio:
    """A running `backedpipd stdio`, with pipes for everything unless Popen arguments say otherwise."""

    def __init__(self, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings):
        self.process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, bufsize=0,
                                        preexec_fn=_as_from_a_shell, **settings)
        self.pid = self.process.pid
        self.stdin, self.stdout, self.stderr = self.process.stdin, self.process.stdout, self.process.stderr

    def running(self):
        return self.process.poll() is None

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self, seconds=10):
        """The exit code."""
        return self.process.wait(Deadline(seconds).left())

    def said(self):
        """The lines on standard error, to its end."""
        return self.stderr.read().decode().splitlines()

    def finish(self, data=None, seconds=30):
        """Writes `data`, ends the input, and returns (exit code, output, lines on standard error)."""
        output, errors = self.process.communicate(data, Deadline(seconds).left())
        return self.process.returncode, output, errors.decode().splitlines()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        for end in (self.stdin, self.stdout, self.stderr):
            if end is not None:
                with contextlib.suppress(OSError):
                    end.close()


def read_exactly(file, count):
    data = bytearray()
    while len(data) < count:
        piece = file.read(count - len(data))
        assert piece, f"end of output after {len(data)} of {count} bytes"
        data += piece
    return bytes(data)
