#!/usr/bin/python3
"""Two daemons under their supervisors, all kinds of sessions through them, and kill -9 at random moments.

A kill hits the client, the server or both; some come while the next process restores the sessions of the one before.
To applications that is a pause: no session may be lost, and every byte is checked. Now and then the supervisor of a
side is killed as well, so that nothing keeps its sessions. Then they are lost, and every application must see a reset,
never the end of a stream that is not whole. The choices come from one seed, which is printed; threads decide the rest.
"""

import argparse
import collections
import contextlib
import os
import pathlib
import random
import re
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from soak import loads  # noqa: E402
from soak.conversation import PlannedTarget, Tally, applications  # noqa: E402
from support import postgres  # noqa: E402
from support.daemon import SANITIZER_SIGNS, keygen, write_private  # noqa: E402
from support.ports import endpoint, free_port  # noqa: E402
from support.sshd import Sshd  # noqa: E402
from support.streams import Background  # noqa: E402
from support.supervised import Supervised  # noqa: E402
from support.targets import EchoTarget  # noqa: E402
from support.waiting import patient, wait_until  # noqa: E402

REPORT_SECONDS = 10.0
# A session whose other side is gone for good ends by then; no pause is that long.
RESUME_SECONDS = 20
SETTINGS = {"limits": {"replay_buffer": "4MiB", "max_window": "2MiB", "max_memory": "256MiB",
                       "max_sessions": 2000, "resume_timeout": f"{RESUME_SECONDS}s"}}
LIVES_WELL_SECONDS = 10
# After that many in a row, each soon after a start, a daemon restores its sessions one by one, and the next one resets the
# session in whose turn it is killed.
MOST_DEATHS = 2
# From which kills the time to the next byte is taken. A supervisor pauses, for a second at most, before it starts a
# daemon again that has died soon after its start.
EVERY, RESTED = "any kill", "a kill without the supervisor's pause"
# What a log may say about a daemon that was killed, and what it must not say.
FAULTS = re.compile("|".join((r"cannot be continued", r"could be taken over", r"ended by signal (?!9\b)", r"exited with",
                              r"\[error\]", r"\[critical\]", *SANITIZER_SIGNS)))


class Site:
    """One side: a daemon and its supervisor, which can be killed and started again."""

    def __init__(self, name, directory, settings):
        self.name = name
        self._directory = directory / name
        self._settings = settings
        self._read = 0
        self._killed_at = 0.0
        self.start()

    def start(self):
        self.deaths = 0
        self.supervised = Supervised(self._directory, self._settings)
        self.supervised.pid()
        self._started_at = time.monotonic()

    def kill(self):
        """False if there was nothing to kill."""
        child = self.supervised.child()
        if child is None:
            return False
        os.kill(child, signal.SIGKILL)
        self.deaths = self.deaths + 1 if self.seconds_until_it_lives_well() > 0 else 1
        self._started_at = time.monotonic()
        self.killed = child
        return True

    def may_die_again(self):
        """All sessions are to survive it. An orderly end interrupts the row of deaths."""
        if self.deaths < MOST_DEATHS or self.seconds_until_it_lives_well() <= 0:
            return
        old = self.supervised.pid()
        os.kill(old, signal.SIGTERM)
        self.supervised.another_pid(old)
        self.deaths = 0

    def wait_next(self):
        """Until there is another process, which may not have begun with anything."""
        wait_until(lambda: self.supervised.child() not in (None, self.killed), 20,
                   lambda: f"{self.name} to be started again", interval=0.001)

    def seconds_until_it_lives_well(self):
        return self._started_at + LIVES_WELL_SECONDS + 0.5 - time.monotonic()

    def kill_everything(self, rng):
        """The supervisor, and the daemon before it, after it, or by the supervisor's end."""
        supervisor, child = self.supervised.process.pid, self.supervised.child()
        victims = [supervisor] if child is None else rng.choice(
            ([supervisor, child], [child, supervisor], [supervisor]))
        for victim in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        self.supervised.process.wait()
        if child is not None:
            wait_until(lambda: not pathlib.Path(f"/proc/{child}").exists(), 20, f"the daemon of {self.name} to end")
        self.supervised.__exit__()

    def faults(self):
        """What the log says, since the last call, that it must not say."""
        with open(self.supervised.log_path, "rb") as log:
            log.seek(self._read)
            text = log.read()
            self._read = log.tell()
        return [f"{self.name}: {line}" for line in text.decode(errors="replace").splitlines() if FAULTS.search(line)]

    def descriptors(self):
        """Of the supervisor and of the daemon."""
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in (self.supervised.process.pid, self.supervised.pid())]

    def close(self):
        if self.supervised.process.poll() is None:
            self.supervised.end()
        self.supervised.__exit__()


