"""A session that is not involved in what the test does beside it, and must not notice it."""

import threading
import time

from support.streams import Background, Pattern, receive_exactly
from support.waiting import KIB, PATIENCE

PIECE = 8 * KIB
# The limit for an echo during an attack: far above its usual time, far below any timeout of the daemons.
SLOWEST_SECONDS = 2.0


class Bystander:
    """Echoes all the time; `sessions()` returns the sessions of the daemon under attack.

    On leaving the context every echo must have been right and in time, on one and the same link.
    """

    def __init__(self, sock, sessions):
        self._sock = sock
        self._sessions = sessions
        self._stopped = threading.Event()
        self._pattern = Pattern(4711)
        self._offset = 0
        self._slowest = 0.0

    def __enter__(self):
        self._exchange()
        # The application may get its echo before the server has reported the session's link.
        ours = [session for session in self._sessions() if session["state"] == "connected"]
        assert len(ours) == 1, ours
        self._session = ours[0]
        self._thread = Background(self._run)
        return self

    def __exit__(self, kind, *exception):
        self._stopped.set()
        self._thread.result(30 * PATIENCE)
        if kind is not None:
            return
        self._exchange()
        (now,) = [session for session in self._sessions() if session["id"] == self._session["id"]]
        assert now["generation"] == self._session["generation"], "the bystander lost its link"
        assert self._slowest < SLOWEST_SECONDS * PATIENCE, f"an echo took {self._slowest:.2f} s"
        self._sock.close()

    @property
    def id(self):
        return self._session["id"]

    def _run(self):
        while not self._stopped.wait(0.01):
            self._exchange()

    def _exchange(self):
        before = time.monotonic()
        self._sock.sendall(self._pattern.at(self._offset, PIECE))
        self._pattern.check(self._offset, receive_exactly(self._sock, PIECE))
        self._offset += PIECE
        self._slowest = max(self._slowest, time.monotonic() - before)
