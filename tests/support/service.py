"""backedpipd as a service manager starts it, and what such a manager hears."""

import contextlib
import os
import signal
import subprocess

from support.daemon import Control, binary, write_config
from support.waiting import Deadline


class Service:
    """backedpipd as a service manager starts it: its environment, and descriptors from 3 on.

    A program may take the place of backedpipd; the shell that becomes it runs what is to happen before.
    """

    def __init__(self, directory, settings, environment=None, listening=None, journal=None, options=(),
                 program=None, before=""):
        self.log_path = directory / "journal"
        self.control = Control(directory / "control.sock")
        settings = {"control": {"socket": "control.sock"}} | settings
        config = write_config(directory / "backedpipd.json", settings)
        listening = listening or {}
        self._log = journal.connect() if journal else open(self.log_path, "ab")
        status = os.fstat(self._log.fileno())
        variables = {"LISTEN_FDS": str(len(listening)), "LISTEN_FDNAMES": ":".join(listening),
                     "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"} | (environment or {})
        descriptors = [os.dup(sock.fileno()) for sock in listening.values()]
        # The shell puts the sockets where they belong, and becomes the process that LISTEN_PID names.
        moves = " ".join(f"{3 + i}<&{descriptor}" for i, descriptor in enumerate(descriptors))
        script = f'{before} export LISTEN_PID=$$; exec "$@" {moves}'
        self.process = subprocess.Popen(["bash", "-c", script, "bash", str(program or binary("backedpipd")),
                                         *options, "--config", str(config)], env=os.environ | variables, pass_fds=descriptors,
                                        stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        for descriptor in descriptors:
            os.close(descriptor)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self._log.close()

    def log(self):
        return self.log_path.read_text()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(Deadline(10).left()) == 0, self.log()


def server(port, target="127.0.0.1:1"):
    return {"accept": [{"listen": f"127.0.0.1:{port}", "security": "none"}], "services": {"echo": {"target": target}}}


def client(listen, server_port):
    return {"peers": {"office": {"endpoints": [f"127.0.0.1:{server_port}"], "security": "none"}},
            "tunnels": [{"name": "echo", "listen": listen, "peer": "office", "service": "echo"}]}


def until(notify, text):
    """Reads messages up to one in which the text occurs."""
    messages = []
    while not messages or text not in messages[-1]:
        messages.append(notify.recv(4096).decode())
    return messages
