"""Targets for a service to dial: each behaves in one way that an application might.

Every connection is served by a thread of its own, which may block. A target listens on an ephemeral
loopback port, or on a unix socket when given a path.
"""

import contextlib
import socket
import threading

from support.relay import close_with_reset
from support.streams import PIECE_BYTES, Pattern, read_to_end, receive_exactly, receive_pattern, send_pattern
from support.waiting import wait_until

# The outcomes of a connection.
ENDED = "ended"
WAS_RESET = "reset"


class Target:
    """Accepts connections and hands each to `serve`; remembers how each of them ended."""

    def __init__(self, host="127.0.0.1", path=None):
        if path is not None:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(str(path))
            self.address = f"unix:{path}"
        else:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._listener = socket.create_server((host, 0), family=family)
            self.address = self._listener.getsockname()[:2]
        self._listener.listen(4096)
        self._lock = threading.Lock()
        self._open = set()
        self.accepted = 0
        self.outcomes = []  # one per finished connection: ENDED, WAS_RESET, or another exception
        self.results = []  # what `serve` returned, in the same order
        threading.Thread(target=self._accept, name=type(self).__name__, daemon=True).start()

    def serve(self, sock):
        raise NotImplementedError

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:  # closed
                return
            with self._lock:
                self.accepted += 1
                self._open.add(sock)
            threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock):
        result, outcome = None, ENDED
        try:
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            result = self.serve(sock)
        except (ConnectionResetError, BrokenPipeError):
            outcome = WAS_RESET
        except Exception as error:  # shown by the test that waits for the outcome
            outcome = error
        finally:
            with self._lock:
                self._open.discard(sock)
            sock.close()
            with self._lock:
                self.results.append(result)
                self.outcomes.append(outcome)

    def wait_accepted(self, count=1, seconds=10):
        wait_until(lambda: self.accepted >= count, seconds, f"{count} connections at the target")

    def wait_outcome(self, count=1, seconds=10):
        """The outcome of the connection that finished as number `count`."""
        wait_until(lambda: len(self.outcomes) >= count, seconds, f"{count} finished connections at the target")
        outcome = self.outcomes[count - 1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def wait_result(self, count=1, seconds=10):
        """The result of the connection that finished as number `count`; it must have ended cleanly."""
        outcome = self.wait_outcome(count, seconds)
        assert outcome == ENDED, f"the target's connection ended by {outcome}"
        return self.results[count - 1]

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


class EchoTarget(Target):
    """Sends back what it reads, and ends its stream after the other end of stream."""

    def serve(self, sock):
        buffer = memoryview(bytearray(PIECE_BYTES))
        while count := sock.recv_into(buffer):
            sock.sendall(buffer[:count])


class SinkTarget(Target):
    """Reads to the end of stream; its result is (byte count, SHA-256)."""

    def serve(self, sock):
        return read_to_end(sock)


class SourceTarget(Target):
    """Sends `total` bytes of a pattern and ends."""

    def __init__(self, seed, total, **where):
        self.pattern = Pattern(seed)
        self.total = total
        super().__init__(**where)

    def serve(self, sock):
        send_pattern(sock, self.pattern, self.total)
        sock.shutdown(socket.SHUT_WR)
        return read_to_end(sock)


class StalledTarget(SinkTarget):
    """Reads nothing before `release()`; then as SinkTarget."""

    def __init__(self, **where):
        self._released = threading.Event()
        super().__init__(**where)

    def release(self):
        self._released.set()

    def serve(self, sock):
        self._released.wait()
        return super().serve(sock)

    def close(self):
        self.release()
        super().close()


class ResettingTarget(Target):
    """Resets the connection once it has read `after` bytes."""

    def __init__(self, after=0, **where):
        self._after = after
        super().__init__(**where)

    def serve(self, sock):
        receive_exactly(sock, self._after)
        close_with_reset(sock)


class ResettingOnCommandTarget(Target):
    """Reads nothing and resets the connection on `reset()`."""

    def __init__(self, **where):
        self._commanded = threading.Event()
        super().__init__(**where)

    def reset(self):
        self._commanded.set()

    def serve(self, sock):
        self._commanded.wait()
        close_with_reset(sock)

    def close(self):
        self.reset()
        super().close()


class ClosingTarget(Target):
    """Ends its stream at once, and waits for the other end."""

    def serve(self, sock):
        sock.shutdown(socket.SHUT_WR)
        return read_to_end(sock)


class AnsweringTarget(Target):
    """Reads to the end of stream, and only then sends `total` bytes of a pattern."""

    def __init__(self, seed, total, **where):
        self.pattern = Pattern(seed)
        self.total = total
        super().__init__(**where)

    def serve(self, sock):
        received = read_to_end(sock)
        send_pattern(sock, self.pattern, self.total)
        return received


class DuplexTarget(Target):
    """Writes `total` bytes, reads `total` bytes, and reads none before it has written `unread`."""

    def __init__(self, seed_out, seed_in, total, unread, **where):
        self._out = Pattern(seed_out)
        self._in = Pattern(seed_in)
        self._total = total
        self._unread = unread
        super().__init__(**where)

    def serve(self, sock):
        exchange(sock, self._out, self._in, self._total, self._unread)


def exchange(sock, pattern_out, pattern_in, total, unread):
    """Both directions at once over one socket, reading nothing before `unread` bytes were written."""
    send_pattern(sock, pattern_out, unread)
    failures = []

    def rest():
        try:
            send_pattern(sock, pattern_out, total, offset=unread)
            sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            failures.append(error)

    writer = threading.Thread(target=rest, daemon=True)
    writer.start()
    receive_pattern(sock, pattern_in, total)
    assert sock.recv(1) == b"", "more bytes than were written"
    writer.join()
    if failures:
        raise failures[0]
