#!/usr/bin/python3
"""Two real daemons, a relay with random faults between them, and random sessions: for as long as wanted.

Every byte is checked where it arrives. At the end nothing may be left behind: no session, no descriptor, no
memory. The rule for memory: the largest resident size seen in the last quarter of the time is at most GROWTH
(10 %) above the largest seen in the second quarter. So that it is not the fullest moment so far that is measured,
the daemons' buffers are filled to `max_memory` once before. The whole run comes from one seed, which is
printed; threads and the network decide the rest.
"""

import argparse
import contextlib
import os
import pathlib
import random
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from soak.conversation import STUCK_SECONDS, Plan, PlannedTarget, Tally, application, applications  # noqa: E402
from support.relay import FIN, RESET, UP, DOWN  # noqa: E402
from support.streams import Background  # noqa: E402
from support.tunnel import Tunnel  # noqa: E402
from support.waiting import KIB, MIB, patient, scaled, wait_until  # noqa: E402

SESSIONS_AT_ONCE = 24
SAMPLE_SECONDS = 1.0
REPORT_SECONDS = 10.0
SPARE_LINK_SECONDS = 45  # for which a server keeps a link whose session has ended
GROWTH = 0.10
LIMITS = {"limits": {"replay_buffer": "4MiB", "max_window": "2MiB", "max_memory": "64MiB"}}
def fill_once(stage, target, tally):
    """All sessions write into a network that carries nothing, until the daemons take no more."""
    sessions = [Background(application, Plan.full(scaled(16 * MIB)), stage.address, tally)
                for _ in range(SESSIONS_AT_ONCE)]
    target.wait_accepted(SESSIONS_AT_ONCE)
    stage.relay.freeze()
    held = [0, -1]
    while held[-1] != held[-2]:
        time.sleep(0.5)  # what is awaited is that nothing happens any more
        held.append(sum(s["buffered"] for daemon in stage.daemons() for s in daemon.control.sessions()))
    stage.relay.heal()
    for session in sessions:
        session.result(patient(STUCK_SECONDS))


def break_the_network(seed, relay, tally, stop):
    """One fault after the other; each ends by itself."""
    rng = random.Random(seed)

    def held(begin, most):
        begin()
        stop.wait(rng.uniform(0.01, most))
        relay.heal()

    faults = {
        "cut": lambda: relay.cut(rng.choice((RESET, FIN))),
        "cut at a byte": lambda: relay.cut_at(rng.randrange(1, 200 * KIB), rng.choice((UP, DOWN))),
        "frozen": lambda: held(relay.freeze, 5.0),
        "refused": lambda: held(lambda: (relay.refuse(), relay.cut()), 2.0),
        "slow": lambda: held(lambda: relay.slow_down(rng.choice((100 * KIB, 1 * MIB))), 3.0),
        "flapping": lambda: flap(),
    }

    def flap():
        for _ in range(rng.randrange(3, 15)):
            relay.cut(RESET)
            stop.wait(rng.uniform(0, 0.05))

    while not stop.wait(rng.uniform(0, 2.0)):
        name = rng.choices(list(faults), (30, 30, 10, 10, 10, 10))[0]
        faults[name]()
        tally.faults[name] += 1


class Memory:
    """The resident size of a daemon over time."""

    def __init__(self, daemon, seconds):
        self.daemon = daemon
        self._seconds = seconds
        self._samples = []  # (share of the time, bytes)
        self._descriptors = self.descriptors()

    def sample(self, elapsed):
        self._samples.append((elapsed / self._seconds, self.daemon.rss_bytes()))

    def latest(self):
        return self._samples[-1][1] if self._samples else 0

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.daemon.pid}/fd"))

    def _largest(self, begin, end):
        return max((size for share, size in self._samples if begin <= share < end), default=0)

    def verdict(self):
        """(an error or nothing, what was seen)."""
        early, late = self._largest(0.25, 0.5), self._largest(0.75, 1.1)
        seen = f"{self.daemon.name}: {early / MIB:.1f} MiB in the second quarter, {late / MIB:.1f} MiB in the last"
        if not self.daemon.is_instrumented() and early and late > early * (1 + GROWTH):
            return f"memory grows: {seen}", seen
        return None, seen

    def check_descriptors(self):
        wait_until(lambda: self.descriptors() <= self._descriptors, SPARE_LINK_SECONDS + 20,
                   lambda: f"{self.daemon.name} to close descriptors: {self.descriptors()}, {self._descriptors} at first")


