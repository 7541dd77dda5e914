"""A paced stream that runs during a test: every byte is checked at the far end, and the times of arrival are known."""

import os
import socket
import subprocess
import threading
import time

from support.streams import PIECE_BYTES, Background, Pattern
from support.waiting import patient


class Flow:
    """One direction. Writes `piece_bytes` every `seconds`, until `finish()`.

    `write` takes bytes and returns when all were taken, `close` ends the stream, `read` returns b"" at its end.
    """

    def __init__(self, write, close, read, seed, *, piece_bytes=4096, seconds=0.01):
        self._write, self._close, self._read = write, close, read
        self._pattern = Pattern(seed)
        self._piece_bytes, self._seconds = piece_bytes, seconds
        self._stopped = threading.Event()
        self._arrival = threading.Condition()
        self._last_arrival = 0.0
        self._awaited = None  # wait_first() wants the first arrival after this time
        self._first = None
        self.sent = self.received = 0
        self._writer = Background(self._write_all)
        self._reader = Background(self._read_all)

    def _write_all(self):
        while not self._stopped.wait(self._seconds):
            piece = self._pattern.at(self.sent, self._piece_bytes)
            self._write(piece)
            self.sent += len(piece)
        self._close()

    def _read_all(self):
        while data := self._read(PIECE_BYTES):
            now = time.monotonic()
            self._pattern.check(self.received, data)
            with self._arrival:
                self.received += len(data)
                self._last_arrival = now
                if self._awaited is not None and now > self._awaited and self._first is None:
                    self._first = now
                self._arrival.notify_all()

    def expect(self, moment):
        """Keeps the time of the first arrival after this moment for `wait_first`."""
        with self._arrival:
            self._first, self._awaited = None, moment

    def wait_first(self, moment, seconds):
        """The time of the first arrival after a moment; `expect` must have been called before that arrival."""
        with self._arrival:
            if self._awaited != moment:
                self._first, self._awaited = None, moment
            deadline = time.monotonic() + patient(seconds)
            while self._first is None:
                left = deadline - time.monotonic()
                # A failure of the flow says more than a timeout.
                if left <= 0 or not (self._reader.is_alive() and self._writer.is_alive()):
                    self._raise_failure()
                    raise AssertionError(f"nothing arrived within {seconds:g} s after {self.received} bytes")
                self._arrival.wait(min(left, 0.5))
            return self._first

    def _raise_failure(self):
        for thread in (self._reader, self._writer):
            if not thread.is_alive():
                thread.result(0)

    def quiet_seconds(self):
        """The time since the latest arrival."""
        with self._arrival:
            return time.monotonic() - self._last_arrival

    def finish(self, seconds=30):
        """Ends the stream; everything that was written must have arrived. Returns how much that was."""
        self._stopped.set()
        self._writer.result(patient(seconds))
        self._reader.result(patient(seconds))
        assert self.received == self.sent, f"{self.received} bytes of {self.sent} arrived"
        return self.received


def socket_flow(writer, reader, seed, **pace):
    """From one end of a connection to the other."""
    return Flow(writer.sendall, lambda: writer.shutdown(socket.SHUT_WR), reader.recv, seed, **pace)


def process_flow(process, seed, **pace):
    """Into a program's standard input and out of its standard output."""

    def write(data):
        view = memoryview(data)
        while view:
            view = view[os.write(process.stdin.fileno(), view):]

    def close():
        process.stdin.close()
        try:
            code = process.wait(patient(60))
        except subprocess.TimeoutExpired:
            raise AssertionError("the program did not end after its input") from None
        assert code == 0, f"{process.args[0]} ended with {code}"

    return Flow(write, close, lambda count: os.read(process.stdout.fileno(), count), seed, **pace)


def heal_seconds(flows, heal, seconds=30):
    """Calls the function that heals; returns how long it took until every flow had delivered something again."""
    moment = time.monotonic()
    for flow in flows:
        flow.expect(moment)
    heal()
    return max(flow.wait_first(moment, seconds) for flow in flows) - moment
