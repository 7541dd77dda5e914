"""What runs through the daemons of a soak besides the random sessions of conversation.py.

Each class is one load: `run(stop)` goes on until told to stop and reports to the tally. A load whose sessions are lost,
because everything of one side was killed, begins again; see Tally.losing.
"""

import contextlib
import hashlib
import os
import random
import re
import select
import shutil
import subprocess
import time

from soak.conversation import STUCK_SECONDS
from support.files import random_file, sha256_of
from support.postgres import Postgres
from support.streams import connect, receive_exactly
from support.waiting import KIB, MIB, Deadline, patient, scaled


# Before a load whose sessions were lost begins again: perhaps nobody listens yet.
PAUSE_SECONDS = 0.1


class IdleSessions:
    """Many sessions that mostly do nothing. Now and then some of them say something, and hear it again."""

    AT_ONCE = 20

    def __init__(self, address, count, seed, tally):
        self._address = address
        self._count = count
        self._rng = random.Random(seed)
        self._tally = tally

    def run(self, stop):
        while not stop.is_set():
            mark = self._tally.mark()
            try:
                with contextlib.ExitStack() as stack:
                    socks = [stack.enter_context(connect(self._address, patient(STUCK_SECONDS)))
                             for _ in range(self._count)]
                    while not stop.wait(0.5):
                        self._talk(self._rng.sample(socks, min(self.AT_ONCE, self._count)))
                    self._talk(socks)
                    for sock in socks:
                        sock.shutdown(1)
                    for sock in socks:
                        assert sock.recv(1) == b"", "more than was said"
            except (OSError, AssertionError) as error:
                self._tally.fail_unless_lost(mark, "an idle session", error)
                stop.wait(PAUSE_SECONDS)
            self._tally.done()

    def _talk(self, socks):
        said = [self._rng.randbytes(self._rng.randrange(1, 2000)) for _ in socks]
        for sock, data in zip(socks, said):
            sock.sendall(data)
        for sock, data in zip(socks, said):
            assert receive_exactly(sock, len(data)) == data, "another byte than was said"
            self._tally.count(2 * len(data))


class Probe:
    """One session over which a byte goes to and fro all the time: for how long does it stand still?"""

    BETWEEN_BYTES_SECONDS = 0.001

    def __init__(self, address, tally):
        self._address = address
        self._tally = tally
        self._since = {}  # what has happened -> when
        self.seconds = {}  # what has happened -> from then to the next byte, for each time

    def note(self, what):
        """It happens now. The next byte is one that is said later and comes back."""
        self._since[what] = time.monotonic()
        self.seconds.setdefault(what, [])

    def run(self, stop):
        while not stop.is_set():
            mark = self._tally.mark()
            try:
                with connect(self._address, patient(STUCK_SECONDS)) as sock:
                    while not stop.wait(self.BETWEEN_BYTES_SECONDS):
                        said_at = time.monotonic()
                        sock.sendall(b"x")
                        assert sock.recv(1) == b"x", "a clean end"
                        heard_at = time.monotonic()
                        for what, since in list(self._since.items()):
                            if since < said_at:
                                self.seconds[what].append(heard_at - since)
                                self._since.pop(what, None)
            except (OSError, AssertionError) as error:
                self._tally.fail_unless_lost(mark, "the probe", error)
                stop.wait(PAUSE_SECONDS)
            self._since.clear()
            self._tally.done()


class Program:
    """A program that uses the network, again and again. A subclass says which, and checks what it did."""

    SECONDS = 120  # that one run may take, whatever happens meanwhile

    def __init__(self, tally):
        self._tally = tally
        self.runs = 0

    def run(self, stop):
        while not stop.is_set() and not self._tally.failures:
            mark = self._tally.mark()
            try:
                self.once()
                self.runs += 1
            except (AssertionError, subprocess.TimeoutExpired) as error:
                self._tally.fail(f"{type(self).__name__}: {error}")
            except ConnectionError as error:
                self._tally.fail_unless_lost(mark, type(self).__name__, error)
                stop.wait(PAUSE_SECONDS)
            self._tally.done()

    def execute(self, command):
        """What it prints. Fails as a lost connection does."""
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False,
                              timeout=patient(self.SECONDS))
        if done.returncode != 0:
            raise ConnectionError(f"{done.returncode}: {done.stderr.decode()[-300:]}")
        self._tally.count(len(done.stdout))
        return done.stdout


