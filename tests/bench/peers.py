"""What others do in our place: the same two hops, as Debian packages them, with the settings that their manuals
recommend for this, and none that would let them lose."""

import functools
import os
import pathlib
import subprocess

from chain import Chain
from ours import secret_key

CONNECTIONS = 9800  # two descriptors each, of the 20,000 that a process may have on small machines


class Relay(Chain):
    """The least that a proxy can do with epoll, recv and send: see load/relay.cpp."""

    name = "relay"

    def start(self):
        far, near = self.far_endpoint(), self.near_endpoint()
        load = self.site.load
        self.run_far(load, "relay", "--listen", far, "--to", self.site.target, listens=far)
        self.run_near(load, "relay", "--listen", near, "--to", far, listens=near)
        return near


class Socat(Chain):
    """A process for each connection."""

    name = "socat"
    most_sessions = 1000

    def start(self):
        far, near = self.far_endpoint(), self.near_endpoint()
        self.run_far(*self._command(far, self.site.target), listens=far)
        self.run_near(*self._command(near, far), listens=near)
        return near

    @staticmethod
    def _command(listen, to):
        host, port = listen.split(":")
        return ("socat", "-b65536", f"TCP4-LISTEN:{port},bind={host},fork,reuseaddr,nodelay,backlog=4096",
                f"TCP4:{to},nodelay")


class Haproxy(Chain):
    name = "haproxy"
    threads, splice, tls = 1, False, False

    def start(self):
        far, near = self.far_endpoint(), self.near_endpoint()
        accept = connect = ""
        if self.tls:
            accept, connect = f" ssl crt {self._certificate()} ssl-min-ver TLSv1.3", " ssl verify none"
        self.run_far("haproxy", "-db", "-f", self._config("far", far + accept, self.site.target), listens=far)
        self.run_near("haproxy", "-db", "-f", self._config("near", near, far + connect), listens=near)
        return near

    def _config(self, name, bind, server):
        splice = "option splice-request\n  option splice-response" if self.splice else ""
        # By default it wants two more descriptors for a pipe of every fourth connection.
        return self.write(f"{name}.cfg", f"""global
  nbthread {self.threads}
  maxconn {CONNECTIONS}
  maxpipes 64
defaults
  mode tcp
  maxconn {CONNECTIONS}
  backlog 4096
  timeout connect 10s
  timeout client 1h
  timeout server 1h
  {splice}
frontend in
  bind {bind}
  default_backend out
backend out
  server target {server}
""")

    def _certificate(self):
        key, certificate = self.directory / "key.pem", self.directory / "certificate.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", "/CN=bench", "-keyout", key, "-out", certificate],
                       check=True, capture_output=True)
        return self.write("both.pem", certificate.read_text() + key.read_text(), 0o600)


class HaproxySplice(Haproxy):
    name, splice = "hap-splice", True


class HaproxyTls1(Haproxy):
    name, tls = "hap-tls1", True


class HaproxyTls2(Haproxy):
    name, tls, threads = "hap-tls2", True, 2


class Nginx(Chain):
    name = "nginx"

    def start(self):
        far, near = self.far_endpoint(), self.near_endpoint()
        self.run_far("nginx", "-c", self._config("far", far, self.site.target), listens=far)
        self.run_near("nginx", "-c", self._config("near", near, far), listens=near)
        return near

    def _config(self, name, listen, to):
        user = "user root;" if os.geteuid() == 0 else ""
        return self.write(f"{name}.conf", f"""load_module /usr/lib/nginx/modules/ngx_stream_module.so;
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {self.directory}/{name}.pid;
error_log {self.directory}/{name}.log error;
events {{ worker_connections 19900; }}
stream {{
  server {{
    listen {listen} backlog=4096;
    proxy_pass {to};
    proxy_timeout 1h;
  }}
}}
""")


class Stunnel(Chain):
    """TLS 1.3 with a pre-shared key, as ours; a thread for each connection."""

    name = "stunnel"

    def start(self):
        far, near = self.far_endpoint(), self.near_endpoint()
        key = self.write("key", secret_key("bench"), 0o600)
        self.run_far("stunnel4", self._config("far", "no", far, self.site.target, key), listens=far)
        self.run_near("stunnel4", self._config("near", "yes", near, far, key), listens=near)
        return near

    def _config(self, name, client, accept, connect, key):
        return self.write(f"{name}.conf", f"""foreground = yes
pid =
debug = err
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[bench]
client = {client}
accept = {accept}
connect = {connect}
ciphers = PSK
PSKsecrets = {key}
""")


class Ssh(Chain):
    """`ssh -L`: all connections in one, whose ends are ssh and sshd."""

    name = "ssh"
    most_sessions = 1000

    def start(self):
        far, near = self.far_endpoint(), self.near_endpoint()
        keys = {name: self.directory / name for name in ("host", "user")}
        for path in keys.values():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        keys["user"].with_suffix(".pub").rename(self.directory / "authorized")
        if os.geteuid() == 0:
            pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # its privilege separation insists
        host, port = far.split(":")
        config = self.write("sshd.conf", f"""Port {port}
ListenAddress {host}
HostKey {keys["host"]}
PidFile none
AuthorizedKeysFile {self.directory}/authorized
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
""")
        self.run_far("/usr/sbin/sshd", "-D", "-e", "-f", config, listens=far)
        options = ["-F", "none", "-i", keys["user"]]
        for setting in ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null",
                        "IdentityAgent=none", "IdentitiesOnly=yes", "ExitOnForwardFailure=yes", "LogLevel=ERROR"):
            options += ["-o", setting]
        self.run_near("ssh", *options, "-N", "-L", f"{near}:{self.site.target}", "-p", port, host, listens=near)
        return near


PEERS = (Relay, Socat, Haproxy, HaproxySplice, HaproxyTls1, HaproxyTls2, Nginx, Stunnel, Ssh)


@functools.cache
def missing_programs():
    """The peers that cannot take part, and why."""
    programs = {"socat": "socat", "haproxy": "haproxy", "nginx": "nginx", "stunnel": "stunnel4", "ssh": "ssh"}
    folders = [*os.environ.get("PATH", "").split(":"), "/usr/sbin", "/usr/bin"]
    return {name: program for name, program in programs.items()
            if not any(os.access(f"{folder}/{program}", os.X_OK) for folder in folders)}
