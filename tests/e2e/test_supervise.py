"""backedpipd --supervise: the daemon as its child, started again when it dies, and replaced by a new version."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys

import jsonschema
import pytest

from support.daemon import REPOSITORY, ControlError, binary, run, write_config, write_private
from support.ports import free_port
from support.service import Service, client, server, until
from support.streams import echo_once
from support.supervised import Supervised
from support.targets import EchoTarget
from support.waiting import Deadline, wait_until


def children(pid):
    return [int(each) for each in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_gone(pid):
    """Until a process that is no child of ours has ended, whether its parent knows that yet or not."""

    def gone():
        try:
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    wait_until(gone, 20, f"the end of process {pid}")


def pending(pid):
    """The signals that wait for a process, as a mask."""
    return int(re.search(r"^ShdPnd:\s*(\w+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1], 16)


@pytest.fixture
def notify(tmp_path):
    """The end of NOTIFY_SOCKET that belongs to the supervisor's own manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(Deadline(20).left())
        yield sock


@pytest.fixture
def pair(tmp_path, start):
    """A server and a client, both supervised, and a function that opens a connection through them."""
    target = start(EchoTarget())
    port, local = free_port(), free_port()
    with (Supervised(tmp_path / "server", server(port, "%s:%d" % target.address)) as far,
          Supervised(tmp_path / "client", client(f"127.0.0.1:{local}", port)) as near):
        far.pid(), near.pid()

        def connect():
            return socket.create_connection(("127.0.0.1", local), timeout=Deadline(20).left())

        yield far, near, connect


@pytest.fixture
def installed(tmp_path):
    """A copy of the program that can be replaced."""
    path = tmp_path / "installed" / "backedpipd"
    path.parent.mkdir()
    shutil.copy2(binary("backedpipd"), path)
    return path


def install(path, source=None, text=None):
    """Replaces the file, as a package does: the running program keeps the old one."""
    fresh = path.with_suffix(".new")
    if source:
        shutil.copy2(source, fresh)
    else:
        fresh.write_text(text)
        fresh.chmod(0o755)
    fresh.replace(path)


def check_schema(name, value):
    schema = json.loads((REPOSITORY / "lib" / "control" / "schema" / f"{name}.json").read_text())
    jsonschema.validate(value, schema, cls=jsonschema.Draft202012Validator)


def require_no(messages, *words):
    assert not [message for message in messages for word in words if word in message]


# -- starting and ending ----------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sessions_are_served_and_a_signal_ends_both_in_order(pair, number):
    far, near, connect = pair
    for service in (near, far):
        assert children(service.process.pid) == [service.pid()]
    with connect() as application:
        echo_once(application)
    for service in (near, far):
        pid = service.pid()
        service.process.send_signal(number)
        assert service.wait_end() == 0, service.log()
        wait_gone(pid)
        assert "stopped" in service.log()


@pytest.mark.parametrize("command", ["serve", "connect"])
def test_commands_can_be_supervised(tmp_path, command):
    port, control = free_port(), tmp_path / "control.sock"
    options = {"serve": ["--service", "echo=127.0.0.1:1"], "connect": ["--peer", "127.0.0.1:1", "--service", "echo"]}
    with subprocess.Popen([binary("backedpipd"), "--supervise", command, "--listen", f"127.0.0.1:{port}", "--insecure",
                           "--control", str(control), *options[command]], stderr=subprocess.DEVNULL) as process:
        status = wait_until(lambda: run(binary("backedpipctl"), "--socket", str(control), "--json", "status").stdout,
                            20, "the daemon to answer")
        assert json.loads(status)["pid"] in children(process.pid)
        # The daemon's own command line has no --supervise.
        assert "--supervise" not in pathlib.Path(f"/proc/{children(process.pid)[0]}/cmdline").read_text().split("\0")
        process.terminate()
        assert process.wait(Deadline(20).left()) == 0


def test_a_daemon_that_ends_by_itself_ends_the_supervisor(tmp_path):
    with Supervised(tmp_path, server(free_port())) as service:
        service.pid()
        service.control.call("drain", timeout_s=0)
        assert service.wait_end() == 0


