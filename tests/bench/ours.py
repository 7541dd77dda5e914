"""Our two daemons as a chain, of whatever build."""

import pathlib
import secrets

from chain import Chain
from support.daemon import Control

ROOT = pathlib.Path(__file__).resolve().parents[2]
RELEASE = ROOT / "build" / "release" / "bin"


def secret_key(identity):
    """A line of a key file, ours or stunnel's: they have the same form."""
    return f"{identity}:{secrets.token_hex(32)}\n"


class Ours(Chain):
    """`label` tells builds apart. With `kept`, sessions outlive the daemons, which have supervisors. With `cuttable`, the
    link goes through a relay that can be cut."""

    def __init__(self, site, kind, label=None, binaries=RELEASE, kept=False, cuttable=False):
        self.kind, self.label = kind, label
        self.name = f"{kind}@{label}" if label else kind
        self._daemon = pathlib.Path(binaries).resolve() / "backedpipd"
        self._cuttable = cuttable
        self.kept = kept
        self.relay = None
        self.controls = []
        super().__init__(site)

    def start(self):
        far, near = self.far_endpoint(), self.near_endpoint()
        options = ["--insecure"]
        if self.kind == "tls":
            options = ["--key", self.write("key", secret_key("bench"), 0o600)]
        self._run_daemon(self.run_far, "serve", far, ["--service", f"target={self.site.target}"], options)
        link = far
        if self._cuttable:
            link = self.near_endpoint()
            self.relay = self.run_near(self.site.load, "relay", "--listen", link, "--to", far, listens=link)
        self._run_daemon(self.run_near, "connect", near, ["--peer", link, "--service", "target"], options)
        return near

    def _run_daemon(self, run, role, listen, arguments, options):
        path = self.directory / f"{role}.sock"
        supervised = ["--supervise"] if self.kept else []
        run(self._daemon, *supervised, role, "--listen", listen, *arguments, *options, "--control", path, listens=listen)
        self.controls.append(Control(path))

    def daemons(self):
        """(role, process id), the accepting one first."""
        return [(role, process.pid) for role, process in
                zip(("server", "client"), [p for p in self._started if p is not self.relay])]

    def attached(self):
        """How many sessions have a link, by the daemon that sees fewer."""
        return min(control.status()["sessions"]["connected"] for control in self.controls)

    def command_relay(self, word):
        """"cut" or "heal"; what it says comes into its log."""
        self.relay.stdin.write(f"{word}\n".encode())
        self.relay.stdin.flush()
