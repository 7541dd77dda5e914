"""A new configuration takes effect without a restart, and nothing that runs is lost by it."""

import contextlib
import json
import pathlib
import signal
import socket

import pytest

from support.daemon import ControlError, Daemon, binary, keygen, run, write_config, write_private
from support.ports import endpoint, free_port
from support.relay import Relay
from support.streams import connect, echo_once, expect_reset, expect_reset_of
from support.targets import EchoTarget
from support.waiting import patient, wait_until


@pytest.fixture
def stage(tunnel, start):
    """Both daemons run by a file; the services a and b are there, a tunnel for each."""
    return tunnel({"a": start(EchoTarget()).address, "b": start(EchoTarget()).address},
                  server_settings={}, client_settings={}, allow={"laptop": ["*"]})


@contextlib.contextmanager
def changed(daemon):
    """The settings of a daemon's file, to be changed and reloaded."""
    path = pathlib.Path(daemon.process.args[-1])
    settings = json.loads(path.read_text())
    yield settings
    write_config(path, settings)
    daemon.control.call("reload")


def refused(address):
    try:
        connect(address, patient(5)).close()
    except ConnectionRefusedError:
        return True
    return False


def echoes(address, payload=b"x"):
    with connect(address, patient(10)) as sock:
        echo_once(sock, payload)


# -- tunnels and services ---------------------------------------------------------------------


def test_a_new_tunnel_and_a_new_service_work_at_once(stage, start):
    port = free_port()
    with stage.connect() as sock:
        echo_once(sock)
        with changed(stage.server) as settings:
            settings["services"]["c"] = {"target": endpoint(*start(EchoTarget()).address)}
        with changed(stage.client) as settings:
            settings["tunnels"].append({"name": "c", "listen": f"127.0.0.1:{port}", "peer": "far", "service": "c"})
        echoes(("127.0.0.1", port))
        echo_once(sock, b"still here")
        assert [tunnel["name"] for tunnel in stage.client.control.status()["tunnels"]] == ["a", "b", "c"]


def test_a_tunnel_that_is_taken_away_keeps_its_sessions(stage):
    with stage.connect() as sock:
        echo_once(sock)
        with changed(stage.client) as settings:
            settings["tunnels"] = [tunnel for tunnel in settings["tunnels"] if tunnel["name"] == "b"]
        assert refused(stage.address)
        echo_once(sock, b"on the link that there was")
        stage.relay.cut()
        echo_once(sock, b"on the next")
    stage.wait_no_sessions()


def test_tunnels_change_places(stage):
    """Each goes on listening; what is behind the port is another service from now on."""
    ports = stage.ports
    with stage.connect("a") as sock:
        echo_once(sock)
        with changed(stage.client) as settings:
            for tunnel in settings["tunnels"]:
                tunnel["listen"] = f"127.0.0.1:{ports['b' if tunnel['name'] == 'a' else 'a']}"
        with connect((stage.host, ports["b"]), patient(10)) as other:
            echo_once(other)
            new, = [each for each in stage.client.control.sessions()
                    if each["application"] == endpoint(*other.getsockname())]
            assert (new["tunnel"], new["service"]) == ("a", "a")
        echo_once(sock, b"still here")


def test_the_file_of_a_unix_socket_comes_and_goes_with_its_tunnel(stage, tmp_path):
    path = tmp_path / "app.sock"
    with changed(stage.client) as settings:
        settings["tunnels"].append({"name": "u", "listen": f"unix:{path}", "peer": "far", "service": "a"})
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(patient(10))
        sock.connect(str(path))
        echo_once(sock)
        with changed(stage.client) as settings:
            settings["tunnels"].pop()
        assert not path.exists()
        echo_once(sock, b"still here")


def test_a_service_that_is_taken_away_opens_nothing_more(stage):
    with stage.connect("a") as sock:
        echo_once(sock)
        with changed(stage.server) as settings:
            del settings["services"]["a"]
        expect_reset_of(lambda: stage.connect("a"))
        stage.relay.cut()
        echo_once(sock, b"resumed all the same")
        with stage.connect("b") as other:
            echo_once(other)


def test_a_service_that_moves_takes_new_sessions_to_its_new_target(stage, start):
    moved = start(EchoTarget())
    with stage.connect("a") as sock:
        echo_once(sock)
        with changed(stage.server) as settings:
            settings["services"]["a"]["target"] = endpoint(*moved.address)
        assert moved.accepted == 0
        with stage.connect("a") as other:
            echo_once(other)
        assert moved.accepted == 1
        echo_once(sock, b"still at the old one")


# -- peers and listeners ----------------------------------------------------------------------


