"""A real PostgreSQL on a loopback port, with a data directory of its own, and the command lines to reach it."""

import contextlib
import os
import pathlib
import shutil
import subprocess

from support.daemon import run
from support.ports import free_port
from support.waiting import wait_until

USER = "postgres"
PROGRAMS = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))


def is_installed():
    return os.geteuid() == 0 and bool(PROGRAMS) and all(map(shutil.which, ("psql", "runuser")))


class Postgres:
    """Runs until closed. It refuses to run as root, so it runs as the user of its package."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir()
        shutil.chown(self.directory, USER)
        self.address = ("127.0.0.1", free_port())
        self._run("initdb", "--auth=trust", "--no-sync", "--pgdata", self.directory / "data")
        self._log = open(self.directory / "log", "ab")
        self._process = subprocess.Popen(
            self._command("postgres", "-D", self.directory / "data", "-p", self.address[1], "-h", "127.0.0.1",
                          "-c", f"unix_socket_directories={self.directory}", "-c", "fsync=off"),
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        try:
            wait_until(lambda: self.query(self.address[1], "select 1").returncode == 0, 20, "PostgreSQL to answer")
        except BaseException:
            self.close()
            raise

    def _command(self, name, *arguments):
        return ["runuser", "-u", USER, "--", str(PROGRAMS[-1] / name), *map(str, arguments)]

    def _run(self, name, *arguments):
        done = subprocess.run(self._command(name, *arguments), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              cwd="/", check=False)
        assert done.returncode == 0, done.stderr

    @staticmethod
    def psql(port, statement):
        """The command line of a psql through `port`; what it prints is nothing but the answer."""
        return ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(port), "-U", USER, "-c",
                statement, "postgres"]

    def query(self, port, statement):
        return run(*self.psql(port, statement))

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        self._process.wait(20)
        self._log.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
