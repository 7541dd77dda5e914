#!/usr/bin/python3
"""What two daemons cost beside a direct connection, on loopback: bulk, round trip, new connections, CPU and memory.

Every figure is the median of interleaved rounds, so that a machine that slows down slows all of them. The ratios
are what can be compared; the absolute figures are this machine's of today."""

import argparse
import json
import multiprocessing
import os
import pathlib
import socket
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support.daemon import Daemon, keygen, write_private  # noqa: E402
from support.ports import endpoint, free_port  # noqa: E402
from support.waiting import wait_until  # noqa: E402

CHUNK = 1 << 20
TICKS = os.sysconf("SC_CLK_TCK")


def serve_target(listener):
    """The first byte of a connection says what it wants: b (count what comes) or e (echo)."""
    while True:
        sock, _ = listener.accept()
        if os.fork() == 0:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            buffer = bytearray(CHUNK)
            total, mode = 0, sock.recv(1)
            while count := sock.recv_into(buffer):
                total += count
                if mode == b"e":
                    sock.sendall(memoryview(buffer)[:count])
            if mode == b"b":
                sock.sendall(total.to_bytes(8, "big"))
            os._exit(0)
        sock.close()
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


def connect(address, mode):
    sock = socket.create_connection(address, 30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(mode)
    return sock


def send_bulk(address, size):
    chunk = bytes(CHUNK)
    with connect(address, b"b") as sock:
        for _ in range(size // CHUNK):
            sock.sendall(chunk)
        sock.shutdown(socket.SHUT_WR)
        assert int.from_bytes(sock.recv(8), "big") == size


def bulk(address, size, streams):
    """GiB per second, over several connections at once."""
    begin = time.monotonic()
    workers = [multiprocessing.Process(target=send_bulk, args=(address, size // streams)) for _ in range(streams)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0, "a bulk stream failed"
    return size / (time.monotonic() - begin) / (1 << 30)


def round_trips(address, count):
    """Sorted round trips of one byte, in microseconds."""
    with connect(address, b"e") as sock:
        times = []
        for _ in range(count):
            begin = time.perf_counter()
            sock.sendall(b"x")
            sock.recv(1)
            times.append((time.perf_counter() - begin) * 1e6)
    return sorted(times)


def connections(address, count):
    """New connections a second, each carrying one byte there and back."""
    begin = time.monotonic()
    for _ in range(count):
        with connect(address, b"e") as sock:
            sock.sendall(b"x")
            sock.recv(1)
    return count / (time.monotonic() - begin)


def cpu_seconds(daemons):
    total = 0
    for daemon in daemons:
        fields = pathlib.Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def rss(daemon):
    for line in pathlib.Path(f"/proc/{daemon.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


class Chain:
    """One way to the target."""

    def __init__(self, name, directory, target, security=None):
        self.name, self.address, self.daemons = name, target, []
        if security is None:
            return
        directory = pathlib.Path(directory) / name
        directory.mkdir()
        options = ["--insecure"]
        if security == "tls":
            options = ["--key", str(write_private(directory / "key", keygen("bench")))]
        link, self.address = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
        for role, arguments in (
                ("serve", ["--listen", endpoint(*link), "--service", f"t={endpoint(*target)}"]),
                ("connect", ["--listen", endpoint(*self.address), "--peer", endpoint(*link), "--service", "t"])):
            control = directory / f"{role}.sock"
            command = [role, *arguments, *options, "--control", str(control)]
            self.daemons.append(Daemon(f"{name}-{role}", command, control, directory).wait_ready())

    def idle_memory(self, sessions):
        """KiB per idle session and daemon."""
        if not self.daemons:
            return None
        before = sum(map(rss, self.daemons))
        socks = [connect(self.address, b"e") for _ in range(sessions)]
        wait_until(lambda: all(d.control.status()["sessions"]["connected"] >= sessions for d in self.daemons), 60,
                   "all sessions to be there")
        after = sum(map(rss, self.daemons))
        for sock in socks:
            sock.close()
        return (after - before) / sessions / len(self.daemons)


def measure(chains, rounds, size):
    results = {chain.name: {} for chain in chains}

    def note(chain, figure, value):
        results[chain.name].setdefault(figure, []).append(value)

    for number in range(rounds):
        for chain in chains:
            print(f"\rround {number + 1} of {rounds}: {chain.name}      ", end="", file=sys.stderr)
            before = cpu_seconds(chain.daemons)
            note(chain, "bulk, 1 stream, GiB/s", bulk(chain.address, size, 1))
            note(chain, "bulk, 4 streams, GiB/s", bulk(chain.address, size, 4))
            note(chain, "CPU of both daemons, s/GiB",
                 (cpu_seconds(chain.daemons) - before) / (2 * size / (1 << 30)))
            times = round_trips(chain.address, 3000)
            note(chain, "1-byte round trip p50, us", times[len(times) // 2])
            note(chain, "1-byte round trip p99, us", times[len(times) * 99 // 100])
            note(chain, "new connections/s", connections(chain.address, 200))
    print("\r", end="", file=sys.stderr)
    for chain in chains:
        memory = chain.idle_memory(200)
        if memory is not None:
            note(chain, "idle session, KiB per daemon", memory)
    return {name: {figure: statistics.median(values) for figure, values in figures.items()}
            for name, figures in results.items()}


def print_table(results):
    direct = results["direct"]
    figures = list(dict.fromkeys(figure for chain in results.values() for figure in chain))
    print(f"{'':30}" + "".join(f"{name:>22}" for name in results))
    for figure in figures:
        cells = []
        for figures_of in results.values():
            value = figures_of.get(figure)
            if value is None:
                cells.append("-")
            elif direct.get(figure) and figures_of is not direct:
                cells.append(f"{value:.2f} ({value / direct[figure]:.2f} x)")
            else:
                cells.append(f"{value:.2f}")
        print(f"{figure:30}" + "".join(f"{cell:>22}" for cell in cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mib", type=int, default=512, help="bytes of one bulk transfer, in MiB")
    parser.add_argument("--json", metavar="FILE", help="also write the medians as JSON")
    options = parser.parse_args()

    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    target = multiprocessing.Process(target=serve_target, args=(listener,))
    target.start()
    chains = []
    with tempfile.TemporaryDirectory() as directory:
        try:
            for security in (None, "plain", "tls"):
                chains.append(Chain(security or "direct", directory, listener.getsockname(), security))
            results = measure(chains, options.rounds, options.mib << 20)
        finally:
            for chain in chains:
                for daemon in chain.daemons:
                    daemon.stop()
            target.terminate()
    print_table(results)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
