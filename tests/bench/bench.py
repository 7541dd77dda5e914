#!/usr/bin/python3
"""How fast backedpipd is, beside a direct connection and beside others, over two hops on loopback.

Rounds go through all chains one after the other, so that a machine that slows down slows all of them; ratios are
taken within a round, and the median of the rounds is reported. See README.md in this folder.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parents[1])]

import chart  # noqa: E402
import figures  # noqa: E402
import network  # noqa: E402
import report  # noqa: E402
import syscalls  # noqa: E402
from chain import Direct, Site  # noqa: E402
from ours import RELEASE, ROOT, Ours  # noqa: E402
from peers import PEERS, missing_programs  # noqa: E402
from results import Results  # noqa: E402

LOAD = ROOT / "build" / "bench" / "bin" / "bench_load"
ROUND_TRIP_MS = 100


def say(text):
    print(f"\r\033[K{text}" if sys.stderr.isatty() else text, end="" if sys.stderr.isatty() else "\n", file=sys.stderr,
          flush=True)


class Bench:
    def __init__(self, options):
        self.options = options
        self.effort = figures.QUICK if options.quick else figures.FULL
        self.results = Results()
        self.makers = {maker.name: maker for maker in (Direct, *PEERS) if self._wanted(maker.name)}
        for name in list(self.makers):
            if name in missing_programs():
                say(f"{name} is left out: no {missing_programs()[name]}")
                del self.makers[name]
        self.ours = {}
        for label, binaries, kept in variants(options):
            for kind in ("plain", "tls"):
                if self._wanted(kind):
                    name = f"{kind}@{label}" if label else kind
                    self.ours[name] = (kind, label, binaries, kept)

    def _wanted(self, name):
        return not self.options.only or name in self.options.only

    def _makers(self, **ours_options):
        """Everything that takes part, by name."""
        yield from self.makers.items()
        for name, arguments in self.ours.items():
            yield name, lambda site, arguments=arguments: Ours(site, *arguments, **ours_options)

    def _try(self, name, what, round_number, measure, chain):
        say(f"round {round_number + 1}: {name}, {what}")
        try:
            self.results.add(name, round_number, measure(chain))
        except (figures.Failed, AssertionError, OSError) as error:
            self.results.fail(name, what, error)

    def _try_fresh(self, site, makers, what, round_number, measure):
        """Each on a chain of its own that has done nothing else."""
        for name, make in makers:
            with contextlib.ExitStack() as running:
                def run(_, make=make, running=running):
                    chain = make(site)
                    running.callback(chain.close)
                    return measure(chain)
                self._try(name, what, round_number, run, None)

    # -- the parts ----------------------------------------------------------------------------

    def run_rounds(self, site):
        seconds = self.effort.seconds
        bulk = figures.Bulk(seconds)
        parts = {"bulk": bulk.one_way, "both": bulk.both_ways,
                 "generator": lambda chain: figures.generator(chain, seconds),
                 "latency": lambda chain: figures.latency(chain, seconds),
                 "beside": lambda chain: figures.beside(chain, seconds),
                 "requests": lambda chain: figures.requests(chain, seconds),
                 "connections": lambda chain: figures.connections(chain, seconds)}
        parts = {what: part for what, part in parts.items() if what in self.options.what}
        if not parts:
            return
        with contextlib.ExitStack() as running:
            chains = {}
            for name, make in self._makers():
                chains[name] = make(site)
                running.callback(chains[name].close)
            for number in range(self.options.rounds):
                for what, part in parts.items():
                    for name, chain in chains.items():
                        if what == "generator" and chain.hops:
                            continue
                        self._try(name, what, number, part, chain)

    def run_memory(self, site):
        self._try_fresh(site, self._makers(), "memory", 0,
                        lambda chain: figures.memory(chain, self.effort.memory_sessions))

    def run_outage(self, site):
        makers = [(name, make) for name, make in self._makers(cuttable=True) if name in self.ours]
        self._try_fresh(site, makers, "outage", 0, lambda chain: figures.outage(chain, self.effort))

    def run_kill(self, site):
        for name, arguments in self.ours.items():
            if arguments[-1]:
                self._try(name, "kill", 0, lambda make: figures.kill(make, self.effort),
                          lambda arguments=arguments: Ours(site, *arguments))

    def run_delayed(self, directory):
        far = network.DelayedNetwork(LOAD, ROUND_TRIP_MS)
        site = Site(far, LOAD, directory)
        try:
            for number in range(min(self.options.rounds, 3)):
                self._try_fresh(site, self._makers(), "delay", number,
                                lambda chain: figures.delayed(chain, self.effort.delayed_bytes))
        finally:
            site.close()
            far.close()

    def run(self):
        with tempfile.TemporaryDirectory(prefix="backedpipe-bench-") as directory:
            os.chmod(directory, 0o755)  # some proxies give up root
            site = Site(network.Loopback(), LOAD, directory)
            try:
                self.run_rounds(site)
                if "memory" in self.options.what:
                    self.run_memory(site)
                if "outage" in self.options.what:
                    self.run_outage(site)
                if "kill" in self.options.what:
                    self.run_kill(site)
            finally:
                site.close()
            if "delay" in self.options.what:
                self.run_delayed(directory)


def variants(options):
    """(label, folder, whether sessions outlive the daemons) of ours."""
    builds = options.bin or [(None, RELEASE)]
    if not options.kept:
        return [(*build, False) for build in builds]
    both = [(False, "alone"), (True, "kept")]
    return [(f"{label}-{word}" if label else word, binaries, kept) for label, binaries in builds for kept, word in both]


def chosen(text, known, what):
    names = text.split(",")
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"no {what} \"{name}\"; there are {', '.join(known)}")
    return names


def build_directory(text):
    label, separator, directory = text.partition("=")
    if not separator:
        label, directory = None, text
    if not os.access(f"{directory}/backedpipd", os.X_OK):
        raise argparse.ArgumentTypeError(f"no backedpipd in {directory}")
    return label, directory


def parse():
    names = [chain.name for chain in (Direct, *PEERS)] + ["plain", "tls"]
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="about two minutes, one round; for a first impression")
    parser.add_argument("--only", metavar="CHAIN,...", type=lambda text: chosen(text, names, "chain"),
                        help=f"of {', '.join(names)}")
    parser.add_argument("--what", metavar="PART,...", default=list(figures.WHAT),
                        type=lambda text: chosen(text, figures.WHAT, "part"), help=f"of {', '.join(figures.WHAT)}")
    parser.add_argument("--rounds", type=int, help="default 5, with --quick 1")
    parser.add_argument("--json", metavar="FILE", help="everything that was measured")
    parser.add_argument("--svg", metavar="FILE", help="the medians as bars")
    parser.add_argument("--bin", metavar="[LABEL=]DIR", action="append", type=build_directory,
                        help="other binaries of ours; several, with labels, are compared")
    parser.add_argument("--kept", action="store_true",
                        help="ours twice: alone, and with sessions that outlive the daemons (--supervise)")
    parser.add_argument("--syscalls", action="store_true",
                        help="instead: the system calls of both daemons, per MiB, round trip and connection")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    if options.bin and len(options.bin) > 1 and len({label for label, _ in options.bin} - {None}) != len(options.bin):
        parser.error("several --bin need different labels: --bin a=DIR --bin b=DIR")
    return options


def describe():
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True,
                            check=False).stdout.strip()
    return {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "commit": commit,
            "machine": network.machine(), "load_average": os.getloadavg()[0]}


def main():
    options = parse()
    network.enter_own_namespace()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends what was started, as Ctrl-C does
    if options.syscalls:
        syscalls.run(LOAD, options)
        return
    bench, about = Bench(options), describe()
    bench.run()
    about["load_average_after"] = os.getloadavg()[0]
    say("\n" if sys.stderr.isatty() else "done")
    machine = about["machine"]
    caption = (f"{about['date']}, commit {about['commit']}, {machine['processors']} x {machine['processor']}, "
               f"{machine['kernel']}, {options.rounds} rounds, load average before {about['load_average']:.1f}")
    print(f"{caption}\n")
    print("\n".join(report.lines(bench.results)))
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(
            {**about, "rounds": options.rounds, "quick": options.quick, "results": bench.results.as_json(),
             "failures": bench.results.failures}, indent=2) + "\n", encoding="utf-8")
    if options.svg:
        pathlib.Path(options.svg).write_text(chart.svg(bench.results, caption), encoding="utf-8")
    # What others cannot do is theirs.
    sys.exit(any(report.is_ours(failure.partition(",")[0]) or failure.startswith("direct")
                 for failure in bench.results.failures))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