def test_what_is_wrong_at_the_start_is_told_as_without_a_supervisor(tmp_path):
    port = free_port()
    path = write_config(tmp_path / "good.json", server(port) | {"control": {"socket": "control.sock"}})
    wrong = write_private(tmp_path / "wrong.json", '{ "workers": "many" }\n')
    with socket.create_server(("127.0.0.1", port)):
        for options in (["--config", path], ["--config", wrong], ["--config", tmp_path / "missing.json"],
                        ["serve", "--listen", "nowhere", "--service", "a=b:1", "--insecure"], ["serve"], ["--nonsense"],
                        []):
            alone = run(binary("backedpipd"), *map(str, options))
            supervised = run(binary("backedpipd"), "--supervise", *map(str, options))
            assert alone.returncode in (1, 2)
            assert supervised.returncode == alone.returncode
            # Lines of the log carry a time.
            texts = [re.sub(r"(?m)^\d{4}-\d\d-\S+", "", done.stderr) for done in (alone, supervised)]
            assert texts[1] == texts[0], options


def test_the_end_of_a_daemon_that_was_never_ready_is_the_end_of_the_supervisor(tmp_path):
    """It dies by the same signal."""
    config = tmp_path / "waits.json"
    os.mkfifo(config)  # the daemon waits for somebody who writes its configuration
    with subprocess.Popen([binary("backedpipd"), "--supervise", "--config", str(config)]) as process:
        os.kill(wait_until(lambda: children(process.pid), 20, "the daemon")[0], signal.SIGKILL)
        assert process.wait(Deadline(20).left()) == -signal.SIGKILL


def test_stdio_refuses_a_supervisor(tmp_path):
    done = run(binary("backedpipd"), "--supervise", "stdio", "--peer", "127.0.0.1:1", "--service", "x", "--insecure")
    assert done.returncode == 2
    assert "--supervise does not go with stdio" in done.stderr


def test_a_check_needs_no_supervisor(tmp_path):
    path = write_config(tmp_path / "good.json", server(free_port()))
    done = run(binary("backedpipd"), "--supervise", "--config", str(path), "--check")
    assert (done.returncode, done.stdout) == (0, f"{path}: ok\n")
    assert run(binary("backedpipd"), "--supervise", "--version").stdout == run(binary("backedpipd"), "--version").stdout


# -- a daemon that dies -----------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT])
@pytest.mark.parametrize("side", ["client", "server"])
def test_a_daemon_that_dies_is_started_again(pair, side, number):
    far, near, connect = pair
    with connect() as application:
        echo_once(application)
    service = near if side == "client" else far
    if number != signal.SIGKILL:
        run("prlimit", "--pid", str(service.pid()), "--core=0")
    assert service.kill_daemon(number) in children(service.process.pid)
    with connect() as application:
        echo_once(application)
    assert f"was ended by signal {int(number)}; it is started again\n" in service.log()


def test_deaths_in_a_row_slow_the_starts_down(tmp_path):
    with Supervised(tmp_path, server(free_port())) as service:
        for _ in range(4):
            service.kill_daemon()
        waits = re.findall(r"signal 9; it is started again(?: in (\d+) ms)?\n", service.log())
        assert waits == ["", "10", "20", "40"]
        service.end()


def test_a_daemon_that_no_longer_starts_is_tried_again_until_it_does(tmp_path):
    port = free_port()
    with Supervised(tmp_path, server(port)) as service:
        old = service.pid()
        config = tmp_path / "backedpipd.json"
        good = config.read_text()
        config.write_text("{")
        os.kill(old, signal.SIGKILL)
        service.wait_log(r"the daemon exited with 1 before it was ready; it is started again in \d+ ms\n")
        config.write_text(good)
        service.another_pid(old)
        service.end()


def test_a_signal_while_there_is_no_daemon_ends_the_supervisor(tmp_path):
    with Supervised(tmp_path, server(free_port())) as service:
        old = service.pid()
        (tmp_path / "backedpipd.json").write_text("{")
        os.kill(old, signal.SIGKILL)
        service.wait_log("it is started again in 1000 ms")
        service.end()


def test_a_daemon_whose_supervisor_is_killed_ends_in_order(tmp_path):
    with Supervised(tmp_path, server(free_port())) as service:
        pid = service.pid()
        service.process.kill()
        wait_gone(pid)
        assert "signal 2\n" in service.log() and "stopped" in service.log()


