"""The image and config/docker/compose.yaml under a real Docker engine, which this starts for itself."""

import json
import os
import shutil
import subprocess
import time

import pytest

from support.daemon import REPOSITORY, keygen, run, write_private
from support.machine import must, slim_archive
from support.waiting import wait_until

DOCKER = "/usr/bin/docker"
BRIDGE = "/sys/class/net/docker0"
UID = 7700
BASE = "debian:bookworm-slim"
MIB = 1 << 20
TABLES = {"filter": ("INPUT", "FORWARD", "OUTPUT"), "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")}


def rules_to_restore():
    """Those of the machine. A table that it does not have counts as empty: left out, the engine's would stay."""
    rules = must("iptables-save")
    for table, chains in TABLES.items():
        if f"*{table}\n" not in rules:
            rules += "\n".join([f"*{table}", *(f":{chain} ACCEPT [0:0]" for chain in chains), "COMMIT", ""])
    return rules


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """The environment in which docker talks to an engine of our own."""
    # Sockets have short names, and overlayfs wants a real disk.
    directory = tmp_path_factory.mktemp("docker")
    address = f"unix://{directory}/sock"
    # What an engine does to the machine's network, it leaves behind.
    rules = rules_to_restore()
    had_bridge = os.path.exists(BRIDGE)
    with open(directory / "log", "wb") as log:
        process = subprocess.Popen(["dockerd", "--data-root", str(directory / "data"), "--exec-root",
                                    str(directory / "exec"), "--pidfile", str(directory / "pid"), "-H", address],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    environment = os.environ | {"DOCKER_HOST": address, "COMPOSE_PROJECT_NAME": "backedpipd"}

    def is_up():
        assert process.poll() is None, (directory / "log").read_text()
        return subprocess.run([DOCKER, "info"], env=environment, capture_output=True, check=False).returncode == 0

    try:
        wait_until(is_up, 60, "dockerd to answer")
        yield environment
    finally:
        process.terminate()
        process.wait(30)
        run("umount", str(directory / "exec" / "netns" / "default"))
        subprocess.run(["iptables-restore"], input=rules, text=True, check=True)
        if not had_bridge:
            must("ip", "link", "delete", "docker0")
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def docker(engine):
    def call(*arguments, timeout=60):
        return must(DOCKER, *map(str, arguments), env=engine, timeout=timeout).strip()

    return call


@pytest.fixture(scope="module")
def image(docker, engine):
    with open(slim_archive(), "rb") as archive:
        subprocess.run([DOCKER, "import", "-", BASE], env=engine, stdin=archive, check=True, capture_output=True)
    docker("build", "--network", "host", "-t", "backedpipd", REPOSITORY, timeout=1800)
    return "backedpipd"


@pytest.fixture(scope="module")
def stage(docker, engine, image, tmp_path_factory):
    """compose.yaml, up, in a copy of its folder; gives the folder."""
    folder = tmp_path_factory.mktemp("compose") / "docker"
    shutil.copytree(REPOSITORY / "config" / "docker", folder)
    keys = folder / "keys"
    keys.mkdir()
    os.chown(write_private(keys / "link.key", keygen("laptop")), UID, UID)
    must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / "id")
    shutil.copy(keys / "id.pub", keys / "authorized_keys")
    docker("build", "--network", "host", "-t", "backedpipd-target", "-f", folder / "sshd.Dockerfile", folder,
           timeout=600)
    try:
        must("docker-compose", "up", "-d", "--no-build", cwd=folder, env=engine, timeout=120)
        for name in ("client", "server"):
            wait_health(docker, f"backedpipd_{name}_1", "healthy")
        yield folder
    finally:
        subprocess.run(["docker-compose", "down", "-t", "5"], cwd=folder, env=engine, capture_output=True, check=False)


def wait_health(docker, container, wanted):
    def health():
        return docker("inspect", "-f", "{{.State.Health.Status}}", container)

    wait_until(lambda: health() == wanted, 60, lambda: f"{container} to be {wanted}; it is {health()}\n"
               f"{docker('logs', container)}")


