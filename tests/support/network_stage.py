"""A client daemon in one namespace, a server daemon and a real sshd in another: the stage of the network tests."""

import pathlib
import socket
import time

from support.certificates import Authority
from support.daemon import Daemon, keygen, stop_all, write_config, write_private
from support.flows import process_flow, socket_flow
from support.ports import endpoint
from support.sshd import Sshd
from support.streams import connect, receive_exactly
from support.waiting import patient, wait_until

IDENTITY = "laptop"
LINK_PORT, SSH_TUNNEL, STREAM_TUNNEL = 7700, 2222, 2223
LOOPBACK = "127.0.0.1"


class NetworkStage:
    """`hosts` are the names or addresses by which the client knows the server; by default its one address.

    Links are secured by a pre-shared key, or with security="tls" by certificates.
    """

    def __init__(self, directory, network, *, hosts=None, client_settings=None, stream_target=None, security="psk"):
        self.directory = pathlib.Path(directory)
        self.network = network
        self.security = security
        self.sshd = self.server = self.client = self._listener = None
        self._ended = []  # run at the end, last first
        try:
            self.sshd = Sshd(self.directory, network.server)
            if stream_target is None:
                with network.server.entered():
                    self._listener = socket.create_server((LOOPBACK, 0), backlog=128)
                self._listener.settimeout(patient(30))
                stream_target = self._listener.getsockname()[:2]
            self._start_daemons(hosts or [network.server_address()], stream_target, client_settings or {})
        except BaseException:
            self.abandon()
            raise

    def _start_daemons(self, hosts, stream_target, client_settings):
        near, far = self._link_security(hosts)
        self.server = self._daemon("server", self.network.server, {
            "accept": [{"listen": endpoint(self.network.any_address, LINK_PORT), **far,
                        "allow": {IDENTITY: ["ssh", "stream"]}}],
            "services": {"ssh": {"target": endpoint(*self.sshd.address)},
                         "stream": {"target": endpoint(*stream_target)}}})
        self.client = self._daemon("client", self.network.client, {
            "peers": {"far": {"endpoints": [endpoint(host, LINK_PORT) for host in hosts], **near}},
            "tunnels": [{"name": name, "listen": endpoint(LOOPBACK, port), "peer": "far", "service": name}
                        for name, port in (("ssh", SSH_TUNNEL), ("stream", STREAM_TUNNEL))],
            **client_settings})

    def _link_security(self, hosts):
        """The settings of the client's peer and of the server's listener."""
        if self.security == "tls":
            authority = Authority(self.directory / "authority")
            authority.client(self.directory / "near", IDENTITY)
            authority.server(self.directory / "far", ",".join(f"IP:{host}" for host in hosts))
            return tuple({"security": "tls", "ca_file": str(authority.certificate), "cert_file": f"{side}.pem",
                          "key_file": f"{side}.key"} for side in ("near", "far"))
        key = keygen(IDENTITY)
        for name in ("client.key", "server.keys"):
            write_private(self.directory / name, key)
        return {"key_file": "client.key"}, {"key_file": "server.keys"}

    def _daemon(self, name, namespace, settings):
        control = self.directory / f"{name}.sock"
        settings = {"control": {"socket": str(control)}, "log": {"level": "debug"}, **settings}
        config = write_config(self.directory / f"{name}.json", settings)
        return Daemon(name, ["--config", str(config)], control, self.directory, namespace.command()).wait_ready()

    # -- use ----------------------------------------------------------------------------------

    def connect(self, timeout=300):
        """An application's connection to the stream service."""
        with self.network.client.entered():
            return connect((LOOPBACK, STREAM_TUNNEL), patient(timeout))

    def connect_both(self):
        """Both ends of a new connection through the tunnel: the client's application and the target."""
        near = self.connect()
        far, _ = self._listener.accept()
        far.settimeout(patient(300))
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ended += [near.close, far.close]
        return near, far

    @staticmethod
    def crossing_seconds(near, far):
        """The time from writing a byte at one end until the other has read it and its answer has come back."""
        before = time.monotonic()
        near.sendall(b"?")
        assert receive_exactly(far, 1) == b"?"
        far.sendall(b"!")
        assert receive_exactly(near, 1) == b"!"
        return time.monotonic() - before

    def stream_both_ways(self, **pace):
        """Two checked flows over one connection, and the same over ssh: (from client, from server, through ssh)."""
        near, far = self.connect_both()
        flows = [socket_flow(near, far, 1, **pace), socket_flow(far, near, 2, **pace),
                 self.ssh_flow(3, **pace)]
        for flow in flows:
            flow.wait_first(0, 30)  # until all of them run
        return flows

    def ssh_flow(self, seed, **pace):
        """A flow through a real ssh to `cat` at the far end and back."""
        process = self.start_program(*self.sshd.ssh(SSH_TUNNEL, "cat"))
        self._ended += [process.stdout.close, process.stderr.close, process.kill]
        return process_flow(process, seed, **pace)

    def start_program(self, *command, **options):
        """A program in the client's namespace."""
        return self.network.client.start(*command, **options)

    def scp(self, *paths):
        return self.sshd.scp(SSH_TUNNEL, *paths)

    def daemons(self):
        return [daemon for daemon in (self.client, self.server) if daemon is not None]

    def link_ports(self):
        """The local ports of the client's links."""
        with_header = self.network.client.execute("ss", "-Htn", "state", "established", f"dport = :{LINK_PORT}")
        return [int(line.split()[2].rpartition(":")[2]) for line in with_header.splitlines()]

    def reconnects(self):
        """Of all sessions together, as the client counts them."""
        return sum(session["reconnects"] for session in self.client.control.sessions())

    def surplus_dials(self):
        """The client's dials beyond the one that each session needs, mostly for second links beside suspect ones."""
        status = self.client.control.status()
        return (sum(peer["dials"] + peer["links_reused"] for peer in status["peers"])
                - status["totals"]["sessions_opened"])

    def wait_connected(self, seconds=30):
        """Every session has a link that owes nothing."""
        wait_until(lambda: all(session["state"] == "connected" and not session.get("suspect")
                               for session in self.client.control.sessions()), seconds, "all sessions to be attached")

    # -- the end ------------------------------------------------------------------------------

    def close(self):
        stop_all(self.daemons(), self.abandon)

    def abandon(self):
        for end in reversed(self._ended):
            end()
        for daemon in self.daemons():
            daemon.kill()
        if self.sshd is not None:
            self.sshd.close()
        if self._listener is not None:
            self._listener.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *exception):
        if kind is None:
            self.close()
        else:
            self.abandon()
