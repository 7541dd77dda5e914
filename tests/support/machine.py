"""Machines with a booted systemd: containers of systemd-nspawn from one cached root file system. Needs root."""

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import signal
import subprocess

from support.daemon import REPOSITORY, run
from support.waiting import Deadline, wait_until

BUILT = REPOSITORY / "build" / "system"
PACKAGES = REPOSITORY / "build" / "package"
CGROUPS = [path for path in (pathlib.Path("/sys/fs/cgroup/systemd"), pathlib.Path("/sys/fs/cgroup/unified"))
           if path.is_dir()]
WANTED = ["systemd", "systemd-sysv", "dbus", "openssh-server", "openssh-client", "iproute2", "procps"]


def package(name):
    """The path of a package that "./dev package" made."""
    found = sorted(PACKAGES.glob(f"{name}_*.deb"))
    assert len(found) == 1, f"{name} in {PACKAGES}: {found}; run ./dev package"
    return found[0]


def must(*command, timeout=60, **options):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=Deadline(timeout).left(), check=False, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def root_archive():
    """A Debian 12 with what the package needs, but without the package; made once."""
    depends = must("dpkg-deb", "-f", package("backedpipd"), "Depends")
    needed = [re.sub(r"\s*\(.*?\)", "", choice.split("|")[0]).strip() for choice in depends.split(",")]
    return bootstrap(f"--include={','.join(sorted({*WANTED, *needed}))}")


def slim_archive():
    """Like debian:bookworm-slim: no documents, no translations, and no perl just to merge /usr."""
    return bootstrap("--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "--include=usr-is-merged", *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("man", "doc", "locale")))


def bootstrap(*options):
    """The archive of a small Debian 12; made once for the same options."""
    archive = BUILT / f"root-{hashlib.sha256(' '.join(options).encode()).hexdigest()[:12]}.tar"
    if not archive.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        mirrors = must("apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages")
        mirror = next(line.split()[0] for line in mirrors.splitlines() if line.endswith(" bookworm"))
        made = archive.with_suffix(".making")
        must("mmdebstrap", "--variant=minbase", "--format=tar", *options, "bookworm", made, mirror,
             timeout=900)
        made.rename(archive)
    return archive


class Machine:
    """One booted container. Its changes are lost when it ends."""

    def __init__(self, name, directory, archive, namespace=None):
        self.name = name
        self.root = pathlib.Path(directory) / name
        self.console = pathlib.Path(directory) / f"{name}.console"
        self.namespace = namespace
        self._groups = [group / f"backedpipd-{name}-{os.getpid()}" for group in CGROUPS]
        self.root.mkdir()
        must("tar", "-C", self.root, "-xf", archive)
        self._process = None
        self.leader = None

    def __enter__(self):
        self._boot()
        return self

    def _boot(self):
        # Starts in its own cgroup: systemd takes the cgroup in which it starts for the root of all.
        script = "".join(f"mkdir -p {group}; echo $$ >{group}/cgroup.procs; " for group in self._groups)
        network = f"--network-namespace-path=/run/netns/{self.namespace}" if self.namespace else "--private-network"
        with open(self.console, "wb") as console:
            self._process = subprocess.Popen(
                ["bash", "-c", script + 'exec "$@"', "bash", "systemd-nspawn", "--quiet", "-b", "-D", str(self.root),
                 "-M", self.name, "--register=no", "--keep-unit", network, f"--bind-ro={PACKAGES}:/packages",
                 "--console=pipe"], stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        wait_until(self._is_up, 60, lambda: f"{self.name} to boot:\n{self.console.read_text(errors='replace')}")

    def reboot(self):
        self.try_run("systemctl", "reboot")
        # How systemd-nspawn asks to be started again.
        assert self._process.wait(Deadline(60).left()) == 133
        self.leader = None
        self._boot()

    def _is_up(self):
        assert self._process.poll() is None, self.console.read_text(errors="replace")
        children = pathlib.Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        if not children:
            return False
        self.leader = children[0]
        return self.try_run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            if self.leader:
                os.kill(int(self.leader), signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait()
        for group in self._groups:
            for path in sorted(group.rglob("*"), reverse=True):
                if path.is_dir():
                    with contextlib.suppress(OSError):
                        path.rmdir()
            with contextlib.suppress(OSError):
                group.rmdir()
        shutil.rmtree(self.root, ignore_errors=True)

    def command(self, *command):
        return ["nsenter", "-t", self.leader, "-a", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
                "DEBIAN_FRONTEND=noninteractive", *map(str, command)]

    def try_run(self, *command, timeout=60):
        return run(*self.command(*command), timeout=timeout)

    def run(self, *command, timeout=60):
        return must(*self.command(*command), timeout=timeout)

    def pid_outside(self, pid):
        """The id outside the machine of a process inside."""
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                numbers = re.search(r"^NSpid:(.*)", (folder / "status").read_text(), re.MULTILINE)[1].split()
                if numbers[-1] == str(pid) and self._is_inside(folder):
                    return int(folder.name)
        raise AssertionError(f"no process {pid} on {self.name}")

    def _is_inside(self, folder):
        return os.readlink(folder / "ns" / "pid") == os.readlink(f"/proc/{self.leader}/ns/pid")

    def write(self, path, text, owner="root:root", mode="0644"):
        """Writes a file inside, from within the machine, so that it goes to mounts over the tree, too."""
        done = subprocess.run(self.command("sh", "-c", 'umask 077; mkdir -p "$(dirname "$1")"; cat >"$1" && '
                                           'chown "$2" "$1" && chmod "$3" "$1"', "sh", path, owner, mode),
                              input=text, text=True, capture_output=True, timeout=Deadline(20).left(), check=False)
        assert done.returncode == 0, done.stderr

    def show(self, unit, *properties):
        """Properties of a unit, as a dictionary."""
        text = self.run("systemctl", "show", unit, *(f"--property={name}" for name in properties))
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def wait_show(self, unit, seconds=30, **wanted):
        """Waits until the properties have these values."""
        return wait_until(lambda: self.show(unit, *wanted) == wanted, seconds,
                          lambda: f"{unit} on {self.name} to be {wanted}; it is {self.show(unit, *wanted)}\n"
                                  f"{self.journal(unit)}")

    def journal(self, unit, *options):
        return self.try_run("journalctl", "--no-pager", "-u", unit, *options).stdout
