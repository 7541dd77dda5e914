"""A real sshd on a loopback port, possibly in a network namespace, with its own keys, and the command lines to reach it."""

import contextlib
import getpass
import os
import pathlib
import shlex
import socket
import subprocess

from support.daemon import write_private
from support.ports import free_port
from support.waiting import wait_until


class Sshd:
    """Runs until closed; `directory` gets its keys, its configuration and its log."""

    def __init__(self, directory, namespace=None):
        self.directory = pathlib.Path(directory)
        self._namespace = namespace
        self.user = getpass.getuser()
        self.port = free_port()
        self.address = ("127.0.0.1", self.port)
        self._identity = self._make_key("user_key")
        host_key = self._make_key("host_key")
        authorized = self.directory / "authorized_keys"
        write_private(authorized, self._identity.with_suffix(".pub").read_text(encoding="ascii"))
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # its privilege separation insists
        config = write_private(self.directory / "sshd_config", "\n".join([
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {host_key}",
            "PidFile none",
            f"AuthorizedKeysFile {authorized}",
            "PasswordAuthentication no",
            "UsePAM no",
            "StrictModes no",
            "PermitRootLogin prohibit-password",
            "MaxStartups 100",
            "Subsystem sftp internal-sftp",
            "",
        ]))
        self.log_path = self.directory / "sshd.log"
        self._log = open(self.log_path, "ab")
        command = ["/usr/sbin/sshd", "-D", "-e", "-f", str(config)]
        if namespace is not None:
            command = namespace.command(*command)
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        try:
            wait_until(self._answers, 10, "sshd to answer")
        except BaseException:
            self.close()
            raise

    def _make_key(self, name):
        path = self.directory / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)],
                       stdin=subprocess.DEVNULL, check=True)
        return path

    def _answers(self):
        if self._process.poll() is not None:
            raise AssertionError(f"sshd ended: {self.log_path.read_text(encoding='utf-8')}")
        try:
            with self._namespace.entered() if self._namespace else contextlib.nullcontext():
                sock = socket.create_connection(self.address, timeout=5)
            with sock:
                return sock.recv(4) == b"SSH-"
        except OSError:
            return False

    def _options(self, config="none"):
        """Options that ignore the user's own configuration, known hosts and agent."""
        options = ["-F", str(config)]
        for setting in ("BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null",
                        "GlobalKnownHostsFile=/dev/null", "IdentitiesOnly=yes", "IdentityAgent=none",
                        f"IdentityFile={self._identity}", "LogLevel=ERROR"):
            options += ["-o", setting]
        return options

    def ssh(self, port, *command, options=()):
        """The command line of an ssh through `port`."""
        return ["ssh", *self._options(), *options, "-p", str(port), f"{self.user}@127.0.0.1", *command]

    def ssh_to(self, host, config, *command):
        """The same to a host of a configuration file, which says how to reach it."""
        return ["ssh", *self._options(config), f"{self.user}@{host}", *command]

    def scp(self, port, *paths, options=()):
        """The command line of an scp; a path on the far side is made by `remote`."""
        return ["scp", "-q", *self._options(), *options, "-P", str(port), *map(str, paths)]

    def rsync(self, port, *arguments, options=()):
        shell = shlex.join(["ssh", *self._options(), *options, "-p", str(port)])
        return ["rsync", "-e", shell, *map(str, arguments)]

    def remote(self, path):
        return f"{self.user}@127.0.0.1:{path}"

    def close(self):
        self._process.terminate()
        self._process.wait(10)
        self._log.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