def test_a_peer_that_has_moved_is_found_where_the_settings_now_say(stage):
    with stage.connect() as sock:
        echo_once(sock)
        stage.relay.refuse()
        stage.relay.cut()
        wait_until(lambda: stage.client.control.status()["peers"][0]["state"] == "down", 10, "the peer to be down")
        with Relay(stage.server_address) as elsewhere:
            with changed(stage.client) as settings:
                settings["peers"]["far"]["endpoints"] = [endpoint(*elsewhere.address)]
            echo_once(sock, b"over there")
            assert stage.only_session()["link"] == endpoint(*elsewhere.address)


def test_a_peer_that_is_taken_away_is_dialled_for_its_sessions_and_goes_with_the_last(stage, tmp_path):
    with stage.connect() as sock:
        echo_once(sock)
        with changed(stage.client) as settings:
            settings["peers"]["near"] = settings["peers"].pop("far")
            for tunnel in settings["tunnels"]:
                tunnel["peer"] = "near"
        stage.relay.cut()
        echo_once(sock, b"still here")
        peers = {peer["name"]: peer["sessions"] for peer in stage.client.control.status()["peers"]}
        assert peers == {"far": 1, "near": 0}
    wait_until(lambda: [peer["name"] for peer in stage.client.control.status()["peers"]] == ["near"], 10,
               "the old peer to go")
    echoes(stage.address)


def test_a_new_listener_lets_in_and_one_taken_away_does_not(stage):
    port = free_port()
    with stage.connect() as sock:
        echo_once(sock)
        old = stage.server_address
        with changed(stage.server) as settings:
            settings["accept"][0]["listen"] = f"127.0.0.1:{port}"
        assert refused(old)
        echo_once(sock, b"still here")
        with changed(stage.client) as settings:
            settings["peers"]["far"]["endpoints"] = [f"127.0.0.1:{port}"]
        stage.relay.refuse()
        stage.relay.cut()
        echo_once(sock, b"through the new one")


def ports_of(stage):
    return ([tunnel["listen"] for tunnel in stage.client.control.status()["tunnels"]],
            [listener["listen"] for listener in stage.server.control.status()["listeners"]])


def test_ports_that_the_system_chooses_are_kept_each_by_its_own(stage):
    with changed(stage.client) as settings:
        for tunnel in settings["tunnels"]:
            tunnel["listen"] = "127.0.0.1:0"
    with changed(stage.server) as settings:
        settings["accept"] = [settings["accept"][0] | {"listen": "127.0.0.1:0"} for _ in range(2)]
    tunnels, listeners = before = ports_of(stage)
    assert len({*tunnels, *listeners}) == 4, before
    with changed(stage.client) as settings:
        settings["tunnels"].reverse()
        settings["tunnels"].append(settings["tunnels"][0] | {"name": "c"})
    with changed(stage.server) as settings:
        settings["accept"].append(settings["accept"][0])
    after_tunnels, after_listeners = after = ports_of(stage)
    assert (after_tunnels[:2], after_listeners[:2]) == (tunnels[::-1], listeners)
    assert len({*after_tunnels, *after_listeners}) == 6, after


def test_a_new_client_is_let_in_and_one_that_may_no_more_opens_nothing(stage, tmp_path):
    guest = keygen("guest")
    with stage.connect() as sock:
        echo_once(sock)
        write_private(stage.server_keys_path, stage.key_line + guest)
        with changed(stage.server) as settings:
            settings["accept"][0]["allow"] = {"guest": ["a"]}
        expect_reset_of(stage.connect)
        stage.relay.cut()
        echo_once(sock, b"the session that was opened is his")
        write_private(stage.key_path, guest)
        with changed(stage.client):
            pass
        echoes(stage.address)


# -- limits, liveness, log --------------------------------------------------------------------


def test_lower_limits_keep_who_is_there_and_let_in_nobody_else(stage):
    with stage.connect() as first, stage.connect() as second:
        echo_once(first)
        echo_once(second)
        with changed(stage.server) as settings:
            settings["limits"] = {"max_sessions": 1}
        expect_reset_of(stage.connect)
        stage.relay.cut()
        echo_once(first)
        echo_once(second)
        with changed(stage.server) as settings:
            settings["limits"] = {"max_sessions": 3}
        echoes(stage.address)


def test_new_sessions_live_by_the_new_settings_and_old_ones_by_theirs(stage):
    with stage.connect("a") as old:
        echo_once(old)
        with changed(stage.server) as settings:
            settings["limits"] = {"resume_timeout": "1s"}
        with stage.connect("b") as new:
            echo_once(new)
            stage.relay.refuse()
            stage.relay.cut()
            wait_until(lambda: [session["service"] for session in stage.server.control.sessions()] == ["a"], 10,
                       "the new session to expire")
            stage.relay.accept()
            expect_reset(new)
            echo_once(old, b"has a day")


