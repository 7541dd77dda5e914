#!/usr/bin/python3
"""The demonstration: one TCP connection, data both ways, and a link that is cut five times a second.

Two daemons run over TLS with a fresh key; between them stands a relay that breaks every connection.
At the end both applications compare what they sent with what the other received. Exit code 0 only if
all of it arrived, in order, over the same session.
"""

import argparse
import contextlib
import hashlib
import pathlib
import random
import signal
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support.daemon import binary  # noqa: E402
from support.ports import endpoint  # noqa: E402
from support.streams import PIECE_BYTES  # noqa: E402
from support.targets import Target  # noqa: E402
from support.tunnel import Tunnel  # noqa: E402

CUT_EVERY_SECONDS = 0.2
MIB = 1024 * 1024


class Stream:
    """One direction: counts and hashes what was sent and what was received."""

    def __init__(self, seed):
        self._random = random.Random(seed)
        self._sent = hashlib.sha256()
        self._received = hashlib.sha256()
        self.sent_bytes = 0
        self.received_bytes = 0

    def send_until(self, stopped, sock):
        """Fresh pseudo-random bytes until told to stop; then the end of stream."""
        while not stopped.is_set():
            data = self._random.randbytes(PIECE_BYTES)
            sock.sendall(data)
            self._sent.update(data)
            self.sent_bytes += len(data)
        sock.shutdown(socket.SHUT_WR)

    def receive_to_end(self, sock):
        while data := sock.recv(PIECE_BYTES):
            self._received.update(data)
            self.received_bytes += len(data)

    def digests(self):
        return self._sent.hexdigest(), self._received.hexdigest()

    def arrived(self):
        sent, received = self.digests()
        return self.sent_bytes == self.received_bytes > 0 and sent == received


class Application:
    """Sends one stream and receives the other, at the same time, over one socket."""

    def __init__(self, sock, outgoing, incoming, stopped):
        self.error = None
        self._threads = [threading.Thread(target=self._guarded, args=work, daemon=True) for work in
                         ((outgoing.send_until, stopped, sock), (incoming.receive_to_end, sock))]
        for thread in self._threads:
            thread.start()

    def _guarded(self, function, *arguments):
        try:
            function(*arguments)
        except OSError as error:
            self.error = error

    def done(self):
        return self.error is not None or not any(thread.is_alive() for thread in self._threads)

    def wait(self, seconds=None):
        deadline = None if seconds is None else time.monotonic() + seconds
        for thread in self._threads:
            thread.join(None if deadline is None else max(deadline - time.monotonic(), 0))


class FarApplication(Target):
    """The target at the server's end."""

    def __init__(self, outgoing, incoming, stopped):
        self._streams = (outgoing, incoming)
        self._stopped = stopped
        self.error = None
        super().__init__()

    def serve(self, sock):
        application = Application(sock, *self._streams, self._stopped)
        application.wait()
        self.error = application.error


class Progress:
    """One line that is rewritten on a terminal, or a line a second anywhere else."""

    def __init__(self):
        self._live = sys.stdout.isatty()
        self.interval = 0.1 if self._live else 1.0

    def show(self, text):
        if self._live:
            print(f"\r\033[K{text}", end="", flush=True)
        else:
            print(text, flush=True)

    def end(self):
        if self._live:
            print(flush=True)


def progress_line(elapsed, there, back, relay, generation):
    return (f"  {elapsed:4.1f} s   sent {there.received_bytes / MIB:7.1f} MiB   "
            f"received {back.received_bytes / MIB:7.1f} MiB   cuts survived {relay.cuts:3d}   generation {generation}")


def only_session(control):
    """The session as the client daemon tells it; None while there is none."""
    sessions = control.sessions()
    return sessions[0] if len(sessions) == 1 else None


