"""Random sessions between an application and a target: what both sides write, how fast, and how it ends.

Every byte is checked where it arrives, and so is how each stream ends. The application's first bytes tell the target
what is planned.
"""

import collections
import contextlib
import random
import socket
import threading
import time

from support.relay import close_with_reset
from support.streams import PIECE_BYTES, Background, Pattern, connect, receive_exactly
from support.targets import Target
from support.waiting import KIB, MIB, SCALE, patient

# An outage never lasts so long; a session that moves nothing for this long is stuck.
STUCK_SECONDS = 60
HEADER_BYTES = 40

CLEAN, RESET_BY_CLIENT, RESET_BY_TARGET = range(3)
PATTERNS = [Pattern(seed) for seed in range(16)]


class Plan:
    """What one session does: sizes both ways, who goes first, how it ends. Its first bytes tell the target."""

    def __init__(self, rng):
        self.up = self._size(rng)
        self.down = self._size(rng)
        self.up_pattern, self.down_pattern = rng.randrange(16), rng.randrange(16)
        # The answer follows only after the end of the question.
        self.half_close = rng.random() < 0.3
        self.ending = rng.choices((CLEAN, RESET_BY_CLIENT, RESET_BY_TARGET), (80, 10, 10))[0]
        # Of the resetting side's own bytes, so many are written before.
        self.reset_after = rng.randrange(1 + (self.up if self.ending == RESET_BY_CLIENT else self.down))
        self.pause = rng.choice((0, 0, 0, 0.001, 0.02))  # between pieces
        self.piece = rng.choice((1, 100, 1500, 64 * KIB, PIECE_BYTES))

    @classmethod
    def full(cls, size):
        """Both ways at once, and no more."""
        plan = cls(random.Random(0))
        plan.up = plan.down = size
        plan.half_close, plan.ending, plan.pause, plan.piece = False, CLEAN, 0, PIECE_BYTES
        return plan

    @staticmethod
    def _size(rng):
        """Mostly small, sometimes large; often nothing at all."""
        most = rng.choice((0, 1, 1000, 100 * KIB, 1 * MIB, 16 * MIB))
        return rng.randint(0, max(int(most * min(SCALE * 2, 1)), 1))

    def header(self):
        fields = (self.up, self.down, self.up_pattern, self.down_pattern, int(self.half_close), self.ending,
                  self.reset_after, self.piece)
        return b"".join(value.to_bytes(5, "big") for value in fields)

    @classmethod
    def read(cls, header):
        plan = cls.__new__(cls)
        (plan.up, plan.down, plan.up_pattern, plan.down_pattern, plan.half_close, plan.ending, plan.reset_after,
         plan.piece) = (int.from_bytes(header[at : at + 5], "big") for at in range(0, HEADER_BYTES, 5))
        plan.pause = 0
        return plan


class Reset(Exception):
    """This side has reset its connection, as planned."""


def write(sock, plan, pattern, total, reset_after):
    """The bytes of the pattern; at `reset_after`, if any, a reset instead of the rest."""
    end = total if reset_after is None else reset_after
    # Single bytes are worth trying, for a while.
    offset, pieces = 0, 0
    while offset < end:
        size = plan.piece if pieces < 200 else PIECE_BYTES
        piece = PATTERNS[pattern].at(offset, min(size, end - offset))
        sock.sendall(piece)
        offset += len(piece)
        pieces += 1
        if plan.pause and pieces < 200:
            time.sleep(plan.pause)
    if reset_after is not None:
        raise Reset
    sock.shutdown(socket.SHUT_WR)


class EarlyEnd(AssertionError):
    """The stream ended before its planned end."""


def read(sock, pattern, total, counted):
    """Every byte must be right; the end must come where it was planned."""
    offset = 0
    while data := sock.recv(PIECE_BYTES):
        assert offset + len(data) <= total, f"{offset + len(data)} bytes of {total}"
        PATTERNS[pattern].check(offset, data)
        offset += len(data)
        counted(len(data))
    if offset != total:
        raise EarlyEnd(f"the stream ended at {offset} of {total}")