class Pair:
    """A client, a server, and a target for each service."""

    def __init__(self, directory, targets, log_level):
        link = free_port()
        settings = SETTINGS | {"log": {"level": log_level}}
        self.ports = {name: free_port() for name in targets}
        key = keygen("laptop")
        for name in ("client", "server"):
            (directory / name).mkdir()
            write_private(directory / name / "link.key", key)
        security = {"security": "psk", "key_file": "link.key"}
        self.server = Site("server", directory, settings | {
            "accept": [{"listen": endpoint("127.0.0.1", link), "allow": {"laptop": list(targets)}} | security],
            "services": {name: {"target": endpoint(*address)} for name, address in targets.items()}})
        self.client = Site("client", directory, settings | {
            "peers": {"far": {"endpoints": [endpoint("127.0.0.1", link)]} | security},
            "tunnels": [{"name": name, "listen": endpoint("127.0.0.1", port), "peer": "far", "service": name}
                        for name, port in self.ports.items()]})

    def sites(self):
        return [self.client, self.server]

    def address(self, name):
        return ("127.0.0.1", self.ports[name])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for site in self.sites():
            site.close()


class Killer:
    """Kills until enough were killed."""

    def __init__(self, pair, kills, seed, tally, probe):
        self._pair = pair
        self._wanted = kills
        self._rng = random.Random(f"{seed}-kills")
        self._tally = tally
        self._probe = probe
        self.kills = 0
        self.counts = collections.Counter()

    def run(self):
        while self.kills < self._wanted and not self._tally.failures:
            what = self._rng.choices(("one", "both", "all of it"), (80, 17, 3))[0]
            when = self._rng.choices(("soon", "at once", "after a rest"), (70, 27, 3))[0]
            sites = self._pair.sites() if what == "both" else [self._rng.choice(self._pair.sites())]
            self._wait(sites, when)
            if what == "all of it":
                self._kill_everything()
            else:
                self._kill(sites, when)

    def _wait(self, sites, when):
        if when == "soon":
            time.sleep(self._rng.uniform(0.05, 1.5))
        elif when == "at once":
            for site in sites:
                if hasattr(site, "killed"):
                    site.wait_next()
            # Within this time it reads its settings, and restores.
            time.sleep(self._rng.uniform(0, 0.05))
        else:
            time.sleep(max(0, *(site.seconds_until_it_lives_well() for site in sites)))

    def _kill(self, sites, when):
        for site in sites:
            site.may_die_again()
        self._probe.note(EVERY)
        if when == "after a rest":
            self._probe.note(RESTED)
        killed = [site.name for site in sites if site.kill()]
        self.kills += len(killed)
        self.counts[" and ".join(killed) or "nobody"] += 1

    def _kill_everything(self):
        sites = self._rng.choice((self._pair.sites(), [self._pair.client], [self._pair.server]))
        with self._tally.losing():
            for site in sites:
                site.kill_everything(self._rng)
                self.kills += 1
                self.counts[f"all of the {site.name}"] += 1
            for site in sites:
                site.start()


def percentiles(seconds):
    ordered = sorted(seconds)
    return ", ".join(f"p{q} {1000 * ordered[min(len(ordered) * q // 100, len(ordered) - 1)]:.0f} ms" for q in (50, 99))


