"""The package under a booted systemd: a server and a client, joined by a wire, with a real sshd behind the server."""

import contextlib
import json
import re
import subprocess

import pytest

from support.daemon import keygen, run
from support.machine import must, package
from support.threads import StoppedThread, threads
from support.waiting import Deadline, wait_until

SERVER = "10.79.0.1"
LIVENESS = {"ping": "200ms", "suspect": "300ms", "dead": "1s"}
OWNER = {"owner": "backedpipd:backedpipd", "mode": "0600"}
KEY_LINE = keygen("laptop")


def server_settings(**changes):
    return {"control": {"socket": "/run/backedpipd/control.sock", "group": "backedpipd"}, "liveness": LIVENESS,
            "accept": [{"listen": "0.0.0.0:7700", "key_file": "clients.keys", "allow": {"*": ["ssh"]}}],
            "services": {"ssh": {"target": "127.0.0.1:22"}}} | changes


def client_settings(port=2222, name="backedpipd", key="office.key", **changes):
    return {"control": {"socket": f"/run/{name}/control.sock", "group": "backedpipd"}, "liveness": LIVENESS,
            "peers": {"office": {"endpoints": [f"{SERVER}:7700"], "key_file": key}},
            "tunnels": [tunnel("ssh", port)]} | changes


def tunnel(name, port):
    return {"name": name, "listen": f"127.0.0.1:{port}", "peer": "office", "service": "ssh"}


def configure(machine, settings, unit="backedpipd"):
    machine.write("/etc/backedpipd/backedpipd.json", json.dumps(settings))
    machine.run("systemctl", "restart", unit)
    machine.wait_show(unit, ActiveState="active")


@pytest.fixture(scope="module")
def installed(machines):
    """What the package left behind on a machine where nothing was changed yet."""
    server, _ = machines
    return {"unit": server.show("backedpipd", "ActiveState", "UnitFileState", "User", "StatusText", "NRestarts"),
            "status": server.try_run("backedpipctl", "--json", "status"),
            "journal": [json.loads(line) for line in server.journal("backedpipd", "-o", "json").splitlines()],
            "listening": server.run("ss", "-Hltn"),
            "keys": server.run("stat", "-c", "%U %G %a", "/etc/backedpipd/clients.keys").strip(),
            "check": server.try_run("runuser", "-u", "backedpipd", "--", "backedpipd", "--config",
                                    "/etc/backedpipd/backedpipd.json", "--check")}


@pytest.fixture(scope="module")
def pair(machines, installed):
    """Both configured, with a key for ssh as well."""
    server, client = machines
    server.write("/etc/backedpipd/clients.keys", KEY_LINE, **OWNER)
    client.write("/etc/backedpipd/office.key", KEY_LINE, **OWNER)
    configure(server, server_settings())
    configure(client, client_settings())
    client.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/.ssh/id_ed25519")
    server.write("/root/.ssh/authorized_keys", client.run("cat", "/root/.ssh/id_ed25519.pub"), mode="0600")
    return server, client


def ssh(client, *command, port=2222):
    return client.command("ssh", "-p", port, "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR", "-o",
                          "ConnectTimeout=20", "root@127.0.0.1", *command)