def test_the_log_level_of_the_file_is_used_and_that_of_the_command_line_wins(stage, tmp_path):
    with changed(stage.client) as settings:
        settings["log"] = {"level": "debug"}
    assert stage.client.control.call("log_level") == {"level": "debug"}

    control = tmp_path / "own.sock"
    config = write_config(tmp_path / "own.json", {
        "control": {"socket": str(control)}, "accept": [{"listen": "127.0.0.1:0", "security": "none"}],
        "services": {"echo": {"target": "127.0.0.1:1"}}})
    daemon = Daemon("own", ["--log-level", "warning", "--config", str(config)], control, tmp_path)
    try:
        daemon.wait_ready()
        with changed(daemon) as settings:
            settings["log"] = {"level": "debug"}
        assert daemon.control.call("log_level") == {"level": "warning"}
        daemon.stop()
    finally:
        daemon.kill()


def test_what_needs_a_restart_is_told(stage):
    path = pathlib.Path(stage.client.process.args[-1])
    settings = json.loads(path.read_text())
    settings |= {"workers": 7, "metrics": {"listen": "127.0.0.1:0"}, "limits": {"max_memory": "100MiB"},
                 "log": {"format": "json"}}
    settings["control"] |= {"mode": "0600"}
    write_config(path, settings)
    told = stage.client.control.call("reload")["after_restart"]
    assert sorted(told) == ["control.mode", "limits.max_memory", "log.format", "metrics.listen", "workers"]
    done = run(binary("backedpipctl"), "--socket", stage.client.control.path, "reload")
    assert done.returncode == 0 and "after a restart only: workers" in done.stdout, done
    assert stage.client.log_lines("warning.*workers has changed and is used after a restart only")


# -- a broken configuration -------------------------------------------------------------------


BROKEN = {
    "not JSON": ("{", r"client\.json"),
    "an unknown key": ({"tunels": []}, "tunels"),
    "a peer that is not there": ({"peers": {}}, "peer"),
    "a key file that is not there": ({"peers": {"far": {"endpoints": ["127.0.0.1:1"], "security": "psk",
                                                        "key_file": "missing.key"}}}, r"missing\.key"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_configuration_changes_nothing_and_says_why(stage, what):
    change, says = BROKEN[what]
    port = free_port()
    path = pathlib.Path(stage.client.process.args[-1])
    settings = json.loads(path.read_text())
    settings["tunnels"].append({"name": "c", "listen": f"127.0.0.1:{port}", "peer": "far", "service": "a"})
    settings["log"] = {"level": "debug"}
    write_private(path, change if isinstance(change, str) else json.dumps(settings | change))
    with stage.connect() as sock:
        echo_once(sock)
        with pytest.raises(ControlError, match=says):
            stage.client.control.call("reload")
        mark = stage.client.log_mark()
        stage.client.process.send_signal(signal.SIGHUP)
        assert "nothing is changed" in stage.client.wait_log("error.*reload", since=mark)[0]
        assert refused(("127.0.0.1", port))
        assert stage.client.control.call("log_level") == {"level": "info"}
        stage.relay.cut()
        echo_once(sock, b"as before")
    echoes(stage.address)


def test_a_port_that_is_in_use_changes_nothing(stage):
    free = free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(ControlError, match=f"cannot listen on 127.0.0.1:{taken.getsockname()[1]}: Address already"):
            with changed(stage.client) as settings:
                for port in (free, taken.getsockname()[1]):
                    settings["tunnels"].append({"name": f"t{port}", "listen": f"127.0.0.1:{port}", "peer": "far",
                                                "service": "a"})
        assert refused(("127.0.0.1", free))
    # Then it is there.
    with changed(stage.client):
        pass
    echoes(("127.0.0.1", free))


def test_a_daemon_without_a_file_reads_its_keys_again(tunnel, start):
    stage = tunnel(start(EchoTarget()).address)
    with stage.connect() as sock:
        echo_once(sock)
        line = keygen("laptop")
        write_private(stage.key_path, line)
        write_private(stage.server_keys_path, line)
        for daemon in stage.daemons():
            assert daemon.control.call("reload") == {"reloaded": True, "after_restart": []}
        stage.relay.cut()
        echo_once(sock, b"with the new key")
        stage.server.control.close(stage.only_session()["id"])
        expect_reset(sock)