# -- signals ----------------------------------------------------------------------------------


def test_a_hangup_is_passed_on(tmp_path):
    with Supervised(tmp_path, server(free_port())) as service:
        pid = service.pid()
        service.process.send_signal(signal.SIGHUP)
        service.wait_log("reload: 0 tunnels")
        assert service.pid() == pid
        service.end()


def test_a_hangup_waits_until_the_daemon_is_ready(tmp_path):
    """Before that it would end it."""
    config = tmp_path / "waits.json"
    os.mkfifo(config)
    control = tmp_path / "control.sock"
    with (open(tmp_path / "log", "wb") as log,
          subprocess.Popen([binary("backedpipd"), "--supervise", "--config", str(config)], stderr=log) as process):
        with open(config, "w", encoding="utf-8") as settings:  # opens once the daemon reads
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: not pending(process.pid), 20, "the supervisor to have taken the signal")
            json.dump(server(free_port()) | {"control": {"socket": "control.sock"}}, settings)
        daemon = children(process.pid)[0]
        wait_until(control.exists, 20, "the daemon")
        with open(config, "w", encoding="utf-8") as settings:  # opens once the daemon reads it again
            settings.write("{")
        wait_until(lambda: b"reload: nothing is changed" in (tmp_path / "log").read_bytes(), 20, "the reload")
        assert children(process.pid) == [daemon]
        process.terminate()
        assert process.wait(Deadline(20).left()) == 0


def test_other_signals_are_passed_on_too(tmp_path):
    with Supervised(tmp_path, server(free_port())) as service:
        old = service.pid()
        service.process.send_signal(signal.SIGUSR1)
        service.another_pid(old)
        assert f"was ended by signal {int(signal.SIGUSR1)}" in service.log()
        service.end()


def test_an_interrupt_from_the_terminal_reaches_the_daemon_once(tmp_path):
    """The terminal sends it to the whole group of processes, and a second signal would end a daemon at once."""
    with Supervised(tmp_path, server(free_port())) as service:
        pid = service.pid()
        assert os.getpgid(pid) != os.getpgid(service.process.pid)
        service.end()


# -- what it passes on ------------------------------------------------------------------------


def test_the_supervisors_own_manager_hears_of_the_daemon(tmp_path, notify):
    environment = {"NOTIFY_SOCKET": notify.getsockname(), "WATCHDOG_USEC": "200000"}
    with Supervised(tmp_path, server(free_port()), environment=environment,
                    before='export WATCHDOG_PID=$$;') as service:
        assert notify.recv(4096).decode() == "READY=1\nSTATUS=Sessions: 0 connected, 0 without a link"
        for _ in range(3):
            until(notify, "WATCHDOG=1")
        service.process.send_signal(signal.SIGHUP)
        assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", until(notify, "RELOADING=1")[-1])
        until(notify, "READY=1")
        old = service.pid()
        service.process.send_signal(signal.SIGUSR2)
        messages = until(notify, "READY=1")
        assert service.pid() != old
        require_no(messages, "STOPPING", "FDSTORE")
        service.end()
        assert until(notify, "STOPPING=1")[-1] == "STOPPING=1\nSTATUS=Stopping"


def test_sockets_of_the_manager_go_to_every_daemon(tmp_path, start):
    target = start(EchoTarget())
    port = free_port()
    with (socket.create_server(("127.0.0.1", 0)) as local,
          Service(tmp_path, server(port, "%s:%d" % target.address)),
          Supervised(tmp_path / "client", client(f"127.0.0.1:{free_port()}", port), listening={"echo": local})
          as service):
        def connect_and_echo():
            with socket.create_connection(local.getsockname(), timeout=Deadline(20).left()) as application:
                echo_once(application)

        connect_and_echo()
        service.kill_daemon()
        connect_and_echo()
        old = service.pid()
        service.process.send_signal(signal.SIGUSR2)
        service.another_pid(old)
        connect_and_echo()
        service.end()


# -- a new version ----------------------------------------------------------------------------


