"""Waiting for events with a deadline, and the knobs that fit the suite to slower builds and to more time.

BACKEDPIPE_E2E_SCALE (1 = full) shrinks the amounts of data; anything below 1 is taken to be an
instrumented build, so deadlines grow at the same time.
BACKEDPIPE_E2E_NETWORK=full runs the network tests as long and as often as their figures need.
"""

import os
import time

SCALE = float(os.environ.get("BACKEDPIPE_E2E_SCALE", "1"))
PATIENCE = 1 if SCALE >= 1 else 5

FULL = os.environ.get("BACKEDPIPE_E2E_NETWORK") == "full"

KIB = 1024
MIB = 1024 * KIB


def scaled(amount, least=1):
    """An amount of work at the chosen scale."""
    return max(int(amount * SCALE), least)


def short_or_full(short, full):
    """A count or a duration of the network tests."""
    return full if FULL else short


def patient(seconds):
    """A deadline that leaves room for an instrumented build."""
    return seconds * PATIENCE


class Deadline:
    """A point in time by which something must have happened."""

    def __init__(self, seconds):
        self._seconds = patient(seconds)
        self._end = time.monotonic() + self._seconds

    def left(self):
        return max(self._end - time.monotonic(), 0.0)

    def passed(self):
        return self.left() == 0.0

    def __str__(self):
        return f"{self._seconds:g} s"


def wait_until(condition, seconds, what, interval=0.01):
    """Polls until `condition()` is true and returns its value; fails with `what` at the deadline."""
    deadline = Deadline(seconds)
    while True:
        value = condition()
        if value:
            return value
        if deadline.passed():
            described = what() if callable(what) else what
            raise AssertionError(f"after {deadline} still waiting for {described}")
        time.sleep(interval)
