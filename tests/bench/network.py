"""Where it is measured: a network of its own with cubic, and behind a wire with a delay a second one.

The default congestion control of a machine may be bbr, whose figures jump on loopback; users mostly have cubic. A
namespace cannot choose it by sysctl, but a route can.
"""

import contextlib
import os
import pathlib
import subprocess
import sys

INSIDE = "BACKEDPIPE_BENCH_NAMESPACE"
LOOPBACK_SETUP = """ip link set lo up
for route in 127.0.0.0/8 127.0.0.1; do
  ip route replace local $route dev lo proto kernel scope host src 127.0.0.1 table local congctl cubic
done
echo '10000 65535' >/proc/sys/net/ipv4/ip_local_port_range
echo 1 >/proc/sys/net/ipv4/tcp_no_metrics_save
"""
NEAR_ADDRESS, FAR_ADDRESS, DEVICE = "10.9.0.1", "10.9.0.2", "wire"


def enter_own_namespace():
    """Goes on in a fresh network namespace; without root, in one of a user namespace."""
    if INSIDE in os.environ:
        subprocess.run(["sh", "-ec", LOOPBACK_SETUP], check=True)
        return
    options = ["-n"] if os.geteuid() == 0 else ["-r", "-n"]
    os.execvpe("unshare", ["unshare", *options, sys.executable, *sys.argv], {**os.environ, INSIDE: "1"})


class Loopback:
    """Near and far are the same place."""

    far_address = "127.0.0.1"
    far_launcher = ()

    def close(self):
        pass


class DelayedNetwork:
    """What is far is in another namespace, at the other end of a wire whose packets take their time."""

    far_address = FAR_ADDRESS

    def __init__(self, load, round_trip_ms):
        self._ended = contextlib.ExitStack()
        # Lives until its input ends.
        keeper = subprocess.Popen(["unshare", "-n", "sh", "-ec", f"{LOOPBACK_SETUP}echo up; exec cat"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._ended.callback(keeper.wait)
        self._ended.callback(keeper.stdin.close)
        assert keeper.stdout.readline() == b"up\n", "no second namespace"
        self.far_launcher = ("nsenter", "-t", str(keeper.pid), "-n")
        for launcher in ((), self.far_launcher):
            subprocess.run([*launcher, "ip", "tuntap", "add", DEVICE, "mode", "tun"], check=True)
        wire = subprocess.Popen([load, "wire", "--near", f"{os.getpid()}:{DEVICE}", "--far", f"{keeper.pid}:{DEVICE}",
                                 "--delay-ms", str(round_trip_ms / 2)], stdout=subprocess.PIPE)
        self._ended.callback(wire.wait)
        self._ended.callback(wire.kill)
        assert wire.stdout.readline() == b"up\n", "no wire"
        for launcher, own, other in (((), NEAR_ADDRESS, FAR_ADDRESS), (self.far_launcher, FAR_ADDRESS, NEAR_ADDRESS)):
            for line in (f"addr add {own} peer {other} dev {DEVICE}", f"link set {DEVICE} up txqueuelen 20000",
                         f"route replace {other} dev {DEVICE} src {own} congctl cubic"):
                subprocess.run([*launcher, "ip", *line.split()], check=True)

    def close(self):
        subprocess.run(["ip", "link", "del", DEVICE], check=False)
        self._ended.close()


def machine():
    """What the figures were measured on."""
    model = next((line.partition(":")[2].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), "?")
    system = os.uname()
    return {"processor": model, "processors": len(os.sched_getaffinity(0)), "kernel": f"{system.sysname} {system.release}",
            "architecture": system.machine}
