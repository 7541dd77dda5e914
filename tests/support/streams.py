"""Byte streams that can be checked position by position, and moving them over a socket."""

import hashlib
import random
import socket
import threading

PIECE_BYTES = 256 * 1024


class Pattern:
    """An endless stream: the byte at absolute position i is base[i % period].

    The period is prime, so a gap or a repetition of any buffer-sized length shows at once.
    """

    PERIOD = 1048573

    def __init__(self, seed):
        block = random.Random(seed).randbytes(self.PERIOD)
        self._base = memoryview(block + block[:PIECE_BYTES])

    def at(self, offset, length):
        """At most PIECE_BYTES, starting at `offset`."""
        begin = offset % self.PERIOD
        return self._base[begin : begin + min(length, PIECE_BYTES)]

    def check(self, offset, data):
        """Fails and names the first position that differs from the pattern."""
        view = memoryview(data)
        while view:
            expected = self.at(offset, len(view))
            if view[: len(expected)] != expected:
                wrong = next(i for i, byte in enumerate(expected) if view[i] != byte)
                raise AssertionError(f"byte {offset + wrong} is not what was written there")
            offset += len(expected)
            view = view[len(expected) :]

    def digest(self, total):
        """SHA-256 of the first `total` bytes."""
        sha = hashlib.sha256()
        offset = 0
        while offset < total:
            piece = self.at(offset, total - offset)
            sha.update(piece)
            offset += len(piece)
        return sha.hexdigest()


def connect(address, timeout=20):
    """A TCP connection with a deadline on every operation."""
    sock = socket.create_connection(address, timeout=timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def send_pattern(sock, pattern, total, offset=0):
    """Writes the pattern's bytes [offset, total)."""
    while offset < total:
        piece = pattern.at(offset, total - offset)
        sock.sendall(piece)
        offset += len(piece)


def receive_exactly(sock, count):
    data = bytearray()
    while len(data) < count:
        piece = sock.recv(min(count - len(data), PIECE_BYTES))
        if not piece:
            raise AssertionError(f"end of stream after {len(data)} of {count} bytes")
        data += piece
    return bytes(data)


def receive_pattern(sock, pattern, total, offset=0):
    """Reads up to position `total` and checks every byte."""
    buffer = bytearray(PIECE_BYTES)
    view = memoryview(buffer)
    while offset < total:
        count = sock.recv_into(view[: min(total - offset, PIECE_BYTES)])
        if count == 0:
            raise AssertionError(f"end of stream at {offset}, {total} expected")
        pattern.check(offset, view[:count])
        offset += count


def read_to_end(sock):
    """Everything until the end of stream: (byte count, SHA-256)."""
    sha = hashlib.sha256()
    total = 0
    while piece := sock.recv(PIECE_BYTES):
        sha.update(piece)
        total += len(piece)
    return total, sha.hexdigest()


def expect_end(sock):
    """The peer finished its direction and sent nothing more."""
    data = sock.recv(PIECE_BYTES)
    assert data == b"", f"{len(data)} bytes where the end of stream should be"


def expect_reset(sock):
    """Fails unless the connection ends with a reset, rather than a plain end of stream; ignores data before it."""
    try:
        while sock.recv(PIECE_BYTES):
            pass
    except (ConnectionResetError, BrokenPipeError):
        return
    raise AssertionError("the connection ended cleanly; a reset was expected")


def expect_reset_of(connect_there, *arguments):
    """Expects a connection that is reset at once, possibly before connecting has returned."""
    try:
        sock = connect_there(*arguments)
    except ConnectionResetError:
        return
    with sock:
        expect_reset(sock)


def echo_once(sock, data=b"x"):
    """Sends and waits for the same bytes to come back."""
    sock.sendall(data)
    got = receive_exactly(sock, len(data))
    assert got == data, "the echo differs from what was sent"


class Background(threading.Thread):
    """A thread whose exception is raised again where it is joined."""

    def __init__(self, function, *arguments):
        super().__init__(name=function.__name__, daemon=True)
        self._function = function
        self._arguments = arguments
        self._result = None
        self._error = None
        self.start()

    def run(self):
        try:
            self._result = self._function(*self._arguments)
        except BaseException as error:  # raised again by result()
            self._error = error

    def result(self, timeout):
        """The function's result; its exception; or a failure at the deadline."""
        self.join(timeout)
        if self.is_alive():
            raise AssertionError(f"{self.name} did not finish within {timeout:g} s")
        if self._error is not None:
            raise self._error
        return self._result