class Soak:
    """The whole run."""

    def __init__(self, directory, kills, seed, *, sessions, idle, programs, log_level="warning"):
        self._directory = pathlib.Path(directory)
        self._seed = seed
        self._sessions = sessions
        self._idle = idle
        self._programs = programs
        self._wanted = kills
        self._log_level = log_level
        self._tally = Tally()

    def run(self):
        """What has failed; empty if nothing."""
        with contextlib.ExitStack() as stack:
            targets = {"planned": stack.enter_context(PlannedTarget(self._tally)).address,
                       "echo": stack.enter_context(EchoTarget()).address}
            sshd = database = None
            if self._programs and loads.has_ssh():
                sshd = stack.enter_context(Sshd(self._made("sshd")))
                targets["ssh"] = sshd.address
            if self._programs and postgres.is_installed():
                database = stack.enter_context(postgres.Postgres(self._directory / "postgres"))
                targets["postgres"] = database.address
            pair = stack.enter_context(Pair(self._directory, targets, self._log_level))
            descriptors = [site.descriptors() for site in pair.sites()]
            probe = loads.Probe(pair.address("echo"), self._tally)
            killer = Killer(pair, self._wanted, self._seed, self._tally, probe)
            everything = [probe, loads.IdleSessions(pair.address("echo"), self._idle, f"{self._seed}-idle", self._tally)]
            if sshd:
                everything += [loads.Shell(sshd, pair.ports["ssh"], self._tally),
                               loads.Scp(sshd, pair.ports["ssh"], self._directory / "scp", self._tally)]
                if loads.has_rsync():
                    everything.append(loads.Rsync(sshd, pair.ports["ssh"], self._directory / "rsync", self._tally))
            if database:
                everything.append(loads.Psql(pair.ports["postgres"], self._tally))
            print(f"kills: through both daemons go {self._sessions} random sessions at once, {self._idle} idle ones, and "
                  f"{', '.join(type(load).__name__ for load in everything if isinstance(load, loads.Program)) or 'no program'}",
                  flush=True)
            errors = self._go(pair, killer, probe, everything)
            for site, before in zip(pair.sites(), descriptors):
                errors += self._check_rest(site, before)
        return errors

    def _made(self, name):
        (self._directory / name).mkdir()
        return self._directory / name

    def _go(self, pair, killer, probe, everything):
        stop = threading.Event()
        running = [Background(load.run, stop) for load in everything]
        running += [Background(applications, f"{self._seed}-{number}", pair.address("planned"), self._tally, stop)
                    for number in range(self._sessions)]
        began = time.monotonic()
        killing = Background(killer.run)
        while killing.is_alive():
            killing.join(REPORT_SECONDS)
            self._report(killer, probe, time.monotonic() - began)
            for site in pair.sites():
                for fault in site.faults():
                    self._tally.fail(fault)
        errors = []
        try:
            killing.result(0)
        except AssertionError as error:
            errors.append(str(error))
        stop.set()
        for one in running:
            try:
                one.result(patient(180))
            except AssertionError as error:
                errors.append(str(error))
        self._report(killer, probe, time.monotonic() - began)
        for load in everything:
            if isinstance(load, loads.Program):
                print(f"kills: {type(load).__name__} {load.runs} times")
        return errors + self._tally.failures

    def _report(self, killer, probe, elapsed):
        counts = ", ".join(f"{who} {count}" for who, count in sorted(killer.counts.items()))
        times = "; ".join(f"from {what} to the next byte {percentiles(seconds)}"
                          for what, seconds in probe.seconds.items() if seconds)
        print(f"{elapsed:6.0f} s  {killer.kills} kills [{counts}], {self._tally.sessions} sessions, "
              f"{self._tally.bytes / 2**20:.0f} MiB checked; {times}", flush=True)

    def _check_rest(self, site, descriptors):
        """What is left behind once all sessions have ended."""
        errors = site.faults()
        control = site.supervised.control
        checks = ((lambda: not control.sessions(), lambda: f"{site.name} to forget its sessions: {control.sessions()[:3]}"),
                  (lambda: site.descriptors() <= descriptors,
                   lambda: f"descriptors of {site.name} to be closed: {site.descriptors()}, {descriptors} at first"))
        for check, what in checks:
            try:
                wait_until(check, RESUME_SECONDS + 40, what)
            except AssertionError as error:
                errors.append(str(error))
        return errors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--log", default="warning", help="the daemons' level (default warning)")
    parser.add_argument("--keep", metavar="DIRECTORY", help="where the logs stay")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends what was started, as Ctrl-C does
    print(f"kills: {options.kills}, seed {options.seed}", flush=True)
    with contextlib.ExitStack() as stack:
        directory = options.keep or stack.enter_context(tempfile.TemporaryDirectory(prefix="backedpipe-kills-"))
        os.chmod(directory, 0o755)  # PostgreSQL runs as another user
        try:
            errors = Soak(directory, options.kills, options.seed, sessions=12, idle=200, programs=True,
                          log_level=options.log).run()
        except AssertionError as error:
            errors = [str(error)]
        except KeyboardInterrupt:
            print(f"kills: interrupted, seed {options.seed}")
            sys.exit(130)
    for error in errors:
        print(f"kills: {error}", file=sys.stderr)
    print(f"kills: {'FAILED' if errors else 'passed'}, seed {options.seed}")
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
