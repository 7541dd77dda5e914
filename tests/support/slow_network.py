"""Two namespaces with one wire between them that delays, loses and limits, in user space (vde's wirefilter)."""

import contextlib
import os
import signal
import subprocess

from support.netns import Namespace
from support.waiting import wait_until

ADDRESSES = {"client": "10.82.0.1", "server": "10.82.0.2"}
OTHER_CLIENT_ADDRESS = "10.82.0.3"


class SlowNetwork:
    """The round trip in milliseconds, the loss each way in percent, the rate in bits a second, and how many bytes
    wait in front of the bottleneck before it drops."""

    family = 4
    any_address = "0.0.0.0"

    def __init__(self, directory, *, round_trip_ms, loss_percent, bits_per_second, queue_bytes, congestion="cubic"):
        self._made = []
        self._wire = None
        try:
            self.client, self.server = self._make("client"), self._make("server")
            self._wire = subprocess.Popen(
                ["dpipe", *self.client.command("vde_plug", "tap://em0"), "=",
                 "wirefilter", "-M", str(directory / "wire.sock"), "-d", str(round_trip_ms / 2),
                 "-l", str(loss_percent), "-b", str(bits_per_second // 8), "-c", str(queue_bytes), "=",
                 *self.server.command("vde_plug", "tap://em0")],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_until(lambda: (directory / "wire.sock").exists(), 10, "the wire")
            self._route = f"route replace 10.82.0.0/24 dev em0 congctl {congestion}"
            for role, namespace in (("client", self.client), ("server", self.server)):
                namespace.configure(f"addr add {ADDRESSES[role]}/24 dev em0 noprefixroute", self._route)
        except BaseException:
            self.close()
            raise

    def _make(self, role):
        namespace = Namespace(role)
        self._made.append(namespace)
        namespace.configure("tuntap add em0 mode tap", "link set em0 mtu 1400 up")
        return namespace

    def server_address(self):
        return ADDRESSES["server"]

    # -- what happens to it -------------------------------------------------------------------

    def replace_client_address(self):
        self.client.configure(f"addr add {OTHER_CLIENT_ADDRESS}/32 dev em0", f"addr del {ADDRESSES['client']}/24 dev em0")

    def far_link_down(self):
        self.server.configure("link set em0 down")

    def far_link_up(self):
        self.server.configure("link set em0 up", self._route)

    # -- the end ------------------------------------------------------------------------------

    def close(self):
        if self._wire is not None:
            with contextlib.suppress(ProcessLookupError):
                # dpipe has put the processes that it connects into a process group.
                os.killpg(self._wire.pid, signal.SIGKILL)
            self._wire.wait()
        for namespace in reversed(self._made):
            namespace.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
