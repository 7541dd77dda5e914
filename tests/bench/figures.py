"""What is measured of a chain, and how: each function returns figures by their key."""

import contextlib
import dataclasses
import json
import os
import resource
import signal
import statistics
import subprocess
import threading
import time

import processes
from chain import next_port

GIB, MIB = 1 << 30, 1 << 20


@dataclasses.dataclass(frozen=True)
class Figure:
    title: str
    unit: str
    more_is_better: bool
    what: str  # the group that --what speaks of


FIGURES = {
    "bulk_1": Figure("bulk, 1 stream", "GiB/s", True, "bulk"),
    "bulk_8": Figure("bulk, 8 streams", "GiB/s", True, "bulk"),
    "cpu": Figure("CPU of all proxies, bulk", "s/GiB", False, "bulk"),
    "iperf3_1": Figure("iperf3, 1 stream", "GiB/s", True, "generator"),
    "iperf3_8": Figure("iperf3, 8 streams", "GiB/s", True, "generator"),
    "both_1": Figure("bulk both ways, 1 stream", "GiB/s", True, "both"),
    "both_8": Figure("bulk both ways, 8 streams", "GiB/s", True, "both"),
    "byte_p50": Figure("round trip, 1 byte, p50", "us", False, "latency"),
    "byte_p99": Figure("round trip, 1 byte, p99", "us", False, "latency"),
    "byte_p999": Figure("round trip, 1 byte, p99.9", "us", False, "latency"),
    "kib_p50": Figure("round trip, 1 KiB, p50", "us", False, "latency"),
    "kib_p99": Figure("round trip, 1 KiB, p99", "us", False, "latency"),
    "kib_p999": Figure("round trip, 1 KiB, p99.9", "us", False, "latency"),
    "beside_p50": Figure("round trip, 1 byte, beside bulk, p50", "us", False, "beside"),
    "beside_p99": Figure("round trip, 1 byte, beside bulk, p99", "us", False, "beside"),
    "requests": Figure("requests, 64 connections", "1/s", True, "requests"),
    "requests_cpu": Figure("CPU of all proxies, request", "us", False, "requests"),
    "connections": Figure("new connections", "1/s", True, "connections"),
    "connections_cpu": Figure("CPU of all proxies, new connection", "us", False, "connections"),
    "memory_1000": Figure("idle session and daemon, of 1,000", "KiB", False, "memory"),
    "memory_9000": Figure("idle session and daemon, of 9,000", "KiB", False, "memory"),
    "delayed": Figure("bulk, 1 stream, 100 ms round trip", "MiB/s", True, "delay"),
    "outage": Figure("9,000 sessions attached again", "s", False, "outage"),
    "outage_cpu": Figure("CPU of both daemons for that", "s", False, "outage"),
    "kill_p50": Figure("kill -9 of a daemon to the next byte, p50", "ms", False, "kill"),
    "kill_p99": Figure("kill -9 of a daemon to the next byte, p99", "ms", False, "kill"),
    "kill_many": Figure("the same, many sessions, every 1,000", "s", False, "kill"),
}
WHAT = tuple(dict.fromkeys(figure.what for figure in FIGURES.values()))


@dataclasses.dataclass(frozen=True)
class Effort:
    """How long each part takes."""

    seconds: float
    delayed_bytes: int
    memory_sessions: tuple
    outage_seconds: float
    outage_sessions: int = 9000
    kills: int = 50
    killed_sessions: int = 9000


FULL = Effort(seconds=2.0, delayed_bytes=256 * MIB, memory_sessions=(1000, 9000), outage_seconds=10)
QUICK = Effort(seconds=0.3, delayed_bytes=64 * MIB, memory_sessions=(1000,), outage_seconds=2,
               kills=10, killed_sessions=2000)


class Failed(Exception):
    """A chain could not do what was asked of it."""


def load_command(chain, subject, **options):
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [chain.site.load, subject, "--to", chain.address, *arguments]