class Shell:
    """An ssh session through the client, that answers each line with the same line."""

    def __init__(self, folder):
        self.process = subprocess.Popen(
            ["ssh", "-p", "2222", "-i", str(folder / "keys" / "id"), "-o", "StrictHostKeyChecking=no", "-o",
             "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "root@127.0.0.1", "cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def send(self, line):
        self.process.stdin.write(line + "\n")

    def expect(self, line):
        assert self.process.stdout.readline() == line + "\n", self.process.communicate()[1]


def status(docker, name):
    ask = 'backedpipctl --json status || [ $? = 4 ]'
    return json.loads(docker("exec", f"backedpipd_{name}_1", "sh", "-c", ask))


def daemon_pid(docker, container):
    """As it is inside; None while no daemon answers."""
    text = docker("exec", container, "sh", "-c", "backedpipctl --json status 2>/dev/null || true")
    return json.loads(text)["pid"] if text else None


def signal_inside(docker, container, name, pid):
    docker("exec", container, "sh", "-c", f"kill -{name} {pid}")


def checks(docker, container):
    """When the last checks of the container's health began."""
    return set(docker("inspect", "-f", "{{range .State.Health.Log}}{{.Start.UnixNano}} {{end}}", container).split())


def test_the_image_is_small_and_runs_as_nobody_special(docker, image):
    size, base = (int(docker("image", "inspect", "-f", "{{.Size}}", name)) for name in (image, BASE))
    print(f"image {size / MIB:.1f} MiB, of which {BASE} {base / MIB:.1f} MiB")
    assert size < 100 * MIB
    assert docker("run", "--rm", "--entrypoint", "id", image, "-u") == str(UID)
    assert docker("run", "--rm", image, "--version").startswith("backedpipd ")


def test_ssh_goes_through_networks_that_do_not_meet(docker, stage):
    with Shell(stage) as shell:
        shell.send("hello")
        shell.expect("hello")
        assert status(docker, "client")["sessions"]["connected"] == 1
    # The client has no way to the target but the link.
    target = docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "backedpipd_target_1")
    networks = docker("inspect", "-f", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}",
                      "backedpipd_client_1").split()
    assert target and sorted(networks) == ["backedpipd_applications", "backedpipd_link"]


def test_a_session_survives_a_network_that_is_pulled_out(docker, stage):
    with Shell(stage) as shell:
        shell.send("before")
        shell.expect("before")
        docker("network", "disconnect", "backedpipd_link", "backedpipd_client_1")
        shell.send("during")
        wait_until(lambda: status(docker, "client")["sessions"]["connected"] == 0, 40, "the link to be given up")
        docker("network", "connect", "backedpipd_link", "backedpipd_client_1")
        shell.expect("during")
        assert status(docker, "client")["sessions"]["connected"] == 1


def test_a_peer_that_is_down_does_not_make_the_client_sick(docker, stage):
    """Whoever restarts what is unhealthy would end the sessions that wait for their peer."""
    docker("stop", "backedpipd_server_1")
    try:
        with Shell(stage):
            wait_until(lambda: status(docker, "client")["peers"][0]["state"] == "down", 40, "the peer to be down")
            before = checks(docker, "backedpipd_client_1")
            wait_until(lambda: checks(docker, "backedpipd_client_1") - before, 40, "the next check of the client")
            assert docker("inspect", "-f", "{{.State.Health.FailingStreak}}", "backedpipd_client_1") == "0"
    finally:
        docker("start", "backedpipd_server_1")
    wait_health(docker, "backedpipd_server_1", "healthy")


def test_the_healthcheck_turns_and_comes_back(docker, stage, image):
    settings = ("--network", "backedpipd_link", "-v", f"{stage}/client.json:/etc/backedpipd/backedpipd.json:ro",
                "-v", f"{stage}/keys/link.key:/run/secrets/link.key:ro", "--read-only", "--tmpfs",
                f"/run/backedpipd:uid={UID},mode=0755", "--health-interval", "500ms", "--health-timeout", "1s",
                "--health-retries", "2")
    docker("run", "-d", "--name", "sick", *settings, image)
    try:
        wait_health(docker, "sick", "healthy")
        # The first process is the supervisor.
        pid = daemon_pid(docker, "sick")
        signal_inside(docker, "sick", "STOP", pid)
        wait_health(docker, "sick", "unhealthy")
        signal_inside(docker, "sick", "CONT", pid)
        wait_health(docker, "sick", "healthy")
    finally:
        docker("rm", "-f", "sick")


def test_a_daemon_that_dies_is_started_again_in_its_container(docker, stage):
    container = "backedpipd_client_1"
    count = docker("inspect", "-f", "{{.RestartCount}}", container)
    for change in (lambda pid: signal_inside(docker, container, "KILL", pid),
                   lambda _: docker("exec", container, "backedpipctl", "upgrade")):
        before = daemon_pid(docker, container)
        change(before)
        wait_until(lambda: daemon_pid(docker, container) not in (None, before), 20, "another daemon")
    assert docker("inspect", "-f", "{{.RestartCount}}", container) == count
    with Shell(stage) as shell:
        shell.send("after its death")
        shell.expect("after its death")


@pytest.mark.parametrize("side", ["server", "client"])
def test_it_ends_at_once_when_told_to_as_the_first_process(docker, stage, side):
    container = f"backedpipd_{side}_1"
    began = time.monotonic()
    docker("stop", "-t", "30", container)
    assert time.monotonic() - began < 15
    assert docker("inspect", "-f", "{{.State.ExitCode}} {{.State.OOMKilled}}", container) == "0 false"
    docker("start", container)
    wait_health(docker, container, "healthy")
    with Shell(stage) as shell:
        shell.send("after a restart")
        shell.expect("after a restart")
