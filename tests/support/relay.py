#!/usr/bin/python3
"""A TCP relay that misbehaves on command: it stands where the network between two daemons would be.

One thread owns every socket, so a cut hits all links at the same instant and a byte count is exact.
The public methods may be called from any thread; they run on that thread and return when done.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import fcntl
import selectors
import socket
import struct
import sys
import termios
import threading
import time

UP = "up"  # from the side that connects to the relay, towards its destination
DOWN = "down"

BUFFER_BYTES = 1024 * 1024
RESET = "reset"
FIN = "fin"
ALTERNATE = "alternate"
SLOW_TICK_SECONDS = 0.02


def close_with_reset(sock):
    """Closes so that the peer sees a connection reset, whatever is still queued."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def _close_with_fin(sock):
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
    sock.close()


def _unacknowledged_bytes(sock):
    """What the kernel has not yet handed to the peer's kernel."""
    answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    return struct.unpack("i", answer)[0]


class _Flow:
    """One direction of a link, with the bytes that were read and could not yet be written."""

    def __init__(self, direction, source, sink):
        self.direction = direction
        self.source = source
        self.sink = sink
        self.pending = b""
        self.forwarded = 0
        self.ended = False  # the source sent its end of stream
        self.shut = False  # that end of stream was passed on to the sink


class _Link:
    def __init__(self, near, far, number):
        self.number = number
        self.near = near
        self.far = far
        self.connecting = True
        self.stranded = False  # forwards nothing any more, and stays open
        self.doomed = False  # forwards nothing any more; cut as soon as its bytes have arrived
        self.up = _Flow(UP, near, far)
        self.down = _Flow(DOWN, far, near)

    def flows(self):
        return (self.up, self.down)


