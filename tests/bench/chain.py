"""A chain: one way from the load to the target, through two proxies or none, and the processes that make it."""

import itertools
import pathlib
import socket
import subprocess

import processes
from support.waiting import wait_until

_ports = itertools.count(2000)  # below those that outgoing connections take; nobody else is in this network


def next_port():
    return next(_ports)


def is_listening(host, port):
    try:
        socket.create_connection((host, int(port)), 5).close()
    except OSError:
        return False
    return True


class Site:
    """What every chain needs to know: where near and far are, where the target is, and a folder for its files."""

    def __init__(self, network, load, directory):
        self.network, self.load, self.directory = network, load, pathlib.Path(directory)
        self._target = subprocess.Popen([*network.far_launcher, load, "serve", "--listen", "0.0.0.0:0"],
                                        stdout=subprocess.PIPE, text=True)
        self.target_port = int(self._target.stdout.readline())

    @property
    def target(self):
        """As the far proxy reaches it."""
        return f"127.0.0.1:{self.target_port}"

    def close(self):
        self._target.kill()
        self._target.wait()


class Chain:
    """Runs until closed. Subclasses start what they need in `start` and return the address that the load connects to."""

    name = None
    hops = 2

    def __init__(self, site):
        self.site = site
        self.directory = site.directory / f"{self.name}-{next_port()}"
        self.directory.mkdir(mode=0o755)
        self._started = []
        try:
            self.address = self.start()
        except BaseException:
            self.close()
            raise

    def start(self):
        raise NotImplementedError

    # -- for subclasses -----------------------------------------------------------------------

    def write(self, name, text, mode=0o644):
        path = self.directory / name
        path.touch(mode=mode)
        path.write_text(text, encoding="ascii")
        return path

    def run_near(self, *command, listens):
        return self._run((), command, listens)

    def run_far(self, *command, listens):
        return self._run(self.site.network.far_launcher, command, listens)

    def _run(self, launcher, command, listens):
        log_path = self.directory / f"{len(self._started)}.log"
        with open(log_path, "ab") as log:
            process = subprocess.Popen([*launcher, *map(str, command)], stdin=subprocess.PIPE, stdout=log, stderr=log)
        self._started.append(process)

        def listening():
            if process.poll() is not None:
                raise AssertionError(f"{self.name}: {command[0]} ended:\n{log_path.read_text(errors='replace')[-2000:]}")
            return is_listening(*listens.split(":"))

        wait_until(listening, 20, lambda: f"{command[0]} to listen:\n{log_path.read_text(errors='replace')[-2000:]}")
        return process

    def near_endpoint(self):
        return f"127.0.0.1:{next_port()}"

    def far_endpoint(self):
        return f"{self.site.network.far_address}:{next_port()}"

    # -- what it costs ------------------------------------------------------------------------

    def pids(self):
        return processes.descendants(process.pid for process in self._started)

    def cpu_seconds(self):
        return processes.cpu_seconds(self.pids())

    def memory_kib(self):
        return processes.memory_kib(self.pids())

    # -- its end ------------------------------------------------------------------------------

    def close(self):
        for process in reversed(self._started):
            process.stdin.close()
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._started = []


class Direct(Chain):
    """The target itself."""

    name = "direct"
    hops = 0

    def start(self):
        return f"{self.site.network.far_address}:{self.site.target_port}"