def test_an_upgrade_replaces_the_daemon_and_the_supervisor(tmp_path, installed):
    with Supervised(tmp_path, server(free_port()), program=installed) as service:
        old, inode = service.pid(), installed.stat().st_ino
        install(installed, binary("backedpipd"))
        assert installed.stat().st_ino != inode
        service.process.send_signal(signal.SIGUSR2)
        new = service.another_pid(old)
        wait_gone(old)
        assert children(service.process.pid) == [new]
        for pid in (new, service.process.pid):
            assert os.stat(f"/proc/{pid}/exe").st_ino == installed.stat().st_ino
        assert "BACKEDPIPE_SUPERVISOR_STATE" not in pathlib.Path(f"/proc/{new}/environ").read_text()
        # It is still the supervisor that it was.
        service.kill_daemon()
        service.end()


def test_backedpipctl_upgrades(tmp_path, installed):
    with Supervised(tmp_path, server(free_port()), program=installed) as service:
        old = service.pid()
        done = run(binary("backedpipctl"), "--socket", service.control.path, "upgrade")
        assert done.returncode == 0, done
        new = service.pid()
        assert new != old
        assert re.fullmatch(rf"upgraded: backedpipd \S+, pid {new}\n", done.stdout)
        done = run(binary("backedpipctl"), "--socket", service.control.path, "--json", "upgrade", "--no-wait")
        assert json.loads(done.stdout) == {"upgrading": True, "supervisor": service.process.pid}
        check_schema("upgrade", json.loads(done.stdout))
        service.another_pid(new)
        service.end()


def test_a_daemon_without_a_supervisor_says_how_it_is_upgraded(tmp_path):
    with Service(tmp_path, server(free_port()), {"BACKEDPIPE_SUPERVISOR": "1"}) as service:
        wait_until(lambda: pathlib.Path(service.control.path).exists(), 20, "the daemon")
        with pytest.raises(ControlError) as refused:
            service.control.call("upgrade")
        assert refused.value.code == -32009
        check_schema("error", refused.value.error)
        done = run(binary("backedpipctl"), "--socket", service.control.path, "upgrade")
        assert done.returncode == 1 and "systemctl restart backedpipd" in done.stderr
        service.end()


@pytest.mark.parametrize("text", ["not a program\n", "#!/bin/sh\nexit 1\n", "#!/nowhere/at/all\n"],
                         ids=["no program", "refuses", "no interpreter"])
def test_a_version_that_does_not_work_replaces_nothing(tmp_path, installed, text):
    with Supervised(tmp_path, server(free_port()), program=installed) as service:
        pid = service.pid()
        install(installed, text=text)
        service.process.send_signal(signal.SIGUSR2)
        service.wait_log(f"not upgraded: {installed} cannot replace this version, which goes on")
        assert service.pid() == pid
        install(installed, binary("backedpipd"))
        service.process.send_signal(signal.SIGUSR2)
        service.another_pid(pid)
        service.end()


def test_a_configuration_that_the_new_version_refuses_stops_the_upgrade(tmp_path):
    with Supervised(tmp_path, server(free_port())) as service:
        pid = service.pid()
        config = tmp_path / "backedpipd.json"
        config.write_text(config.read_text().replace('"accept"', '"acept"'))
        service.process.send_signal(signal.SIGUSR2)
        service.wait_log("not upgraded")
        assert '"acept"' in service.log()
        assert service.pid() == pid
        service.end()


def test_a_stop_during_an_upgrade_is_a_stop(tmp_path):
    with Supervised(tmp_path, server(free_port())) as service:
        pid = service.pid()
        service.process.send_signal(signal.SIGUSR2)
        service.wait_log("upgrading")
        service.process.send_signal(signal.SIGTERM)
        # The latter if the new daemon was just being started.
        assert service.wait_end() in (0, -signal.SIGINT), service.log()
        wait_gone(pid)


@pytest.mark.parametrize("before", ["", "trap '' INT TERM;"], ids=["", "signals were ignored"])
def test_a_stop_while_the_daemon_starts_is_a_stop(tmp_path, before):
    with Supervised(tmp_path, server(free_port()), before=before) as service:
        wait_until(lambda: children(service.process.pid), 20, "the daemon to start")
        service.process.send_signal(signal.SIGTERM)
        assert service.wait_end() in (0, -signal.SIGINT), service.log()


# -- what is kept -----------------------------------------------------------------------------