class Relay:
    """Listens on an ephemeral loopback port and connects every link to `destination`."""

    def __init__(self, destination, host="127.0.0.1", port=0):
        self.destination = destination
        self.links = 0  # accepted so far
        self.cuts = 0  # how often at least one link was cut
        self.links_cut = 0
        self.bytes = {UP: 0, DOWN: 0}
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._selector = selectors.DefaultSelector()
        self._open = set()
        self._doomed = set()
        self._triggers = []  # [direction, byte count]
        self._frozen = False
        self._rate = None  # bytes a second, of all links and both directions together
        self._tokens = 0  # bytes that may still pass in this tick
        self._next_tick = None
        self._period = None
        self._next_cut = None
        self._period_how = ALTERNATE
        self._commands = collections.deque()
        self._stopped = False
        self._listener = None
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._woken)
        self.host, self.port = host, port
        self._listen()
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._loop, name="relay", daemon=True)
        self._thread.start()

    # -- for any thread -----------------------------------------------------------------------

    @property
    def address(self):
        return (self.host, self.port)

    @property
    def open_links(self):
        return len(self._open)

    def cut(self, how=RESET):
        """Ends every current link; returns how many there were."""
        return self._run(lambda: self._cut_all(how))

    def cut_at(self, byte_count, direction):
        """The first link that has carried `byte_count` bytes in `direction` is cut exactly there."""
        self._run(lambda: self._triggers.append((direction, byte_count)))

    def freeze(self):
        """From now on nothing is forwarded, while all connections stay open: a black hole."""
        self._run(lambda: self._set_frozen(True))

    def strand(self, but=0):
        """The current links carry nothing any more and stay silent, as when a NAT forgets them; new ones work.

        The oldest `but` links are spared.
        """

        def command():
            for link in sorted(self._open, key=lambda link: link.number)[but:]:
                link.stranded = True
                self._watch(link)

        self._run(command)

    def slow_down(self, bytes_per_second):
        """Limits the rate of all links and both directions together."""
        self._run(lambda: self._set_rate(bytes_per_second))

    def heal(self):
        """Undoes freeze(), slow_down() and refuse()."""

        def command():
            self._set_rate(None)
            self._set_frozen(False)
            self._listen()

        self._run(command)

    def refuse(self):
        """New connections are refused from now on; existing links stay."""
        self._run(self._unlisten)

    def accept(self):
        """Undoes refuse(), on the same port."""
        self._run(self._listen)

    @contextlib.contextmanager
    def every(self, seconds, how=ALTERNATE):
        """Cuts all links periodically as long as the context lasts."""
        self._run(lambda: self._set_period(seconds, how))
        try:
            yield self
        finally:
            self._run(lambda: self._set_period(None, how))

    def close(self):
        if self._thread.is_alive():
            self._run(self._stop)
            self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _run(self, function):
        future = concurrent.futures.Future()
        self._commands.append((function, future))
        try:
            self._wake_write.send(b"x")
        except BlockingIOError:
            pass  # the thread is already awake
        return future.result(timeout=30)

    # -- on the relay's thread ----------------------------------------------------------------

    def _loop(self):
        while not self._stopped:
            for key, events in self._selector.select(self._timeout()):
                key.data(events)
            if self._next_cut is not None and time.monotonic() >= self._next_cut:
                self._cut_all(self._period_how)
                self._next_cut = time.monotonic() + self._period
            if self._next_tick is not None and time.monotonic() >= self._next_tick:
                self._set_rate(self._rate)
            for link in list(self._doomed):
                self._cut_when_drained(link)

    def _timeout(self):
        if self._doomed:
            return 0.001
        due = [moment for moment in (self._next_cut, self._next_tick) if moment is not None]
        return max(min(due) - time.monotonic(), 0.0) if due else None

    def _woken(self, _events):
        with contextlib.suppress(BlockingIOError):
            self._wake_read.recv(4096)
        while self._commands:
            function, future = self._commands.popleft()
            try:
                future.set_result(function())
            except Exception as error:  # handed to the caller
                future.set_exception(error)

    def _listen(self):
        if self._listener is not None:
            return
        listener = socket.socket(self._family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        listener.listen(4096)
        listener.setblocking(False)
        self._listener = listener
        self._selector.register(listener, selectors.EVENT_READ, self._accept_all)

    def _unlisten(self):
        if self._listener is None:
            return
        self._selector.unregister(self._listener)
        self._listener.close()
        self._listener = None

    def _accept_all(self, _events):
        while self._listener is not None:
            try:
                near, _ = self._listener.accept()
            except BlockingIOError:
                return
            self._start_link(near)

    def _start_link(self, near):
        family = socket.AF_INET6 if ":" in self.destination[0] else socket.AF_INET
        far = socket.socket(family, socket.SOCK_STREAM)
        for sock in (near, far):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.links += 1
        link = _Link(near, far, self.links)
        far.connect_ex(self.destination)
        self._open.add(link)
        self._watch(link)

    def _watch(self, link):
        """Registers exactly the events that allow progress."""
        wanted = {link.near: 0, link.far: 0}
        if link.connecting:
            wanted[link.far] = selectors.EVENT_WRITE
        elif not self._frozen and not link.stranded and not link.doomed:
            for flow in link.flows():
                if flow.pending:
                    wanted[flow.sink] |= selectors.EVENT_WRITE
                elif not flow.ended:
                    wanted[flow.source] |= selectors.EVENT_READ
        for sock, events in wanted.items():
            key = self._selector.get_map().get(sock)
            if key is None:
                if events:
                    self._selector.register(sock, events, lambda ev, l=link, s=sock: self._ready(l, s, ev))
            elif not events:
                self._selector.unregister(sock)
            elif key.events != events:
                self._selector.modify(sock, events, key.data)

    def _ready(self, link, sock, events):
        # An earlier event of the same round may have ended the link or frozen the relay.
        if link not in self._open or ((self._frozen or link.stranded) and not link.connecting):
            return
        try:
            if link.connecting:
                error = link.far.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    self._end(link, RESET)
                    return
                link.connecting = False
            else:
                for flow in link.flows():
                    if flow.sink is sock and events & selectors.EVENT_WRITE:
                        self._flush(link, flow)
                    if flow.source is sock and events & selectors.EVENT_READ:
                        self._forward(link, flow)
        except BlockingIOError:
            pass
        except OSError:
            self._end(link, RESET)
            return
        if link.up.shut and link.down.shut:
            self._end(link, FIN)
            return
        self._watch(link)

    def _exhausted(self):
        return self._rate is not None and self._tokens <= 0

    def _forward(self, link, flow):
        if flow.pending or flow.ended or link.doomed or self._exhausted():
            return
        count = flow.source.recv_into(self._buffer[: self._allowance(flow)])
        if count == 0:
            flow.ended = True
            flow.sink.shutdown(socket.SHUT_WR)
            flow.shut = True
            return
        self._send(link, flow, self._buffer[:count])

    def _flush(self, link, flow):
        self._send(link, flow, flow.pending)

    def _send(self, link, flow, data):
        try:
            sent = flow.sink.send(data)
        except BlockingIOError:
            sent = 0
        flow.pending = bytes(data[sent:]) if sent < len(data) else b""
        flow.forwarded += sent
        self._tokens -= sent
        self.bytes[flow.direction] += sent
        self._check_triggers(link, flow)

    def _allowance(self, flow):
        """How many bytes this direction may still take before a requested cut."""
        counts = [count - flow.forwarded for direction, count in self._triggers
                  if direction == flow.direction and count > flow.forwarded]
        return min([BUFFER_BYTES if self._rate is None else self._tokens, *counts])

    def _check_triggers(self, link, flow):
        trigger = (flow.direction, flow.forwarded)
        if trigger in self._triggers:
            self._triggers.remove(trigger)
            link.doomed = True
            self._doomed.add(link)

    def _cut_when_drained(self, link):
        """A reset discards what is still queued, so the last bytes must have arrived first."""
        try:
            queued = _unacknowledged_bytes(link.near) + _unacknowledged_bytes(link.far)
        except OSError:
            queued = 0
        if queued == 0:
            self._end(link, RESET)
            self.cuts += 1
            self.links_cut += 1

    def _set_frozen(self, frozen):
        self._frozen = frozen
        for link in list(self._open):
            self._watch(link)

    def _set_rate(self, rate):
        """Also begins each tick with its allowance of bytes."""
        self._rate = rate
        self._tokens = 0 if rate is None else max(int(rate * SLOW_TICK_SECONDS), 1)
        self._next_tick = None if rate is None else time.monotonic() + SLOW_TICK_SECONDS
        for link in list(self._open):
            self._watch(link)

    def _set_period(self, seconds, how):
        self._period = seconds
        self._period_how = how
        self._next_cut = None if seconds is None else time.monotonic() + seconds

    def _cut_all(self, how):
        if how == ALTERNATE:
            how = (RESET, FIN)[self.cuts % 2]
        count = len(self._open)
        for link in list(self._open):
            self._end(link, how)
        self.cuts += 1 if count else 0
        self.links_cut += count
        return count

    def _end(self, link, how):
        self._open.discard(link)
        self._doomed.discard(link)
        for sock in (link.near, link.far):
            if sock in self._selector.get_map():
                self._selector.unregister(sock)
            (close_with_reset if how == RESET else _close_with_fin)(sock)

    def _stop(self):
        self._stopped = True
        self._unlisten()
        for link in list(self._open):
            self._end(link, RESET)


def parse_address(text):
    """HOST:PORT or [HOST]:PORT."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def main():
    parser = argparse.ArgumentParser(description="A TCP relay that cuts, freezes and refuses on command.")
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT")
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    parser.add_argument("--cut-every", type=float, metavar="SECONDS")
    options = parser.parse_args()
    host, port = parse_address(options.listen)
    with Relay(parse_address(options.to), host, port) as relay:
        print(f"{relay.host}:{relay.port}", flush=True)
        commands = {name: getattr(relay, name) for name in ("cut", "freeze", "heal", "refuse", "accept")}
        periodic = relay.every(options.cut_every) if options.cut_every else contextlib.nullcontext()
        with periodic:
            for line in sys.stdin:
                word = line.strip()
                if word == "quit":
                    break
                if word in commands:
                    commands[word]()
                elif word:
                    print(f"unknown command {word!r}; known: {', '.join(commands)}, quit", file=sys.stderr)
                print(f"links {relay.links} open {relay.open_links} cuts {relay.cuts} "
                      f"up {relay.bytes[UP]} down {relay.bytes[DOWN]}", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