def converse(sock, plan, at_client, tally, mark):
    """One side of a session since that mark. Ends well, or by a reset that was planned or is excused, or fails."""
    out, into = (plan.up_pattern, plan.down_pattern) if at_client else (plan.down_pattern, plan.up_pattern)
    out_bytes, in_bytes = (plan.up, plan.down) if at_client else (plan.down, plan.up)
    if plan.ending == (RESET_BY_CLIENT if at_client else RESET_BY_TARGET):
        reader = Background(read, sock, into, in_bytes, tally.count)
        with contextlib.suppress(Reset):
            write(sock, plan, out, out_bytes, plan.reset_after)
        sock.shutdown(socket.SHUT_RD)  # wakes the reader, and tells the network nothing
        with contextlib.suppress(EarlyEnd):
            reader.result(patient(STUCK_SECONDS))
        close_with_reset(sock)
        return
    try:
        if plan.half_close and not at_client:
            read(sock, into, in_bytes, tally.count)
            write(sock, plan, out, out_bytes, None)
        else:
            writer = Background(write, sock, plan, out, out_bytes, None)
            try:
                read(sock, into, in_bytes, tally.count)
            except EarlyEnd:
                # A reset is reported once: if the writer was told, the reader finds an end.
                writer.result(patient(STUCK_SECONDS))
                raise
            writer.result(patient(STUCK_SECONDS))
        ended_by_reset = False
    except (ConnectionResetError, BrokenPipeError):
        ended_by_reset = True
    assert ended_by_reset or plan.ending == CLEAN, "ended as if nothing had happened, though the other side reset"
    assert plan.ending != CLEAN or not ended_by_reset or tally.lost_since(mark), "reset, though nobody asked for it"


class PlannedTarget(Target):
    def __init__(self, tally):
        self._tally = tally
        super().__init__()

    def serve(self, sock):
        mark = self._tally.mark()
        sock.settimeout(patient(STUCK_SECONDS))
        try:
            plan = Plan.read(receive_exactly(sock, HEADER_BYTES))
        except (ConnectionResetError, AssertionError):
            return  # the client's reset overtook its first bytes
        try:
            converse(sock, plan, False, self._tally, mark)
        except Exception as error:
            self._tally.fail_unless_lost(mark, f"target: {describe(plan)}", error)


def describe(plan):
    ending = ("clean", "reset by the client", "reset by the target")[plan.ending]
    return f"up {plan.up}, down {plan.down}, {'half-close, ' if plan.half_close else ''}{ending}"


class Tally:
    """What the threads count, and when sessions may be lost."""

    def __init__(self):
        self._lock = threading.Lock()
        self.bytes = 0
        self.sessions = 0
        self.faults = collections.Counter()
        self.failures = []
        self._losses = 0
        self._losing = False

    def count(self, count):
        with self._lock:
            self.bytes += count

    def done(self):
        with self._lock:
            self.sessions += 1

    def fail(self, what):
        with self._lock:
            self.failures.append(what)

    @contextlib.contextmanager
    def losing(self):
        """Meanwhile all sessions of one side are lost. Each must end by a reset; some end a while after this."""
        self._losses += 1
        self._losing = True
        yield
        self._losses += 1
        self._losing = False

    def mark(self):
        return self._losses

    def lost_since(self, mark):
        return self._losing or self._losses != mark

    def fail_unless_lost(self, mark, what, error):
        if not (isinstance(error, ConnectionError) and self.lost_since(mark)):
            self.fail(f"{what}: {error!r}")


def application(plan, address, tally):
    mark = tally.mark()
    port = "no port"
    try:
        with connect(address, patient(STUCK_SECONDS)) as sock:
            port = sock.getsockname()[1]  # by which the log knows the session
            sock.sendall(plan.header())
            converse(sock, plan, True, tally, mark)
    except Exception as error:
        tally.fail_unless_lost(mark, f"client from {port}: {describe(plan)}", error)
        time.sleep(0.1)  # if it was lost, perhaps nobody listens yet
    tally.done()


def applications(seed, address, tally, stop):
    """One session after the other, until told to stop."""
    rng = random.Random(seed)
    while not stop.is_set() and not tally.failures:
        application(Plan(rng), address, tally)