def report(tally, memories, relay, elapsed, before_bytes):
    sizes = ", ".join(f"{memory.daemon.name} {memory.latest() / MIB:.0f} MiB" for memory in memories)
    faults = ", ".join(f"{name} {count}" for name, count in sorted(tally.faults.items()))
    print(f"{elapsed:6.0f} s  {tally.sessions} sessions, {tally.bytes / MIB:.0f} MiB checked "
          f"({(tally.bytes - before_bytes) / MIB / REPORT_SECONDS:.1f} MiB/s), {relay.links} links, "
          f"{relay.links_cut} cut [{faults}]; {sizes}", flush=True)


def soak(directory, seconds, seed):
    tally, stop = Tally(), threading.Event()
    errors = []
    with PlannedTarget(tally) as target, \
         Tunnel(directory, {"target": target.address}, server_settings=LIMITS, client_settings=LIMITS) as stage:
        memories = [Memory(daemon, seconds) for daemon in stage.daemons()]
        fill_once(stage, target, tally)
        began = time.monotonic()
        sessions = [Background(applications, f"{seed}-{number}", stage.address, tally, stop)
                    for number in range(SESSIONS_AT_ONCE)]
        network = Background(break_the_network, f"{seed}-network", stage.relay, tally, stop)
        next_report, before_bytes = REPORT_SECONDS, 0
        while (elapsed := time.monotonic() - began) < seconds and not tally.failures:
            for memory in memories:
                assert memory.daemon.running(), f"{memory.daemon.name} has died:\n{memory.daemon.log()[-4000:]}"
                memory.sample(elapsed)
            if elapsed >= next_report:
                report(tally, memories, stage.relay, elapsed, before_bytes)
                next_report, before_bytes = next_report + REPORT_SECONDS, tally.bytes
            stop.wait(SAMPLE_SECONDS)

        stop.set()
        network.result(patient(30))
        stage.relay.heal()
        for session in sessions:
            session.result(patient(2 * STUCK_SECONDS))
        report(tally, memories, stage.relay, time.monotonic() - began, before_bytes)
        errors += tally.failures
        for check in (stage.wait_no_sessions, *(memory.check_descriptors for memory in memories)):
            try:
                check()
            except AssertionError as error:
                errors.append(str(error))
        for memory in memories:
            error, seen = memory.verdict()
            print(seen)
            errors += [error] if error else []
        if errors:
            for daemon in stage.daemons():
                print(f"--- the end of the log of {daemon.name}\n{daemon.log()[-3000:]}", file=sys.stderr)
    return errors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--keep", metavar="DIRECTORY", help="where the daemons' logs stay")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends what was started, as Ctrl-C does
    print(f"soak: {options.minutes:g} minutes, seed {options.seed}, {SESSIONS_AT_ONCE} sessions at once", flush=True)
    with contextlib.ExitStack() as stack:
        directory = options.keep or stack.enter_context(tempfile.TemporaryDirectory(prefix="backedpipe-soak-"))
        try:
            errors = soak(pathlib.Path(directory), 60 * options.minutes, options.seed)
        except AssertionError as error:
            errors = [str(error)]
        except KeyboardInterrupt:
            print(f"soak: interrupted, seed {options.seed}")
            sys.exit(130)
    for error in errors:
        print(f"soak: {error}", file=sys.stderr)
    print(f"soak: {'FAILED' if errors else 'passed'}, seed {options.seed}")
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
