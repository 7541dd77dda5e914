"""What a daemon says to the service manager that started it, and takes from it; the real one is in tests/system."""

import contextlib
import json
import os
import re
import signal
import socket

import pytest

from support.daemon import binary, keygen, write_private
from support.ports import free_port
from support.service import Service, client, server, until
from support.streams import expect_reset
from support.targets import EchoTarget
from support.threads import StoppedThread, threads
from support.waiting import Deadline, wait_until


@pytest.fixture
def notify(tmp_path):
    """The manager's end of NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(Deadline(10).left())
        yield sock


def require_silence(notify):
    """Nothing for longer than any watchdog here allows."""
    notify.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            notify.recv(4096)
    notify.settimeout(0.5)
    with pytest.raises(TimeoutError):
        notify.recv(4096)
    notify.settimeout(Deadline(10).left())


def test_ready_comes_when_everything_listens_and_stopping_at_the_end(tmp_path, notify):
    port = free_port()
    with Service(tmp_path, server(port), {"NOTIFY_SOCKET": notify.getsockname()}) as service:
        assert notify.recv(4096).decode() == "READY=1\nSTATUS=Sessions: 0 connected, 0 without a link"
        socket.create_connection(("127.0.0.1", port)).close()
        assert service.control.status()["pid"] == service.process.pid
        service.end()
        assert until(notify, "STOPPING=1")[-1].startswith("STOPPING=1\n")


def test_a_daemon_that_cannot_start_does_not_claim_to_be_ready(tmp_path, notify):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        with Service(tmp_path, server(holder.getsockname()[1]), {"NOTIFY_SOCKET": notify.getsockname()}) as service:
            assert service.process.wait(Deadline(10).left()) == 1
    notify.setblocking(False)
    with pytest.raises(BlockingIOError):
        notify.recv(4096)


def test_the_status_follows_the_sessions(tmp_path, notify, start):
    target = start(EchoTarget())
    port, local = free_port(), free_port()
    (tmp_path / "server").mkdir()
    (tmp_path / "client").mkdir()
    with (Service(tmp_path / "server", server(port, "%s:%d" % target.address)),
          Service(tmp_path / "client", client(f"127.0.0.1:{local}", port), {"NOTIFY_SOCKET": notify.getsockname()})):
        until(notify, "READY=1")
        with socket.create_connection(("127.0.0.1", local)) as application:
            application.sendall(b"hello")
            assert application.recv(5) == b"hello"
            until(notify, "STATUS=Sessions: 1 connected, 0 without a link")
        until(notify, "STATUS=Sessions: 0 connected, 0 without a link")


def test_the_watchdog_is_fed_until_the_daemon_is_stuck(tmp_path, notify):
    environment = {"NOTIFY_SOCKET": notify.getsockname(), "WATCHDOG_USEC": "200000"}
    with Service(tmp_path, server(free_port()), environment) as service:
        until(notify, "READY=1")
        for _ in range(3):
            until(notify, "WATCHDOG=1")
        service.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, service.process.pid, os.WSTOPPED)
        require_silence(notify)
        service.process.send_signal(signal.SIGCONT)
        until(notify, "WATCHDOG=1")


@pytest.mark.parametrize("worker", [0, 1])
def test_the_watchdog_is_not_fed_while_one_worker_is_stuck(tmp_path, notify, worker):
    environment = {"NOTIFY_SOCKET": notify.getsockname(), "WATCHDOG_USEC": "200000"}
    with Service(tmp_path, server(free_port()) | {"workers": 2}, environment) as service:
        until(notify, "READY=1")
        with StoppedThread(threads(service.process.pid)[-2:][worker]):
            require_silence(notify)
        until(notify, "WATCHDOG=1")


# -- sockets that were opened for it ----------------------------------------------------------


def test_listeners_are_taken_from_the_manager_by_name(tmp_path, notify, start):
    target = start(EchoTarget())
    (tmp_path / "server").mkdir()
    (tmp_path / "client").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as link, socket.create_server(("127.0.0.1", 0)) as local:
        # Where the settings say another port, the socket that was passed wins.
        port = free_port()
        with (Service(tmp_path / "server", server(port, "%s:%d" % target.address), listening={f"accept-{port}": link}),
              Service(tmp_path / "client", client(f"127.0.0.1:{free_port()}", link.getsockname()[1]),
                      {"NOTIFY_SOCKET": notify.getsockname()}, listening={"echo": local}) as service):
            until(notify, "READY=1")
            with socket.create_connection(local.getsockname()) as application:
                application.sendall(b"hello")
                assert application.recv(5) == b"hello"
            listen = service.control.status()["tunnels"][0]["listen"]
            assert listen == f"127.0.0.1:{local.getsockname()[1]}"


def test_one_passed_socket_is_shared_by_all_workers(tmp_path, notify, start):
    target = start(EchoTarget())
    (tmp_path / "server").mkdir()
    (tmp_path / "client").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as link, socket.create_server(("127.0.0.1", 0)) as local:
        port = free_port()
        from_server = server(port, "%s:%d" % target.address) | {"workers": 3}
        with (Service(tmp_path / "server", from_server, listening={f"accept-{port}": link}),
              Service(tmp_path / "client", client(f"127.0.0.1:{free_port()}", link.getsockname()[1]) | {"workers": 3},
                      {"NOTIFY_SOCKET": notify.getsockname()}, listening={"echo": local}) as service,
              contextlib.ExitStack() as stack):
            until(notify, "READY=1")
            # With all workers waiting for one socket, chance says which of them gets a connection.
            def all_have_some():
                application = stack.enter_context(socket.create_connection(local.getsockname()))
                application.sendall(b"hello")
                assert application.recv(5) == b"hello"
                return all(worker["sessions"] > 0 for worker in service.control.status()["workers"])

            wait_until(all_have_some, 20, "each worker to have a session")


def test_the_connection_that_made_the_manager_start_a_daemon_is_reset_when_that_is_killed(tmp_path):
    with (socket.create_server(("127.0.0.1", 0)) as local,
          socket.create_connection(local.getsockname(), timeout=10) as application,
          Service(tmp_path, client(f"127.0.0.1:{free_port()}", free_port()), listening={"echo": local}) as service):
        application.sendall(b"early")
        # Its bytes have been read: otherwise the kernel would send a reset on its own.
        wait_until(lambda: [each["unacked"] for each in sessions_of(service)] == [len(b"early")], 10, "a session")
        service.process.kill()
        expect_reset(application)


def sessions_of(service):
    with contextlib.suppress(OSError):
        return service.control.sessions()
    return []


def test_a_unix_socket_of_the_manager_stays_when_the_daemon_ends(tmp_path, notify):
    path = tmp_path / "echo.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        with Service(tmp_path, client(f"unix:{path}", free_port()), {"NOTIFY_SOCKET": notify.getsockname()},
                     listening={"echo": sock}) as service:
            until(notify, "READY=1")
            service.end()
        assert path.exists()


def test_a_passed_socket_that_nobody_takes_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as stray:
        with Service(tmp_path, server(free_port()), listening={"stray": stray}) as service:
            assert service.process.wait(Deadline(10).left()) == 1
            assert '"stray"' in service.log()


def test_a_passed_socket_that_does_not_listen_is_named(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stray:
        with Service(tmp_path, server(free_port()), listening={"echo": stray}) as service:
            assert service.process.wait(Deadline(10).left()) == 1
            assert '"echo"' in service.log() and "not a listening stream socket" in service.log()


def test_what_an_earlier_process_left_does_not_stop_the_start(tmp_path, notify):
    """The settings may have changed; whoever keeps it is told to let go of it, too."""
    environment = {"NOTIFY_SOCKET": notify.getsockname(), "FDSTORE": "512"}
    with socket.create_server(("127.0.0.1", 0)) as old, socket.socket(socket.AF_UNIX) as vault:
        with Service(tmp_path, server(free_port()), environment,
                     listening={"kept-gone": old, "backedpipe-vault": vault}) as service:
            messages = until(notify, "FDSTOREREMOVE=1\nFDNAME=kept-gone")
            assert "FDSTOREREMOVE=1\nFDNAME=backedpipe-vault" in messages
            for number, passed in enumerate((old, vault), 3):
                with contextlib.suppress(FileNotFoundError):
                    held = os.stat(f"/proc/{service.process.pid}/fd/{number}")
                    assert held.st_ino != os.fstat(passed.fileno()).st_ino
            service.end()


# -- credentials ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode, where, accepted", [(0o440, "", True), (0o444, "", False), (0o440, "elsewhere", False)])
def test_a_key_that_is_a_credential_may_show_the_bits_of_its_access_list(tmp_path, notify, mode, where, accepted):
    key = write_private(tmp_path / "clients.keys", keygen("laptop"))
    os.chmod(key, mode)
    settings = server(free_port())
    settings["accept"][0] |= {"security": "psk", "key_file": str(key), "allow": {"*": ["echo"]}}
    environment = {"NOTIFY_SOCKET": notify.getsockname(), "CREDENTIALS_DIRECTORY": str(tmp_path / where)}
    with Service(tmp_path, settings, environment) as service:
        if accepted:
            until(notify, "READY=1")
        else:
            assert service.process.wait(Deadline(10).left()) == 1
            assert "clients.keys" in service.log()


# -- reloading --------------------------------------------------------------------------------


def test_a_reload_is_announced_and_its_end_as_well(tmp_path, notify):
    with Service(tmp_path, server(free_port()), {"NOTIFY_SOCKET": notify.getsockname()}) as service:
        until(notify, "READY=1")
        service.process.send_signal(signal.SIGHUP)
        assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", until(notify, "RELOADING=1")[-1])
        assert until(notify, "READY=1")[-1] == "READY=1"


# -- the journal ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "json"])
def test_lines_for_the_journal_carry_their_priority_and_no_second_time(tmp_path, notify, form):
    settings = server(free_port()) | {"log": {"format": form}}
    with Service(tmp_path, settings, {"NOTIFY_SOCKET": notify.getsockname()}) as service:
        until(notify, "READY=1")
        lines = service.log().splitlines()
    assert any(line.startswith("<4>") and "neither encrypted nor authenticated" in line for line in lines), lines
    for line in lines:
        priority, text = re.fullmatch(r"<([2-7])>(.*)", line).groups()
        if form == "json":
            assert {"4": "warning", "6": "info"}[priority] == json.loads(text)["level"]
        else:
            assert not re.match(r"\d{4}-\d\d-\d\d", text)


class Journal:
    """What journald listens on: for lines of services, and for entries."""

    def __init__(self, directory):
        directory.mkdir()
        self.entry_path = directory / "socket"
        self._line_path = str(directory / "stdout")
        self._lines = socket.create_server(self._line_path, family=socket.AF_UNIX)
        self._entries = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._entries.bind(str(self.entry_path))
        self._entries.settimeout(Deadline(10).left())
        self.line_stream = None
        self._read = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in (self._lines, self._entries, self.line_stream):
            sock.close()

    def connect(self):
        """Standard error of a service, as the manager makes it."""
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(self._line_path)
        self.line_stream, _ = self._lines.accept()
        self.line_stream.settimeout(Deadline(10).left())
        return stream

    def entry(self, text, **wanted):
        """The first that has the text and these fields, read so far or to come; each field must have one line."""
        seen = 0
        while True:
            for entry in self._read[seen:]:
                if text in entry["MESSAGE"] and wanted.items() <= entry.items():
                    return entry
            seen = len(self._read)
            lines = self._entries.recv(65536).decode().splitlines()
            self._read.append(dict(line.split("=", 1) for line in lines))


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_journal_gets_what_lines_are_about_in_fields(tmp_path, notify, form):
    port, local = free_port(), free_port()
    settings = client(f"127.0.0.1:{local}", port) | {"log": {"format": form}}
    with Journal(tmp_path / "journal") as journal:
        with Service(tmp_path, settings, {"NOTIFY_SOCKET": notify.getsockname()}, journal=journal) as service:
            until(notify, "READY=1")
            with socket.create_connection(("127.0.0.1", local)):
                opened = journal.entry("opened", BACKEDPIPE_EVENT="open")
                session = opened["BACKEDPIPE_SESSION"]
                assert opened["PRIORITY"] == "6" and opened["SYSLOG_IDENTIFIER"] == "backedpipd"
                down = journal.entry("down", BACKEDPIPE_EVENT="peer_down")
                assert (down["BACKEDPIPE_PEER"], down["PRIORITY"]) == ("office", "4")
                assert "BACKEDPIPE_SESSION" not in down
            message = opened["MESSAGE"]
            if form == "json":
                message = json.loads(message)["message"]
            assert message.startswith(f"session {session}: opened from 127.0.0.1:")
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(Deadline(10).left()) == 0
        assert journal.line_stream.recv(1) == b""


def test_lines_that_are_no_events_say_what_they_are_about_as_well(tmp_path, notify):
    port, local = free_port(), free_port()
    wrong = client(f"127.0.0.1:{local}", port)
    wrong["tunnels"][0]["service"] = "missing"
    with contextlib.ExitStack() as stack:
        journals = {}
        for name, settings in {"server": server(port), "client": wrong}.items():
            (tmp_path / name).mkdir()
            journals[name] = stack.enter_context(Journal(tmp_path / name / "journal"))
            stack.enter_context(Service(tmp_path / name, settings, {"NOTIFY_SOCKET": notify.getsockname()},
                                        journal=journals[name]))
            until(notify, "READY=1")
        with socket.create_connection(("127.0.0.1", local)):
            session = journals["client"].entry("opened")["BACKEDPIPE_SESSION"]
            for journal in journals.values():
                refused = journal.entry(": refused ", BACKEDPIPE_SESSION=session, BACKEDPIPE_REASON="unknown_service")
                assert "BACKEDPIPE_EVENT" not in refused and refused["PRIORITY"] == "4"
                assert refused["BACKEDPIPE_GENERATION"] == "1" and refused["BACKEDPIPE_SERVICE"] == "missing"
            assert refused["BACKEDPIPE_PEER"] == "office" and refused["BACKEDPIPE_TUNNEL"] == "echo"


def test_lines_take_the_old_way_to_a_journal_that_takes_no_entries(tmp_path, notify):
    with Journal(tmp_path / "journal") as journal:
        journal.entry_path.unlink()
        with Service(tmp_path, server(free_port()), {"NOTIFY_SOCKET": notify.getsockname()}, journal=journal):
            until(notify, "READY=1")
            assert re.search(rb"^<6>backedpipd \S+ starts$", journal.line_stream.recv(65536), re.M)


def test_output_that_is_not_the_journal_keeps_its_time(tmp_path, notify):
    """JOURNAL_STREAM is inherited by whatever a service starts, with its output sent elsewhere."""
    environment = {"NOTIFY_SOCKET": notify.getsockname(), "JOURNAL_STREAM": "1:2"}
    with Service(tmp_path, server(free_port()), environment) as service:
        until(notify, "READY=1")
        for line in service.log().splitlines():
            assert re.match(r"\d{4}-\d\d-\d\dT", line), line