class Shell:
    """An ssh session that answers each line with the same line."""

    def __init__(self, client, port=2222):
        self.process = subprocess.Popen(ssh(client, "cat", port=port), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, bufsize=1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def send(self, line):
        self.process.stdin.write(line + "\n")

    def expect(self, line):
        assert self.process.stdout.readline() == line + "\n", self.process.poll()

    def echo(self, line):
        self.send(line)
        self.expect(line)


def only_session(machine):
    sessions = json.loads(machine.run("backedpipctl", "--json", "sessions"))
    assert len(sessions) == 1, sessions
    return sessions[0]


# -- as installed -----------------------------------------------------------------------------


def test_the_package_runs_as_installed(installed):
    assert installed["unit"] == {"ActiveState": "active", "UnitFileState": "enabled", "User": "backedpipd",
                                 "StatusText": "Sessions: 0 connected, 0 without a link", "NRestarts": "0"}
    assert installed["status"].returncode == 0
    assert [entry["listen"] for entry in json.loads(installed["status"].stdout)["listeners"]] == ["127.0.0.1:7700"]
    assert installed["keys"] == "backedpipd backedpipd 600"
    assert installed["check"].returncode == 0, installed["check"]


def test_as_installed_it_listens_on_the_loopback_only(installed):
    listening = re.findall(r"\s(\S+):7700\s", installed["listening"])
    assert set(listening) == {"127.0.0.1"}


def test_the_journal_has_priorities_and_one_time(installed):
    own = [entry for entry in installed["journal"] if entry["SYSLOG_IDENTIFIER"] == "backedpipd"]
    assert any(entry["MESSAGE"].startswith("listening for links on 127.0.0.1:7700") for entry in own), own
    # Warnings are about limits of the machine that runs the tests, which its containers cannot exceed.
    assert {entry["PRIORITY"] for entry in own if "file descriptors" not in entry["MESSAGE"]} == {"6"}


def test_units_are_well_formed_and_locked_in(machines):
    server, _ = machines
    for unit in ("backedpipd.service", "backedpipd@one.service", "backedpipd.socket"):
        done = server.try_run("systemd-analyze", "verify", "--man=no", unit)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for unit in ("backedpipd.service", "backedpipd@.service"):
        server.run("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=15",
                   f"/usr/lib/systemd/system/{unit}")


# -- at work ----------------------------------------------------------------------------------


def test_ssh_survives_a_cut_of_the_wire(pair):
    server, client = pair
    with Shell(client) as shell:
        shell.echo("before")
        client.wait_show("backedpipd", StatusText="Sessions: 1 connected, 0 without a link")
        before = only_session(client)
        must("ip", "-n", server.namespace, "link", "set", "wire", "down")
        shell.send("during")
        client.wait_show("backedpipd", StatusText="Sessions: 0 connected, 1 without a link")
        must("ip", "-n", server.namespace, "link", "set", "wire", "up")
        shell.expect("during")
        after = only_session(client)
        assert after["id"] == before["id"] and after["reconnects"] > before["reconnects"]
        assert shell.process.poll() is None


def test_the_group_may_ask_and_others_may_not(pair):
    server, _ = pair
    server.run("useradd", "member", "--groups", "backedpipd")
    server.run("useradd", "stranger")
    done = server.try_run("runuser", "-u", "member", "--", "backedpipctl", "status")
    assert done.returncode == 0, done
    done = server.try_run("runuser", "-u", "stranger", "--", "backedpipctl", "status")
    assert done.returncode == 3 and "ermission denied" in done.stderr, done


def watchdog_timeouts(machine):
    return machine.journal("backedpipd").count("Watchdog timeout")


@pytest.mark.parametrize("stuck", ["daemon", "worker"])
def test_a_stuck_daemon_is_killed_and_started_again(pair, stuck):
    _, client = pair
    client.write("/etc/systemd/system/backedpipd.service.d/watchdog.conf",
                 "[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\n")
    client.run("systemctl", "daemon-reload")
    client.run("systemctl", "restart", "backedpipd")
    before = client.show("backedpipd", "MainPID", "NRestarts")
    timeouts = watchdog_timeouts(client)
    with Shell(client) as shell:
        # Twice the watchdog's time: that it is fed is all that keeps the daemon alive.
        ended = Deadline(5)
        while not ended.passed():
            shell.echo("alive")
    assert client.show("backedpipd", "MainPID", "NRestarts") == before
    with contextlib.ExitStack() as stack:
        if stuck == "daemon":
            client.run("kill", "-STOP", before["MainPID"])
        else:
            stack.enter_context(StoppedThread(threads(client.pid_outside(before["MainPID"]))[-1]))
        client.wait_show("backedpipd", ActiveState="active", NRestarts=str(int(before["NRestarts"]) + 1))
    assert client.show("backedpipd", "MainPID")["MainPID"] != before["MainPID"]
    assert watchdog_timeouts(client) == timeouts + 1
    with Shell(client) as shell:
        shell.echo("again")
    client.run("rm", "-r", "/etc/systemd/system/backedpipd.service.d")
    client.run("systemctl", "daemon-reload")


def test_systemd_listens_for_the_daemon(pair):
    server, client = pair
    server.run("systemctl", "stop", "backedpipd")
    server.run("systemctl", "start", "backedpipd.socket")
    assert server.show("backedpipd", "ActiveState")["ActiveState"] == "inactive"
    with Shell(client) as shell:
        shell.echo("started by a connection")
        assert server.show("backedpipd", "ActiveState")["ActiveState"] == "active"
        listeners = json.loads(server.run("backedpipctl", "--json", "status"))["listeners"]
        assert [entry["sessions"] for entry in listeners] == [1]
        # The one on the port is systemd's, which is for IPv6 as well, and which all workers share.
        assert re.findall(r"(\S+):7700\s", server.run("ss", "-Hltn")) == ["*"]
        server.run("systemctl", "reload", "backedpipd")
        server.wait_show("backedpipd", ActiveState="active", SubState="running")
        with contextlib.ExitStack() as stack:
            for number in range(8):
                stack.enter_context(Shell(client)).echo(f"{number} after a reload")
        shell.echo("still the first")
    # A restart turns nobody away: who comes meanwhile waits in the queue.
    server.run("systemctl", "restart", "backedpipd")
    with Shell(client) as shell:
        shell.echo("after a restart")
    server.run("systemctl", "stop", "backedpipd.socket", "backedpipd.service")
    server.run("systemctl", "start", "backedpipd.service")


def test_a_second_instance_runs_beside_the_first(pair):
    _, client = pair
    client.write("/etc/backedpipd/office.json", json.dumps(client_settings(2223, "backedpipd-office")))
    client.run("systemctl", "start", "backedpipd@office")
    with Shell(client, port=2223) as shell:
        shell.echo("through the second")
        status = json.loads(client.run("backedpipctl", "--socket", "/run/backedpipd-office/control.sock", "--json",
                                       "status"))
        assert status["sessions"]["connected"] == 1
    client.run("systemctl", "stop", "backedpipd@office")
    assert client.show("backedpipd", "ActiveState")["ActiveState"] == "active"
    client.run("backedpipctl", "status")


def test_keys_can_be_credentials_that_only_root_can_read(pair):
    _, client = pair
    client.write("/root/office.key", KEY_LINE, mode="0600")
    client.write("/etc/systemd/system/backedpipd@secret.service.d/key.conf",
                 "[Service]\nLoadCredential=office.key:/root/office.key\n")
    path = "/run/credentials/backedpipd@secret.service/office.key"
    client.write("/etc/backedpipd/secret.json", json.dumps(client_settings(2224, "backedpipd-secret", path)))
    client.run("systemctl", "daemon-reload")
    done = client.try_run("systemctl", "start", "backedpipd@secret")
    assert done.returncode == 0, client.journal("backedpipd@secret")
    with Shell(client, port=2224) as shell:
        shell.echo("with a credential")
    client.run("systemctl", "stop", "backedpipd@secret")


def test_the_unit_has_lines_for_keys_that_only_root_can_read(pair):
    """In a copy of the unit they are taken out of their comments as they stand there."""
    server, client = pair
    server.write("/root/clients.keys", KEY_LINE, mode="0600")
    text, count = re.subn(r"^#(?=LoadCredential=|ExecReload=)", "",
                          server.run("cat", "/usr/lib/systemd/system/backedpipd@.service"), flags=re.MULTILINE)
    assert count == 3
    server.write("/etc/systemd/system/backedpipd@vault.service", text)
    accept = {"listen": "0.0.0.0:7701", "key_file": "/run/credentials/backedpipd@vault.service/clients.keys",
              "allow": {"*": ["ssh"]}}
    server.write("/etc/backedpipd/vault.json", json.dumps(server_settings(
        accept=[accept], control={"socket": "/run/backedpipd-vault/control.sock"})))
    server.run("systemctl", "daemon-reload")
    done = server.try_run("systemctl", "start", "backedpipd@vault")
    assert done.returncode == 0, server.journal("backedpipd@vault")
    assert server.try_run("runuser", "-u", "backedpipd", "--", "cat", "/root/clients.keys").returncode != 0
    settings = client_settings(2226, "backedpipd-vault")
    settings["peers"]["office"]["endpoints"] = [f"{SERVER}:7701"]
    client.write("/etc/backedpipd/vault.json", json.dumps(settings))
    client.run("systemctl", "start", "backedpipd@vault")
    with Shell(client, port=2226) as shell:
        shell.echo("with the lines of the unit")
        pid = server.show("backedpipd@vault", "MainPID")
        server.run("systemctl", "reload", "backedpipd@vault")
        wait_until(lambda: "reload: 0 tunnels" in server.journal("backedpipd@vault"), 20, "the reload")
        assert server.show("backedpipd@vault", "MainPID") == pid
        shell.echo("after a reload")
    client.run("systemctl", "stop", "backedpipd@vault")
    server.run("systemctl", "stop", "backedpipd@vault")
    server.run("rm", "/etc/systemd/system/backedpipd@vault.service", "/etc/backedpipd/vault.json")
    server.run("systemctl", "daemon-reload")


def test_a_wrong_configuration_is_told_in_the_journal(pair):
    _, client = pair
    client.write("/etc/backedpipd/wrong.json", '{ "tunels": [] }')
    assert client.try_run("systemctl", "start", "backedpipd@wrong").returncode != 0
    assert 'found unknown key "tunels"; did you mean "tunnels"?' in client.journal("backedpipd@wrong")
    client.run("systemctl", "stop", "backedpipd@wrong")


def test_a_reload_lets_a_new_client_in_and_keeps_sessions(pair):
    server, client = pair
    newcomer = keygen("newcomer")
    client.write("/etc/backedpipd/new.key", newcomer, **OWNER)
    client.write("/etc/backedpipd/new.json", json.dumps(client_settings(2225, "backedpipd-new", "new.key")))
    client.run("systemctl", "start", "backedpipd@new")
    with Shell(client) as shell:
        shell.echo("before")
        pid = server.show("backedpipd", "MainPID")
        assert run(*ssh(client, "true", port=2225), timeout=30).returncode != 0
        server.write("/etc/backedpipd/clients.keys", KEY_LINE + newcomer, **OWNER)
        server.run("systemctl", "reload", "backedpipd")
        server.wait_show("backedpipd", ActiveState="active", SubState="running")
        with Shell(client, port=2225) as other:
            other.echo("in")
        shell.echo("after")
        # What is broken is refused with the reason, and changes nothing.
        server.write("/etc/backedpipd/clients.keys", "newcomer:1234\n", **OWNER)
        done = server.try_run("systemctl", "reload", "backedpipd")
        assert done.returncode != 0
        assert "clients.keys" in server.journal("backedpipd", "-n", "20")
        with Shell(client, port=2225) as other:
            other.echo("still in")
        assert server.show("backedpipd", "MainPID") == pid
    server.write("/etc/backedpipd/clients.keys", KEY_LINE, **OWNER)
    client.run("systemctl", "stop", "backedpipd@new")


def test_a_reload_adds_a_tunnel_while_a_session_lives(pair):
    server, client = pair
    with Shell(client) as shell:
        shell.echo("before")
        pid = client.show("backedpipd", "MainPID")
        client.write("/etc/backedpipd/backedpipd.json",
                     json.dumps(client_settings(tunnels=[tunnel("ssh", 2222), tunnel("more", 2227)])))
        client.run("systemctl", "reload", "backedpipd")
        client.wait_show("backedpipd", ActiveState="active", SubState="running")
        with Shell(client, port=2227) as other:
            other.echo("through the new tunnel")
            shell.echo("beside it")
        # And takes it away again.
        client.write("/etc/backedpipd/backedpipd.json", json.dumps(client_settings()))
        client.run("systemctl", "reload", "backedpipd")
        client.wait_show("backedpipd", ActiveState="active", SubState="running")
        assert run(*ssh(client, "true", port=2227), timeout=30).returncode != 0
        shell.echo("after")
        assert client.show("backedpipd", "MainPID") == pid


def test_a_daemon_that_has_drained_is_inactive_and_stays_so(pair):
    _, client = pair
    client.write("/etc/backedpipd/drained.json", json.dumps(client_settings(2228, "backedpipd-drained")))
    client.run("systemctl", "start", "backedpipd@drained")
    with Shell(client, port=2228) as shell:
        shell.echo("before")
        client.run("backedpipctl", "--socket", "/run/backedpipd-drained/control.sock", "drain", "--no-wait")
        client.wait_show("backedpipd@drained", ActiveState="active",
                         StatusText="Draining. Sessions: 1 connected, 0 without a link")
        assert run(*ssh(client, "true", port=2228), timeout=30).returncode != 0
        shell.echo("nobody is cut off")
    client.wait_show("backedpipd@drained", ActiveState="inactive", SubState="dead", Result="success", NRestarts="0",
                     ExecMainStatus="0")
    # Restart= would have had its second by now.
    since = Deadline(2)
    while not since.passed():
        assert client.show("backedpipd@drained", "ActiveState")["ActiveState"] == "inactive"


# -- the journal ------------------------------------------------------------------------------


def entries(machine, *matches):
    return [json.loads(line) for line in machine.run("journalctl", "-o", "json", *matches).splitlines()]


def test_one_command_tells_what_happened_to_a_session(pair):
    server, client = pair
    with Shell(client) as shell:
        shell.echo("before")
        session = only_session(client)["id"]
        client.run("backedpipctl", "reconnect", session)
        wait_until(lambda: only_session(client)["generation"] > 1, 20, "another link")
        shell.echo("after")
    for machine in pair:
        story = wait_until(lambda: next((found for found in [entries(machine, f"BACKEDPIPE_SESSION={session}")]
                                         if found and found[-1].get("BACKEDPIPE_EVENT") == "close"), None),
                           20, "the end of the session")
        events = [entry["BACKEDPIPE_EVENT"] for entry in story if "BACKEDPIPE_EVENT" in entry]
        assert events[:2] == ["open", "attach"] and events[-2] in ("attach", "takeover") and events[-1] == "close"
        assert all(session in entry["MESSAGE"] for entry in story)
        assert {entry["_SYSTEMD_UNIT"] for entry in story} == {"backedpipd.service"}
        assert {entry["SYSLOG_IDENTIFIER"] for entry in story} == {"backedpipd"}
        # Together with what it was asked for in the manual.
        told = machine.run("journalctl", "-u", "backedpipd", f"BACKEDPIPE_SESSION={session}", "--since", "-10min",
                           "-o", "cat").splitlines()
        assert told == [entry["MESSAGE"] for entry in story]
        assert session in machine.run("journalctl", "-F", "BACKEDPIPE_SESSION").split()
        lost = machine.run("journalctl", "-u", "backedpipd", "BACKEDPIPE_EVENT=detach", "--since", "today", "-o", "cat")
        assert lost and all(": detached: " in line for line in lost.splitlines())
    # Nothing took the other way, which has no fields.
    assert entries(client, "-u", "backedpipd", "_TRANSPORT=journal") and not [
        entry for entry in entries(client, "_SYSTEMD_UNIT=backedpipd.service", "_TRANSPORT=stdout")
        if entry["MESSAGE"].startswith("session ")]


def test_json_in_the_journal_has_priorities_and_fields_as_well(pair):
    _, client = pair
    settings = client_settings(2229, "backedpipd-json", log={"format": "json"})
    settings["peers"]["office"]["endpoints"] = [f"{SERVER}:1"]
    client.write("/etc/backedpipd/json.json", json.dumps(settings))
    client.run("systemctl", "start", "backedpipd@json")
    with Shell(client, port=2229):
        down = wait_until(lambda: entries(client, "-u", "backedpipd@json", "BACKEDPIPE_EVENT=peer_down"), 20,
                          "the peer to be down")[0]
    assert (down["PRIORITY"], down["BACKEDPIPE_PEER"]) == ("4", "office")
    message = json.loads(down["MESSAGE"])
    assert (message["level"], message["event"]["event"], message["event"]["peer"]) == ("warning", "peer_down", "office")
    for entry in entries(client, "_SYSTEMD_UNIT=backedpipd@json.service"):
        assert {"warning": "4", "info": "6"}[json.loads(entry["MESSAGE"])["level"]] == entry["PRIORITY"]
    client.run("systemctl", "stop", "backedpipd@json")


# -- restarts ---------------------------------------------------------------------------------


def restart(machine):
    # Many restarts in a minute are otherwise refused.
    machine.run("systemctl", "reset-failed", "backedpipd")
    machine.run("systemctl", "restart", "backedpipd")


def test_ssh_and_scp_survive_a_hundred_restarts(pair):
    server, client = pair
    server.run("sh", "-c", "head -c 300M /dev/urandom >/root/large")
    sums = server.run("sha256sum", "/root/large").split()[0]
    scp = client.command("scp", "-q", "-P", "2222", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR",
                         "root@127.0.0.1:/root/large", "/root/copy")
    copies = 0
    with Shell(client) as shell:
        copy = None
        for number in range(50):
            if copy is None:
                copy = subprocess.Popen(scp, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for machine in (server, client):
                shell.send(f"{number}")
                restart(machine)
                shell.expect(f"{number}")
            if copy.poll() is not None:
                assert (copy.returncode, copy.communicate()) == (0, (b"", b""))
                assert client.run("sha256sum", "/root/copy").split()[0] == sums
                copies += 1
                copy = None
        if copy is not None:
            assert (copy.communicate(timeout=Deadline(60).left()), copy.returncode) == ((b"", b""), 0)
            assert client.run("sha256sum", "/root/copy").split()[0] == sums
            copies += 1
    assert copies > 0
    for machine in pair:
        continuity = json.loads(machine.run("backedpipctl", "--json", "status"))["continuity"]
        assert continuity["kept"] and continuity["restarts"] >= 50 and continuity["lost"] == 0
        machine.run("systemctl", "reset-failed", "backedpipd")


@pytest.mark.parametrize("which", ["server", "client"])
def test_a_stop_for_good_leaves_nothing_behind(pair, which):
    server, client = pair
    gone, other = (server, client) if which == "server" else (client, server)
    settings = {"limits": {"restart_grace": "2s"}}
    configure(server, server_settings(**settings))
    configure(client, client_settings(**settings))
    with Shell(client) as shell:
        shell.echo("before")
        session = only_session(other)["id"]
        gone.run("systemctl", "stop", "backedpipd")
        wait_until(lambda: f"session {session}: ended: expired" in other.journal("backedpipd"), 20,
                   lambda: f"the end of the session:\n{other.journal('backedpipd')}")
        # ssh hears of it as a reset.
        assert shell.process.wait(Deadline(20).left()) == 255
    assert json.loads(other.run("backedpipctl", "--json", "sessions")) == []
    gone.run("systemctl", "start", "backedpipd")
    configure(server, server_settings())
    configure(client, client_settings())
    with Shell(client) as shell:
        shell.echo("a new one")


def test_a_reboot_ends_sessions_visibly(pair):
    server, client = pair
    with Shell(client) as shell:
        shell.echo("before")
        server.reboot()
        assert shell.process.wait(Deadline(60).left()) == 255
    server.wait_show("backedpipd", ActiveState="active")
    with Shell(client) as shell:
        shell.echo("after")


# -- the life of the package ------------------------------------------------------------------


def older_package(machine):
    """The same package with a lower version, made inside the machine."""
    machine.run("sh", "-ec", f"""
        dpkg-deb --raw-extract /packages/{package('backedpipd').name} /root/older
        sed -i 's/^Version: .*/Version: 0.0.9/' /root/older/DEBIAN/control
        dpkg-deb --build /root/older /root/older.deb""")
    return "/root/older.deb"


def test_upgrades_and_downgrades_keep_settings_and_sessions(pair):
    server, client = pair
    files = "/etc/backedpipd/backedpipd.json", "/etc/backedpipd/clients.keys"
    with Shell(client) as shell:
        for machine in pair:
            before = machine.try_run("cat", *files).stdout
            current = f"/packages/{package('backedpipd').name}"
            for file in (current, older_package(machine), current):
                pid = machine.show("backedpipd", "MainPID")
                shell.echo(f"before {file}")
                machine.run("dpkg", "-i", "--force-confold", file)
                machine.wait_show("backedpipd", ActiveState="active", SubState="running")
                shell.echo(f"after {file}")
                assert machine.show("backedpipd", "MainPID") != pid, "it has been restarted"
            assert machine.try_run("cat", *files).stdout == before


def test_an_upgrade_from_a_version_that_keeps_no_sessions_restarts_nothing(pair):
    server, client = pair
    # systemd has nothing of a daemon that is given no descriptor store.
    server.write("/etc/systemd/system/backedpipd.service.d/store.conf",
                 "[Service]\nFileDescriptorStoreMax=0\nEnvironment=FDSTORE=\n")
    server.run("systemctl", "daemon-reload")
    server.run("systemctl", "restart", "backedpipd")
    with Shell(client) as shell:
        shell.echo("before")
        pid = server.show("backedpipd", "MainPID")
        said = server.run("dpkg", "-i", "--force-confold", f"/packages/{package('backedpipd').name}")
        assert "systemctl restart backedpipd" in said
        shell.echo("after")
        assert server.show("backedpipd", "MainPID") == pid
    server.run("rm", "-r", "/etc/systemd/system/backedpipd.service.d")
    server.run("systemctl", "daemon-reload")
    server.run("systemctl", "restart", "backedpipd")


def test_a_service_that_was_disabled_stays_so(pair):
    server, _ = pair
    server.run("systemctl", "disable", "backedpipd")
    server.run("dpkg", "-i", "--force-confold", f"/packages/{package('backedpipd').name}")
    assert server.show("backedpipd", "UnitFileState")["UnitFileState"] == "disabled"


def test_it_is_removed_cleanly(pair):
    server, _ = pair
    files = server.run("dpkg", "-L", "backedpipd").split()
    server.run("dpkg", "--remove", "backedpipd")
    left = server.show("backedpipd", "LoadState", "ActiveState")
    assert left["LoadState"] == "not-found" and left["ActiveState"] in ("inactive", "failed")
    assert server.try_run("pgrep", "-x", "backedpipd").stdout == ""
    kept = ["/etc/backedpipd/backedpipd.json", "/etc/backedpipd/clients.keys"]
    server.run("test", "-e", kept[0], "-a", "-e", kept[1])
    server.run("dpkg", "--purge", "backedpipd")
    gone = [path for path in files if "backedpip" in path] + kept + ["/var/lib/backedpipd", "/run/backedpipd"]
    assert server.run("sh", "-c", 'for path; do [ ! -e "$path" ] || echo "$path"; done', "sh", *gone) == ""
    assert "backedpipd" not in server.run("find", "/etc/systemd", "-name", "*backedpipd*")
