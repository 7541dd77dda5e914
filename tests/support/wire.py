"""The link protocol written by hand, for peers that break the rules.

Everything here is written from proto/PROTOCOL.md and shares nothing with the daemons, so a mistake
in their codecs cannot hide behind the same mistake here.
"""

import contextlib
import dataclasses
import os
import select
import socket
import struct
import subprocess
import tempfile
import threading
import time

from support.ports import endpoint
from support.waiting import Deadline

MAGIC = b"BKPD"
VERSION = 1
HELLO, WELCOME, REFUSED = 1, 2, 3
DATA, FIN, ACK, WINDOW, PING, PONG, FRAME_RESET = 1, 2, 3, 4, 5, 6, 7
FLAG_OPEN = 1
FLAG_CREATED = 1

# The reasons these tests can meet; the codes are part of the protocol.
PROTOCOL_ERROR = 2
VERSION_UNSUPPORTED = 3
NOT_AUTHORISED = 4
UNKNOWN_SERVICE = 5
UNKNOWN_SESSION = 6
STALE_GENERATION = 7
TARGET_REFUSED = 8
FUTURE_SEQUENCE = 9
REPLAY_UNAVAILABLE = 10
WINDOW_EXCEEDED = 11
APPLICATION_RESET = 12
CLOSED_BY_OPERATOR = 13
EXPIRED = 14
OVERLOADED = 0x8000

MAX_HANDSHAKE_BYTES = 4096
LAST_NUMBER = 2**64 - 1

_PREAMBLE = struct.Struct(">4sBBH")
_POSITION = struct.Struct(">16sQQQQI")
_FRAME = struct.Struct(">B3xIQ")


def preamble(kind, body_bytes, magic=MAGIC, version=VERSION):
    return _PREAMBLE.pack(magic, version, kind, body_bytes)


@dataclasses.dataclass
class Hello:
    """An opening HELLO when a service is named, a resume otherwise."""

    session: bytes = dataclasses.field(default_factory=lambda: os.urandom(16))
    generation: int = 1
    delivered: int = 0
    received: int = 0
    window_limit: int = 256 * 1024
    service: str = ""
    extensions: bytes = b""
    version: int = VERSION

    def encode(self):
        name = self.service.encode()
        body = _POSITION.pack(self.session, self.generation, self.delivered, self.received, self.window_limit,
                              FLAG_OPEN if name else 0)
        body += bytes([len(name)]) + name + self.extensions
        return preamble(HELLO, len(body), version=self.version) + body

    @classmethod
    def decode(cls, body):
        *position, _flags = _POSITION.unpack_from(body)
        service_bytes = body[_POSITION.size]
        at = _POSITION.size + 1
        return cls(*position, service=body[at : at + service_bytes].decode())


@dataclasses.dataclass
class Welcome:
    session: bytes
    generation: int
    delivered: int = 0
    received: int = 0
    window_limit: int = 256 * 1024
    created: bool = False
    extensions: bytes = b""

    def encode(self):
        body = _POSITION.pack(self.session, self.generation, self.delivered, self.received, self.window_limit,
                              FLAG_CREATED if self.created else 0) + self.extensions
        return preamble(WELCOME, len(body)) + body


@dataclasses.dataclass
class Refused:
    reason: int
    text: str = ""

    def encode(self):
        text = self.text.encode()
        body = struct.pack(">HH", self.reason, len(text)) + text
        return preamble(REFUSED, len(body)) + body


@dataclasses.dataclass
class Frame:
    type: int
    acknowledgement: int
    body: bytes

    @property
    def value(self):
        """Offset, limit or token; the reason of a RESET."""
        return int.from_bytes(self.body[: 2 if self.type == FRAME_RESET else 8], "big")

    @property
    def payload(self):
        return self.body[8:]


def extension(kind, value):
    return struct.pack(">HH", kind, len(value)) + value


def frame(kind, body=b"", acknowledgement=0):
    return _FRAME.pack(kind, len(body), acknowledgement) + body


def data_frame(offset, payload, acknowledgement=0):
    return frame(DATA, struct.pack(">Q", offset) + payload, acknowledgement)


def number_frame(kind, value, acknowledgement=0):
    """FIN, WINDOW, PING or PONG, whose body is one number."""
    return frame(kind, struct.pack(">Q", value), acknowledgement)


def ping_frame(token, acknowledgement=0):
    return number_frame(PING, token, acknowledgement)


def reset_frame(reason, acknowledgement=0):
    return frame(FRAME_RESET, struct.pack(">H", reason), acknowledgement)


def filled_with_extensions(message, total_bytes=MAX_HANDSHAKE_BYTES):
    """The message, padded to a size by one unknown extension."""
    message.extensions = extension(0xF00D, bytes(total_bytes - len(message.encode()) - 4))
    return message