def run_traffic(stage, far, there, back, stopped, seconds):
    """Lets data flow while the link is cut; returns the session ids seen on the way."""
    progress = Progress()
    seen = set()
    with stage.connect() as sock, stage.relay.every(CUT_EVERY_SECONDS):
        near = Application(sock, there, back, stopped)
        began = time.monotonic()
        deadline = began + seconds + 30
        next_line = began
        try:
            while not near.done():
                elapsed = time.monotonic() - began
                if elapsed >= seconds:
                    stopped.set()  # both ends finish; the rest is still delivered under cuts
                if time.monotonic() >= deadline:
                    print("\n  the streams did not end within 30 s of being finished")
                    break
                if time.monotonic() >= next_line:
                    session = only_session(stage.client.control)
                    if session is not None:
                        seen.add(session["id"])
                        progress.show(progress_line(elapsed, there, back, stage.relay, session["generation"]))
                    next_line += progress.interval
                near.wait(min(progress.interval, 0.1))
        finally:
            stopped.set()
            progress.end()
        for end, error in (("near", near.error), ("far", far.error)):
            if error is not None:
                print(f"  the {end} application's connection broke: {error}")
    return seen


def show_stream(title, stream):
    sent, received = stream.digests()
    verdict = "identical" if stream.arrived() else "DIFFERENT"
    print(f"  {title}: {stream.sent_bytes:,} bytes, {verdict}")
    print(f"    sent     sha256 {sent}")
    print(f"    received sha256 {received}" + ("" if stream.arrived() else f"  ({stream.received_bytes:,} bytes)"))


HOW_TO_USE_IT = """
To tunnel your own ssh between two machines:

  on either machine, make a key and copy the file to both (keep it private):
      (umask 077; {ctl} keygen laptop > laptop.key)

  on the server, where sshd runs:
      {daemon} serve --listen 0.0.0.0:7700 --service ssh=127.0.0.1:22 --key laptop.key

  on the client:
      {daemon} connect --listen 127.0.0.1:2222 --peer SERVER:7700 --service ssh --key laptop.key

  and then, on the client:
      ssh -p 2222 user@127.0.0.1
"""


def demonstrate(seconds):
    stopped = threading.Event()
    there, back = Stream(random.SystemRandom().random()), Stream(random.SystemRandom().random())
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="backedpipe-demo-"))
        far = stack.enter_context(FarApplication(back, there, stopped))
        stage = stack.enter_context(Tunnel(directory, {"demo": far.address}))
        print("One TCP connection through two daemons; the link between them is cut about every 200 ms.\n")
        print(f"  application -> {endpoint(*stage.address)}  client daemon\n"
              f"              -> {endpoint(*stage.relay.address)}  relay that cuts the TLS link\n"
              f"              -> {endpoint(*stage.server_address)}  server daemon\n"
              f"              -> {endpoint(*far.address)}  target\n", flush=True)
        sessions = run_traffic(stage, far, there, back, stopped, seconds)
        cuts, connections = stage.relay.cuts, far.accepted

    print()
    show_stream("application to target", there)
    show_stream("target to application", back)
    same_session = connections == 1 and len(sessions) == 1
    if same_session:
        print(f"  one session all the time: {next(iter(sessions))}, one connection at the target")
    else:
        print(f"  NOT one session: {len(sessions)} sessions, {connections} connections at the target")
    passed = there.arrived() and back.arrived() and same_session and cuts > 0
    print(f"\n{'PASSED' if passed else 'FAILED'}: {cuts} cuts, "
          f"{(there.received_bytes + back.received_bytes) / MIB:,.0f} MiB delivered.")
    return passed


def main():
    parser = argparse.ArgumentParser(description="Data both ways over a link that is cut five times a second.")
    parser.add_argument("--seconds", type=float, default=10, help="how long data flows (default 10)")
    options = parser.parse_args()
    for name in ("backedpipd", "backedpipctl"):
        if not pathlib.Path(binary(name)).exists():
            sys.exit(f"{binary(name)} does not exist; build it first, or set BACKEDPIPE_BIN to its directory")
    # Being ended from outside cleans up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        passed = demonstrate(options.seconds)
    except KeyboardInterrupt:
        print("\nInterrupted; everything is stopped.")
        return 130
    except (AssertionError, OSError) as error:
        print(f"\nFAILED: {error}")
        return 1
    if passed:
        print(HOW_TO_USE_IT.format(daemon=binary("backedpipd"), ctl=binary("backedpipctl")).rstrip())
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