class Shell(Program):
    """Someone types into an interactive ssh. Every line is answered once and in order."""

    LINES = 40

    def __init__(self, sshd, port, tally):
        super().__init__(tally)
        self._command = sshd.ssh(port, "TERM=dumb exec bash --norc --noprofile -i", options=["-tt"])

    def once(self):
        shell = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 bufsize=0)
        output = bytearray()
        try:
            with contextlib.suppress(BrokenPipeError):  # its status says more
                for number in range(self.LINES):
                    # The answer differs from what was typed, so the echo cannot pass for it.
                    shell.stdin.write(f"echo row $((1000 + {number}))\n".encode())
                    self._read(shell, output, 0.1)
                shell.stdin.write(b"exit 7\n")
            deadline = Deadline(self.SECONDS)
            while self._read(shell, output, 0.1):
                assert not deadline.passed(), f"it does not end: {output.decode()}"
            status = shell.wait(patient(10))
        finally:
            shell.kill()
            shell.wait()
            shell.stdin.close()
            shell.stdout.close()
        if status != 7:
            raise ConnectionError(f"{status}: {output.decode()[-300:]}")
        rows = [int(row) for row in re.findall(r"^row (\d+)\r?$", output.decode(), re.MULTILINE)]
        assert rows == [1000 + number for number in range(self.LINES)], rows

    @staticmethod
    def _read(shell, output, seconds):
        """Appends what comes within this time; false at the end."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not select.select([shell.stdout], [], [], left)[0]:
                return True
            try:
                data = os.read(shell.stdout.fileno(), 64 * KIB)
            except OSError:
                data = b""
            if not data:
                return False
            output += data
        return True


class Scp(Program):
    """A file there and back."""

    def __init__(self, sshd, port, directory, tally):
        super().__init__(tally)
        self._sshd, self._port = sshd, port
        directory.mkdir()
        self._original, self._there, self._back = (directory / name for name in ("original", "there", "back"))
        random_file(self._original, scaled(24 * MIB), seed=1)
        self._sum = sha256_of(self._original)

    def once(self):
        self.execute(self._sshd.scp(self._port, self._original, self._sshd.remote(self._there)))
        assert sha256_of(self._there) == self._sum, "another file arrived"
        self.execute(self._sshd.scp(self._port, self._sshd.remote(self._there), self._back))
        assert sha256_of(self._back) == self._sum, "another file came back"
        self._tally.count(2 * self._original.stat().st_size)


class Rsync(Program):
    """A tree of small files, of which some have changed."""

    FILES = 100

    def __init__(self, sshd, port, directory, tally):
        super().__init__(tally)
        self._sshd, self._port = sshd, port
        self._source, self._copy = directory / "source", directory / "copy"
        self._source.mkdir(parents=True)
        self._rng = random.Random(2)
        for number in range(self.FILES):
            self._write(number)

    def _write(self, number):
        (self._source / str(number)).write_bytes(self._rng.randbytes(self._rng.randrange(100 * KIB)))

    def once(self):
        for number in self._rng.sample(range(self.FILES), 30):
            self._write(number)
        self.execute(self._sshd.rsync(self._port, "-a", "--checksum", f"{self._source}/", self._sshd.remote(self._copy)))
        for path in self._source.iterdir():
            assert (self._copy / path.name).read_bytes() == path.read_bytes(), f"{path.name} differs"


class Psql(Program):
    """A large answer, which must be whole, and a question that is answered at once."""

    ROWS = 200_000

    def __init__(self, port, tally):
        super().__init__(tally)
        self._port = port
        rows = scaled(self.ROWS)
        self._large = f"copy (select i, md5(i::text) from generate_series(1, {rows}) i) to stdout"
        self._sum = hashlib.md5()
        for number in range(1, rows + 1):
            self._sum.update(f"{number}\t{hashlib.md5(str(number).encode()).hexdigest()}\n".encode())

    def once(self):
        answer = self.execute(Postgres.psql(self._port, self._large))
        assert hashlib.md5(answer).digest() == self._sum.digest(), f"{len(answer)} bytes that differ"
        assert self.execute(Postgres.psql(self._port, "select 6 * 7")) == b"42\n"


def has_ssh():
    return all(map(shutil.which, ("ssh", "scp", "/usr/sbin/sshd")))


def has_rsync():
    return has_ssh() and shutil.which("rsync") is not None
