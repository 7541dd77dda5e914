"""The system calls of our daemons, counted by strace: per MiB of bulk, per round trip, per new connection.

strace makes each call slow, so that more bytes are there when the next one is made: the counts of bulk are lower than
they are without. Those of round trips and connections are not.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import tempfile

import figures
import network
from chain import Site
from ours import RELEASE, Ours

WORK = {
    "MiB of bulk": (512, lambda chain, amount: figures.load(chain, "bulk", up=amount * figures.MIB)),
    "round trip of 1 byte": (4000, lambda chain, amount: figures.load(chain, "exchange", count=amount)),
    "new connection": (500, lambda chain, amount: figures.load(chain, "connections", count=amount, parallel=4)),
}


def _traced(pid, path):
    process = subprocess.Popen(["strace", "-f", "-c", "-U", "calls,errors,name", "-o", path, "-p", str(pid)],
                               stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    line = process.stderr.readline()
    assert "attached" in line, f"strace: {line}"
    return process


def _counts(path):
    """Calls by name, from strace's table: calls, errors (or nothing), name."""
    counts = {}
    for line in pathlib.Path(path).read_text(encoding="ascii").splitlines():
        fields = line.split()
        if fields and fields[0].isdigit() and fields[-1] != "total":
            counts[fields[-1]] = int(fields[0])
    return counts


def count(chain, amount, work, directory):
    """{role: {call: how often}} while the work is done."""
    with contextlib.ExitStack() as ended:
        tracers = {}
        for role, pid in chain.daemons():
            tracers[role] = _traced(pid, f"{directory}/{role}.strace")
            ended.callback(tracers[role].wait)
            ended.callback(tracers[role].send_signal, signal.SIGINT)
        work(chain, amount)
    return {role: _counts(f"{directory}/{role}.strace") for role in tracers}


def table(unit, amount, columns):
    calls = sorted({call for counts in columns.values() for call in counts},
                   key=lambda call: -max(counts.get(call, 0) for counts in columns.values()))
    yield f"per {unit}".ljust(28) + "".join(name.rjust(16) for name in columns)
    for call in calls:
        cells = [counts.get(call, 0) / amount for counts in columns.values()]
        if max(cells) >= 0.005:
            yield call.ljust(28) + "".join(f"{cell:16.2f}" for cell in cells)
    yield "all".ljust(28) + "".join(f"{sum(counts.values()) / amount:16.2f}" for counts in columns.values())
    yield ""


def run(load, options):
    with tempfile.TemporaryDirectory(prefix="backedpipe-bench-") as directory:
        os.chmod(directory, 0o755)
        site = Site(network.Loopback(), load, directory)
        try:
            for label, binaries in options.bin or [(None, RELEASE)]:
                columns = {unit: {} for unit in WORK}
                for kind in options.only or ("plain", "tls"):
                    chain = Ours(site, kind, label, binaries)
                    try:
                        figures.load(chain, "exchange", count=10)
                        for unit, (amount, work) in WORK.items():
                            for role, counts in count(chain, amount, work, directory).items():
                                columns[unit][f"{chain.name} {role}"] = counts
                    finally:
                        chain.close()
                for unit, (amount, _) in WORK.items():
                    print("\n".join(table(unit, amount, columns[unit])))
        finally:
            site.close()