class Link:
    """What both transports share: messages over `send` and `receive`."""

    def send(self, data):
        raise NotImplementedError

    def receive(self, seconds):
        """Some bytes; empty when the peer closed; None when nothing came in time."""
        raise NotImplementedError

    def close(self):
        raise NotImplementedError

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def receive_exactly(self, count, seconds=10):
        self._unread = getattr(self, "_unread", b"")
        deadline = Deadline(seconds)
        while len(self._unread) < count:
            data = self.receive(deadline.left())
            if not data:
                end = "end of the link" if data == b"" else f"nothing for {deadline}"
                raise AssertionError(f"{end} after {len(self._unread)} of {count} bytes")
            self._unread += data
        data, self._unread = self._unread[:count], self._unread[count:]
        return data

    def receive_message(self, seconds=10):
        """The next handshake message."""
        magic, version, kind, length = _PREAMBLE.unpack(self.receive_exactly(_PREAMBLE.size, seconds))
        assert (magic, version) == (MAGIC, VERSION), (magic, version)
        body = self.receive_exactly(length, seconds)
        if kind == HELLO:
            return Hello.decode(body)
        if kind == WELCOME:
            *position, flags = _POSITION.unpack_from(body)
            return Welcome(*position, created=bool(flags & FLAG_CREATED))
        assert kind == REFUSED, f"a message of kind {kind}"
        reason, text_bytes = struct.unpack_from(">HH", body)
        return Refused(reason, body[4 : 4 + text_bytes].decode())

    def handshake(self, hello):
        self.send(hello.encode())
        return self.receive_message()

    def receive_frame(self, seconds=10):
        kind, length, acknowledgement = _FRAME.unpack(self.receive_exactly(_FRAME.size, seconds))
        return Frame(kind, acknowledgement, self.receive_exactly(length, seconds))

    def receive_frame_of(self, kind, seconds=10):
        """The next frame of a type; others before it are skipped."""
        while (got := self.receive_frame(seconds)).type != kind:
            pass
        return got

    def wait_closed(self, seconds=10):
        """Everything that the peer sends until it closes or resets; fails when it does neither."""
        deadline = Deadline(seconds)
        rest = getattr(self, "_unread", b"")
        while True:
            try:
                data = self.receive(deadline.left())
            except (ConnectionResetError, BrokenPipeError):
                return rest
            if data is None:
                raise AssertionError(f"the link is still open after {deadline}")
            if not data:
                return rest
            rest += data


class PlainLink(Link):
    """A link without security: dialled to a server, or accepted from a client."""

    def __init__(self, address=None, accepted=None):
        self.socket = accepted or socket.create_connection(address, timeout=Deadline(10).left())
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.name = endpoint(*self.socket.getsockname()[:2])

    def send(self, data):
        self.socket.sendall(data)

    def finish(self):
        self.socket.shutdown(socket.SHUT_WR)

    def receive(self, seconds):
        readable, _, _ = select.select([self.socket], [], [], seconds)
        return self.socket.recv(65536) if readable else None

    def close(self):
        self.socket.close()


class HostileServer:
    """Where a client daemon dials: each link is given to `behave(link)`, on a thread of its own."""

    def __init__(self, behave):
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = self._listener.getsockname()[:2]
        self.dialled_at = []  # the time of each link
        self.failures = []  # what `behave` raised, apart from the end of its link
        threading.Thread(target=self._accept, name="hostile server", daemon=True).start()

    @property
    def links(self):
        return len(self.dialled_at)

    def _accept(self):
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:  # closed
                return
            accepted.settimeout(Deadline(30).left())
            self.dialled_at.append(time.monotonic())
            threading.Thread(target=self._serve, args=(PlainLink(accepted=accepted),), daemon=True).start()

    def _serve(self, link):
        with link:
            try:
                self._behave(link)
            except (ConnectionResetError, BrokenPipeError):
                pass
            except Exception as error:  # shown by the test
                self.failures.append(error)

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        assert not self.failures, self.failures

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


class OpensslLink(Link):
    """TLS 1.3 by way of `openssl s_client`; its stdin and stdout are the link."""

    def __init__(self, address, *options):
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            ["openssl", "s_client", "-connect", endpoint(*address), *options, "-tls1_3", "-quiet"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, bufsize=0)

    def send(self, data):
        self._process.stdin.write(data)

    def receive(self, seconds):
        readable, _, _ = select.select([self._process.stdout], [], [], seconds)
        return os.read(self._process.stdout.fileno(), 65536) if readable else None

    def errors(self):
        """What openssl complained about."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")

    def close(self):
        self._process.terminate()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


class TlsLink(OpensslLink):
    """With a pre-shared key."""

    def __init__(self, address, identity, key):
        super().__init__(address, "-psk_identity", identity, "-psk", key)


class CertificateLink(OpensslLink):
    """With certificates on both sides."""

    def __init__(self, address, ca, certificate, key):
        super().__init__(address, "-CAfile", str(ca), "-cert", str(certificate), "-key", str(key),
                         "-verify_return_error")