def load(chain, subject, timeout=90, **options):
    """One run of bench_load against a chain; what it measured."""
    try:
        done = subprocess.run(load_command(chain, subject, **options), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise Failed(f"{subject} took more than {timeout} s") from None
    if done.returncode != 0:
        raise Failed(done.stderr.strip())
    return json.loads(done.stdout)


class Bulk:
    """Amounts that take about as long for every chain, from what it has carried before."""

    FIRST_BYTES, LEAST_BYTES, MOST_BYTES = 32 * MIB, 16 * MIB, 16 * GIB

    def __init__(self, seconds):
        self._seconds = seconds
        self._rates = {}  # (chain, kind): bytes per second

    def _transfer(self, chain, streams, ways):
        kind = (chain.name, streams, ways)
        if kind not in self._rates:
            self._note(kind, self._run(chain, self.FIRST_BYTES, streams, ways))
        size = min(max(self._rates[kind] * self._seconds, self.LEAST_BYTES), self.MOST_BYTES)
        result = self._run(chain, int(size), streams, ways)
        self._note(kind, result)
        return result

    @staticmethod
    def _run(chain, size, streams, ways):
        return load(chain, "bulk", streams=streams, up=size // ways, down=size // 2 if ways == 2 else 0)

    def _note(self, kind, result):
        self._rates[kind] = result["bytes"] / result["seconds"]

    def one_way(self, chain):
        figures, carried, used = {}, 0, 0.0
        for streams in (1, 8):
            before = chain.cpu_seconds()
            result = self._transfer(chain, streams, 1)
            used += chain.cpu_seconds() - before
            carried += result["bytes"]
            figures[f"bulk_{streams}"] = result["bytes"] / result["seconds"] / GIB
        if chain.hops:
            figures["cpu"] = used / (carried / GIB)
        return figures

    def both_ways(self, chain):
        results = {streams: self._transfer(chain, streams, 2) for streams in (1, 8)}
        return {f"both_{streams}": r["bytes"] / r["seconds"] / GIB for streams, r in results.items()}


def generator(chain, seconds):
    """What iperf3, which checks nothing, makes of the direct way: is our own load what limits it?"""
    assert not chain.hops
    figures, port = {}, str(next_port())
    with subprocess.Popen(["iperf3", "-s", "-p", port, "--forceflush"], stdout=subprocess.PIPE, text=True) as server:
        try:
            # A connection to find out would count as a client.
            while "listening" not in server.stdout.readline():
                if server.poll() is not None:
                    raise Failed("iperf3 ended")
            for streams in (1, 8):
                done = subprocess.run(["iperf3", "-c", "127.0.0.1", "-p", port, "-P", str(streams), "-J", "-t",
                                       str(max(1, round(seconds)))], capture_output=True, text=True, check=False)
                result = json.loads(done.stdout)
                if "error" in result:
                    raise Failed(result["error"])
                figures[f"iperf3_{streams}"] = result["end"]["sum_received"]["bits_per_second"] / 8 / GIB
        finally:
            server.kill()
    return figures


def latency(chain, seconds):
    figures = {}
    for name, size in (("byte", 1), ("kib", 1024)):
        result = load(chain, "exchange", bytes=size, seconds=seconds)
        figures |= {f"{name}_{quantile}": result[f"{quantile}_us"] for quantile in ("p50", "p99", "p999")}
    return figures


def beside(chain, seconds):
    """Round trips of a byte while one stream carries all it can."""
    command = load_command(chain, "bulk", streams=1, up=1 << 50)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as bulk:
        try:
            result = load(chain, "exchange", bytes=1, seconds=seconds)
            if bulk.poll() is not None:
                raise Failed("the bulk beside it has ended")
        finally:
            bulk.kill()
    return {f"beside_{quantile}": result[f"{quantile}_us"] for quantile in ("p50", "p99")}


def counted(chain, figure, subject, **options):
    """How often a second, and what each time cost the proxies."""
    before = chain.cpu_seconds()
    result = load(chain, subject, **options)
    figures = {figure: result["count"] / result["seconds"]}
    if chain.hops:
        figures[f"{figure}_cpu"] = (chain.cpu_seconds() - before) / result["count"] * 1e6
    return figures


def requests(chain, seconds):
    return counted(chain, "requests", "exchange", bytes=64, connections=64, seconds=seconds)


def connections(chain, seconds):
    return counted(chain, "connections", "connections", parallel=16, seconds=seconds)


class Held:
    """Idle connections through a chain, all of which have reached the target."""

    def __init__(self, chain, count, timeout=120):
        self._process = subprocess.Popen([chain.site.load, "hold", "--to", chain.address, "--count", str(count)],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._timeout = timeout
        self._read("ready")

    def ask_all(self):
        """A byte to the target and back on each of them."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._read("answered")

    def _read(self, word):
        """Ends the load, and so the wait for its line, when that takes too long."""
        timer = threading.Timer(self._timeout, self._process.kill)
        timer.start()
        line = self._process.stdout.readline()
        timer.cancel()
        if not line.startswith(word):
            raise Failed(self._process.stderr.read().strip() or f"holding connections took more than {self._timeout} s")

    def close(self):
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                stream.close()
        self._process.wait()


def settled_memory(chain):
    """Once two readings in a row agree: what is freed late does not count."""
    last = None
    for _ in range(50):
        now = chain.memory_kib()
        if last is not None and abs(now[0] - last[0]) <= max(64, last[0] // 500):
            return now
        last = now
        time.sleep(0.1)
    return last


def memory(chain, session_counts):
    """KiB that each idle session adds to one daemon, of a chain that has carried nothing before."""
    figures = {}
    if not chain.hops:
        return figures
    load(chain, "exchange", count=10)
    before = settled_memory(chain)[0]
    with contextlib.ExitStack() as held:
        there = 0
        for count in session_counts:
            if count > getattr(chain, "most_sessions", count):
                break
            held.callback(Held(chain, count - there).close)
            there = count
            figures[f"memory_{count}"] = (settled_memory(chain)[0] - before) / count / chain.hops
    return figures


def delayed(chain, size):
    result = load(chain, "bulk", up=size, timeout=300)
    return {"delayed": result["bytes"] / result["seconds"] / MIB}


def outage(chain, effort):
    """From the moment that the network is back until every session has carried a byte to the target and back.

    The daemons are not asked meanwhile: with thousands of sessions a status costs them tens of milliseconds.
    """
    held = Held(chain, effort.outage_sessions)
    try:
        chain.command_relay("cut")
        time.sleep(effort.outage_seconds)
        if chain.attached():
            raise Failed("the outage did not reach all sessions")
        cpu_before = daemons_cpu_seconds(chain)
        chain.command_relay("heal")
        begin = time.monotonic()
        held.ask_all()
        seconds = time.monotonic() - begin
        used = daemons_cpu_seconds(chain) - cpu_before
        if chain.attached() != effort.outage_sessions:
            raise Failed("not all sessions are attached again")
    finally:
        held.close()
    return {"outage": seconds, "outage_cpu": used}


def kill(make, effort):
    """From the kill of a daemon, which its supervisor starts again, until every session has carried a byte to the target
    and back. A supervisor starts a daemon at once if it is the first that died, so each figure has chains of its own."""
    times = sorted(seconds for _ in range(effort.kills) for seconds in seconds_after_kills(make, 1))
    # A session takes up to three descriptors.
    possible = (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 2000) // 3
    count = min(effort.killed_sessions, possible)
    return {"kill_p50": times[len(times) // 2] * 1000, "kill_p99": times[int(len(times) * 0.99)] * 1000,
            "kill_many": statistics.mean(seconds_after_kills(make, count)) / count * 1000}


def seconds_after_kills(make, sessions):
    """Of one daemon, and then of the other."""
    chain = make()
    try:
        held = Held(chain, sessions)
        try:
            for control in chain.controls:
                daemon = control.status()["pid"]
                begin = time.monotonic()
                os.kill(daemon, signal.SIGKILL)
                held.ask_all()
                yield time.monotonic() - begin
        finally:
            held.close()
    finally:
        chain.close()


def daemons_cpu_seconds(chain):
    """Without the relay that cuts."""
    return processes.cpu_seconds(pid for _, pid in chain.daemons())
