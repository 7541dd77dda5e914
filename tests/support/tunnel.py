"""A client daemon and a server daemon with a relay between them: the stage of most tests.

    connect() ──▶ client daemon ──▶ relay ──▶ server daemon ──▶ target
"""

import pathlib

from support.certificates import Authority
from support.daemon import Daemon, keygen, stop_all, write_config, write_private
from support.ports import endpoint, free_port
from support.relay import Relay
from support.streams import connect
from support.waiting import patient, wait_until

IDENTITY = "laptop"


class Tunnel:
    """Both daemons, started by their command line, or by config files when extra settings are given.

    `targets` maps service names to (host, port) or "unix:/path"; there is a tunnel for each, or for the
    first only when the client is started by its command line. `server_settings` and `client_settings`
    are merged into the config's top level; `keys` are lines for further identities, and `allow` says who
    may use what, instead of one identity everything. Links are secured by a pre-shared key; by nothing
    with tls=False; with security="tls" by certificates of `authority`, in link.pem and server.pem.
    `client_launcher` is a command that executes the client's, for one that sees another system than the rest.
    """

    def __init__(self, directory, targets, *, tls=True, security=None, host="127.0.0.1", server_settings=None,
                 client_settings=None, keys="", allow=None, client_launcher=()):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.targets = {name: target if isinstance(target, str) else endpoint(*target)
                        for name, target in targets.items()}
        self.service = next(iter(targets))
        self.security = security or ("psk" if tls else "none")
        self.tls = self.security != "none"
        self.host = host
        self.server_settings = server_settings
        self.client_settings = client_settings
        self.client_launcher = client_launcher
        self.allow = allow or {IDENTITY: list(targets)}
        self.server_port = free_port()
        self.ports = {name: free_port() for name in targets}
        self.key_line = keygen(IDENTITY) if self.security == "psk" else None
        if self.security == "tls":
            self.authority = Authority(self.directory / "authority")
            self.authority.client(self.directory / "link", IDENTITY)
            self.authority.server(self.directory / "server", f"IP:{host},DNS:gw.example.org")
            (self.directory / "ca.pem").write_bytes(self.authority.certificate.read_bytes())
        if self.security == "psk":
            self.key_path = write_private(self.directory / "link.key", self.key_line)
            self.server_keys_path = write_private(self.directory / "clients.keys", self.key_line + keys)
        self.server = None
        self.client = None
        self.relay = None
        try:
            self.start_server()
            self.relay = Relay((host, self.server_port), host)
            self.start_client()
        except BaseException:
            self.abandon()
            raise

    # -- parts --------------------------------------------------------------------------------

    def start_server(self):
        control = self.directory / "server.sock"
        listen = endpoint(self.host, self.server_port)
        if self.server_settings is None:
            arguments = ["serve", "--listen", listen, *self._security("server_keys_path", "server"), "--control", str(control)]
            for name, target in self.targets.items():
                arguments += ["--service", f"{name}={target}"]
        else:
            accept = {"listen": listen, **self._link_security("server_keys_path", "server")}
            if self.tls:
                accept["allow"] = self.allow
            settings = {"control": {"socket": str(control)}, "accept": [accept],
                        "services": {name: {"target": target} for name, target in self.targets.items()},
                        **self.server_settings}
            arguments = ["--config", str(write_config(self.directory / "server.json", settings))]
        self.server = Daemon("server", arguments, control, self.directory).wait_ready()
        return self.server

    def start_client(self):
        control = self.directory / "client.sock"
        peer = endpoint(*self.relay.address)
        if self.client_settings is None:
            arguments = ["connect", "--listen", endpoint(*self.address), "--peer", peer, "--service", self.service,
                         *self._security("key_path", "link"), "--control", str(control)]
        else:
            settings = {"control": {"socket": str(control)},
                        "peers": {"far": {"endpoints": [peer], **self._link_security("key_path", "link")}},
                        "tunnels": [{"name": name, "listen": endpoint(self.host, port), "peer": "far",
                                     "service": name} for name, port in self.ports.items()],
                        **self.client_settings}
            arguments = ["--config", str(write_config(self.directory / "client.json", settings))]
        self.client = Daemon("client", arguments, control, self.directory, self.client_launcher).wait_ready()
        return self.client

    def _security(self, key_path, owner):
        if self.security == "tls":
            return ["--ca", str(self.directory / "ca.pem"), "--cert", str(self.directory / f"{owner}.pem"),
                    "--cert-key", str(self.directory / f"{owner}.key")]
        return ["--key", str(getattr(self, key_path))] if self.tls else ["--insecure"]

    def _link_security(self, key_path, owner):
        """The files are named relative to the config file."""
        if self.security == "tls":
            return {"security": "tls", "ca_file": "ca.pem", "cert_file": f"{owner}.pem", "key_file": f"{owner}.key"}
        return {"security": "psk", "key_file": getattr(self, key_path).name} if self.tls else {"security": "none"}

    # -- use ----------------------------------------------------------------------------------

    def link_options(self):
        """The command line options by which another client authenticates."""
        return self._security("key_path", "link")

    @property
    def address(self):
        """Where applications connect."""
        return (self.host, self.client_port)

    @property
    def client_port(self):
        return self.ports[self.service]

    @property
    def server_address(self):
        """The server itself, without the relay."""
        return (self.host, self.server_port)

    @property
    def key(self):
        """The pre-shared key as hex digits."""
        return self.key_line.strip().split(":")[1]

    def connect(self, service=None, timeout=30):
        """An application's connection through the tunnel for a service."""
        return connect((self.host, self.ports[service or self.service]), patient(timeout))

    def daemons(self):
        return [daemon for daemon in (self.client, self.server) if daemon is not None]

    def only_session(self):
        """The one session, as the client daemon describes it."""
        sessions = self.client.control.sessions()
        assert len(sessions) == 1, sessions
        return sessions[0]

    def wait_no_sessions(self, seconds=10):
        for daemon in self.daemons():
            if daemon.running():
                wait_until(lambda d=daemon: not d.control.sessions(), seconds,
                           lambda d=daemon: f"{d.name} to forget its sessions: {d.control.sessions()}")

    # -- the end ------------------------------------------------------------------------------

    def close(self):
        """Ends everything in order and checks that it ended well."""
        stop_all(self.daemons(), self.abandon)

    def abandon(self):
        """Ends everything at once."""
        for daemon in self.daemons():
            daemon.kill()
        if self.relay is not None:
            self.relay.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, *exception):
        if kind is None:
            self.close()
        else:
            self.abandon()