# In the place of a daemon: keeps one end of a pipe, or reads from the one that is kept.
STAND_IN = rf"""#!{sys.executable}
import os, signal, socket
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.connect(os.environ["NOTIFY_SOCKET"].replace("@", chr(0)))
names = os.environ["LISTEN_FDNAMES"].split(":")
assert os.environ["LISTEN_PID"] == str(os.getpid()) and os.environ["LISTEN_FDS"] == str(len(names))
assert os.environ["BACKEDPIPE_SUPERVISOR"] == str(os.getppid()) and int(os.environ["FDSTORE"]) >= 512
def tell(text, *descriptors):
    socket.send_fds(manager, [text.encode()], descriptors)
if "backedpipe-test" in names:
    print("found", sorted(names), os.read(3 + names.index("backedpipe-test"), 100), flush=True)
    tell("FDSTOREREMOVE=1\nFDNAME=backedpipe-gone")
else:
    reading, writing = os.pipe()
    os.write(writing, b"hello")
    tell("FDSTORE=1\nFDPOLL=0\nFDNAME=backedpipe-gone", writing)
    tell("FDSTORE=1\nFDPOLL=0\nFDNAME=backedpipe-test", reading)
tell("READY=1")
print("stands in as", os.getpid(), flush=True)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
while True:
    signal.pause()
"""


def test_what_the_daemon_stores_is_passed_to_the_next_one_and_through_an_upgrade(tmp_path, installed, notify):
    with (socket.create_server(("127.0.0.1", 0)) as given,
          Supervised(tmp_path, server(port := free_port()), program=installed, listening={f"accept-{port}": given},
                     environment={"NOTIFY_SOCKET": notify.getsockname()}) as service):
        old = service.pid()
        install(installed, text=STAND_IN)
        os.kill(old, signal.SIGKILL)
        service.wait_log("stands in as")
        messages = until(notify, "READY=1")  # of the real one
        first = int(service.wait_log(r"stands in as (\d+)")[0])
        os.kill(first, signal.SIGKILL)
        # Beside what the daemon before it has left.
        service.wait_log(rf"found \['accept-{port}', 'backedpipe-gone', .*'backedpipe-test', .*\] b'hello'")
        service.wait_log(r"stands in as \d+\n(?s:.*)stands in as \d+\n")
        # The real one is passed what is left, by a supervisor that has executed itself anew, and has no use for it.
        install(installed, binary("backedpipd"))
        service.process.send_signal(signal.SIGUSR2)
        service.wait_log("kept as \"backedpipe-test\" have no use any more")
        assert "backedpipe-gone" not in service.log().partition("upgrading")[2]
        service.pid()
        # Which it has told its supervisor.
        service.kill_daemon()
        assert service.log().count("have no use any more") == 1
        service.end()
    notify.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            messages.append(notify.recv(4096).decode())
    require_no(messages, "FDSTORE", "FDNAME")


# -- the first process ------------------------------------------------------------------------


def test_children_that_it_has_inherited_are_reaped(tmp_path):
    with Supervised(tmp_path, server(free_port()), before="true & true &") as service:
        pid = service.pid()
        wait_until(lambda: children(service.process.pid) == [pid], 20, "the other children to be gone")
        service.end()


def test_it_can_be_the_first_process_of_a_container(tmp_path):
    namespace = ("unshare", "--pid", "--fork", "--kill-child")
    if run(*namespace, "true").returncode != 0:
        pytest.skip("needs to make namespaces of processes")
    config = write_config(tmp_path / "config.json", server(free_port()) | {"control": {"socket": "control.sock"}})
    control = tmp_path / "control.sock"

    def pid_inside():
        done = run(binary("backedpipctl"), "--socket", str(control), "--json", "status")
        return done.returncode == 0 and json.loads(done.stdout)["pid"]

    with subprocess.Popen([*namespace, binary("backedpipd"), "--supervise", "--config", str(config)],
                          stderr=subprocess.DEVNULL) as process:
        old = wait_until(pid_inside, 20, "the daemon")
        supervisor = children(process.pid)[0]
        os.kill(children(supervisor)[0], signal.SIGKILL)
        wait_until(lambda: pid_inside() not in (False, old), 20, "another daemon")
        os.kill(supervisor, signal.SIGTERM)
        assert process.wait(Deadline(20).left()) == 0
