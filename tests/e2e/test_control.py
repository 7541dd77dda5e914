"""The control socket and backedpipctl: what others script against."""

import contextlib
import datetime
import json
import os
import random
import re
import socket

import pytest

from support.daemon import ControlError, binary, run, write_private
from support.ports import endpoint
from support.streams import echo_once, expect_reset
from support.targets import EchoTarget
from support.waiting import MIB, Deadline, wait_until

STATES = {"connected", "disconnected", "reconnecting"}


@pytest.fixture
def stage(tunnel, start):
    return tunnel({"echo": start(EchoTarget()).address})


def ctl(daemon, *arguments, json_output=False):
    options = ["--json"] if json_output else []
    return run(binary("backedpipctl"), "--socket", daemon.control.path, *options, *arguments)


def ctl_json(daemon, *arguments):
    done = ctl(daemon, *arguments, json_output=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_time(value):
    """RFC 3339, with an offset."""
    return datetime.datetime.fromisoformat(value.replace("Z", "+00:00")).tzinfo is not None


def test_status_has_the_documented_fields(stage):
    for daemon in stage.daemons():
        status = daemon.control.status()
        assert isinstance(status["version"], str) and re.match(r"\d+\.\d+", status["version"])
        assert status["pid"] == daemon.pid
        assert isinstance(status["instance"], str) and status["instance"]
        assert isinstance(status["uptime_s"], (int, float)) and 0 <= status["uptime_s"] < 3600
        assert set(status["sessions"]) == STATES and all(map(is_count, status["sessions"].values()))
        for name in ("tunnels", "peers", "listeners"):
            assert isinstance(status[name], list)
        assert isinstance(status["totals"], dict)
        assert status["totals"]["segments_in_use"] == 0
    assert len(stage.client.control.status()["tunnels"]) == 1
    assert len(stage.client.control.status()["peers"]) == 1
    assert len(stage.server.control.status()["listeners"]) == 1


def test_a_session_is_described_with_the_documented_fields(stage):
    with stage.connect() as sock:
        echo_once(sock, b"x" * 1000)
        seen = {}
        for daemon, role in ((stage.client, "client"), (stage.server, "server")):
            wait_until(lambda d=daemon: d.control.sessions()[0]["unacked"] == 0, 5, "everything to be acknowledged")
            [session] = daemon.control.sessions()
            seen[role] = session
            assert session["role"] == role
            assert session["state"] == "connected"
            assert session["service"] == "echo"
            assert session["last_error"] in (None, "")
            for name in ("generation", "reconnects", "bytes_in", "bytes_out", "unacked", "buffered", "window"):
                assert is_count(session[name]), (name, session[name])
            assert (session["bytes_in"], session["bytes_out"]) == (1000, 1000)
            assert (session["generation"], session["reconnects"]) == (1, 0)
            assert session["window"] > 0
            assert session["rtt_ms"] is None or session["rtt_ms"] >= 0
            assert is_time(session["created_at"]) and is_time(session["state_since"])
            assert {"tunnel", "peer", "identity", "application", "link"} <= set(session)
            assert daemon.control.session(session["id"])["id"] == session["id"]
            assert daemon.control.status()["sessions"] == {"connected": 1, "disconnected": 0, "reconnecting": 0}
        assert seen["client"]["id"] == seen["server"]["id"]
        assert seen["server"]["identity"] == "laptop"
        assert endpoint(*sock.getsockname()) in json.dumps(seen["client"]["application"])


def test_a_session_whose_link_is_down_says_so(stage):
    with stage.connect() as sock:
        echo_once(sock)
        stage.relay.refuse()
        stage.relay.cut()
        wait_until(lambda: stage.only_session()["state"] != "connected", 5, "the client to notice")
        assert stage.only_session()["state"] in ("reconnecting", "disconnected")
        wait_until(lambda: stage.server.control.sessions()[0]["state"] == "disconnected", 5, "the server to notice")
        wait_until(lambda: stage.only_session()["last_error"], 5, "the failed attempt to be told")
        stage.relay.accept()
        echo_once(sock)
        session = stage.only_session()
        assert session["state"] == "connected" and session["reconnects"] == 1 and session["generation"] > 1, session


def test_a_peer_that_is_away_is_told_once_for_all_its_sessions(stage):
    def peer():
        return stage.client.control.status()["peers"][0]

    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(stage.connect()) for _ in range(20)]
        for sock in socks:
            echo_once(sock)
        assert peer()["state"] == "up" and peer()["next_attempt"] is None
        mark = stage.client.log_mark()
        stage.relay.refuse()
        stage.relay.cut()
        wait_until(lambda: peer()["waiting"] + peer()["dialling"] == 20, 5, "all sessions to wait for the peer")
        seen = peer()
        assert seen["state"] == "down" and seen["sessions"] == 20, seen
        assert seen["dialling"] <= 1 and "refused" in seen["last_error"], seen
        assert is_time(seen["next_attempt"]), seen
        assert " down " in ctl(stage.client, "status").stdout
        # One tries for all: were each to try, they would do so twenty at a time.
        before = peer()["dials"]
        wait_until(lambda: peer()["dials"] >= before + 3, 10, "the probes to go on")
        assert peer()["dials"] < before + 20
        stage.relay.accept()
        for sock in socks:
            echo_once(sock)
        assert peer()["state"] == "up" and peer()["waiting"] == 0
        assert len(stage.client.log_lines(r"peer \S+: down: ", since=mark)) == 1
        assert len(stage.client.log_lines(r"peer \S+: up again after", since=mark)) == 1
        assert not stage.client.log_lines("no link", since=mark)


def test_the_tables_and_the_json_of_the_tool_tell_the_same(stage):
    with stage.connect() as sock:
        echo_once(sock)
        session_id = stage.only_session()["id"]
        assert ctl_json(stage.client, "status")["pid"] == stage.client.pid
        assert [session["id"] for session in ctl_json(stage.client, "sessions")] == [session_id]
        assert ctl_json(stage.client, "session", session_id)["id"] == session_id
        for command in (["status"], ["sessions"], ["session", session_id]):
            done = ctl(stage.client, *command)
            assert done.returncode == 0, done.stderr
            with pytest.raises(json.JSONDecodeError):
                json.loads(done.stdout)
        # A table may shorten the id, but not beyond recognition.
        assert session_id[:8] in ctl(stage.client, "sessions").stdout
        assert "echo" in ctl(stage.client, "sessions").stdout


def test_the_exit_status_of_status_tells_that_a_peer_is_down(stage):
    def status():
        return ctl(stage.client, "status").returncode

    assert status() == 0  # nobody has asked for the peer yet
    with stage.connect() as sock:
        echo_once(sock)
        assert status() == 0
        stage.relay.refuse()
        stage.relay.cut()
        wait_until(lambda: stage.client.control.status()["peers"][0]["state"] == "down", 5, "the peer to be down")
        assert status() == 4
        # Only that command says so, and it still prints everything.
        assert ctl(stage.client, "sessions").returncode == 0
        done = ctl(stage.client, "status", json_output=True)
        assert done.returncode == 4 and json.loads(done.stdout)["peers"][0]["state"] == "down"
        # A server has no peers.
        assert ctl(stage.server, "status").returncode == 0
        stage.relay.accept()
        echo_once(sock)
        assert status() == 0


@pytest.fixture
def three_sessions(tunnel, start):
    """Of two tunnels to two services by two peers, which are the same server; only one goes by the relay.

    Yields the stage and the sessions' ids, oldest first; the first two are those of the relay.
    """
    address = start(EchoTarget()).address
    stage = tunnel({"echo": address, "other": address}, client_settings={}, tls=False)
    stage.client.stop()
    stage.client_settings = {
        "peers": {"relayed": {"endpoints": [endpoint(*stage.relay.address)], "security": "none"},
                  "direct": {"endpoints": [endpoint(*stage.server_address)], "security": "none"}},
        "tunnels": [{"name": name, "listen": endpoint(stage.host, stage.ports[service]), "peer": peer, "service": service}
                    for name, service, peer in (("zulu", "echo", "relayed"), ("alpha", "other", "direct"))]}
    stage.start_client()
    ids = []
    with contextlib.ExitStack() as stack:
        for service, size in (("echo", 2000), ("echo", 3000), ("other", 1000)):
            echo_once(stack.enter_context(stage.connect(service)), b"x" * size)
            [new] = [session for session in stage.client.control.sessions() if session["id"] not in ids]
            ids.append(new["id"])
            created = datetime.datetime.fromisoformat(new["created_at"].replace("Z", "+00:00"))
            # Times have milliseconds, and none of the sessions shall be as old as another.
            wait_until(lambda after=created + datetime.timedelta(milliseconds=2):
                       datetime.datetime.now(datetime.timezone.utc) > after, 1, "a millisecond to pass")
        yield stage, ids


def listed(daemon, *options):
    """Ids in the order of the JSON, which the table has as well."""
    ids = [session["id"] for session in ctl_json(daemon, "sessions", *options)]
    table = ctl(daemon, "sessions", *options).stdout
    assert [line[:8] for line in table.splitlines()[1:]] == [session_id[:8] for session_id in ids], table
    return ids


def test_sessions_can_be_chosen_by_tunnel_service_peer_and_state(three_sessions):
    stage, ids = three_sessions
    for options, wanted in ((["--tunnel", "zulu"], ids[:2]), (["--tunnel", "alpha"], ids[2:]),
                            (["--service", "echo"], ids[:2]), (["--service", "other"], ids[2:]),
                            (["--peer", "relayed"], ids[:2]), (["--peer", "direct"], ids[2:]),
                            (["--state", "connected"], ids), (["--state", "reconnecting"], []),
                            (["--tunnel", "zulu", "--peer", "direct"], []), (["--tunnel", "zul"], [])):
        assert listed(stage.client, *options) == wanted, options
    stage.relay.refuse()
    stage.relay.cut()
    wait_until(lambda: listed(stage.client, "--state", "reconnecting") == ids[:2], 5, "the relayed ones to reconnect")
    assert listed(stage.client, "--state", "connected") == ids[2:]
    assert listed(stage.client, "--state", "connected", "--tunnel", "zulu") == []
    # The server knows no tunnels, and says "disconnected".
    wait_until(lambda: set(listed(stage.server, "--state", "disconnected")) == set(ids[:2]), 5, "the server to notice")
    assert listed(stage.server, "--tunnel", "zulu") == []
    assert listed(stage.server, "--service", "other") == ids[2:]


def test_sessions_are_sorted_as_asked(three_sessions):
    stage, (first, second, third) = three_sessions
    low, high = sorted((first, second))
    for options, wanted in (([], [first, second, third]), (["--reverse"], [third, second, first]),
                            (["--sort", "in"], [third, first, second]), (["--sort", "out"], [third, first, second]),
                            (["--sort", "in", "--reverse"], [second, first, third]),
                            (["--sort", "id"], sorted((first, second, third))),
                            # Those that are equal are in the order of their ids, either way.
                            (["--sort", "tunnel"], [third, low, high]),
                            (["--sort", "tunnel", "--reverse"], [low, high, third]),
                            (["--sort", "service"], [low, high, third]), (["--sort", "peer"], [third, low, high])):
        assert listed(stage.client, *options) == wanted, options
    stage.client.control.reconnect(first)
    wait_until(lambda: stage.client.control.session(first)["reconnects"] == 1, 5, "the new link")
    for key in ("generation", "reconnects", "since"):
        assert listed(stage.client, "--sort", key)[-1] == first, key


def test_reconnect_makes_a_new_link_and_loses_nothing(stage):
    with stage.connect() as sock, stage.connect() as other:
        echo_once(sock)
        echo_once(other)
        before = {session["id"]: session["generation"] for session in stage.client.control.sessions()}
        chosen, spared = before
        assert ctl(stage.client, "reconnect", chosen).returncode == 0

        def generations():
            return {session["id"]: session["generation"] for session in stage.client.control.sessions()
                    if session["state"] == "connected"}

        wait_until(lambda: generations().get(chosen) == before[chosen] + 1, 5, "the new link")
        assert generations()[spared] == before[spared]
        assert ctl(stage.client, "reconnect", "--all").returncode == 0
        renewed = {chosen: before[chosen] + 2, spared: before[spared] + 1}
        wait_until(lambda: generations() == renewed, 5, "all new links")
        echo_once(sock, b"as if nothing happened")
        echo_once(other, b"as if nothing happened")


@pytest.mark.parametrize("side", ["client", "server"])
def test_close_ends_the_session_with_a_reset_on_both_sides(stage, side):
    with stage.connect() as sock, stage.connect() as other:
        echo_once(sock)
        echo_once(other)
        [session] = [entry for entry in stage.client.control.sessions()
                     if endpoint(*sock.getsockname()) in json.dumps(entry["application"])]
        daemon = getattr(stage, side)
        assert ctl(daemon, "close", session["id"]).returncode == 0
        expect_reset(sock)
        for part in stage.daemons():
            wait_until(lambda p=part: session["id"] not in [entry["id"] for entry in p.control.sessions()], 5,
                       f"{part.name} to forget the session")
        echo_once(other, b"untouched")
        again = ctl(daemon, "close", session["id"])
        assert again.returncode == 1 and session["id"] in again.stderr, again


def test_the_exit_codes_tell_failed_from_misused_from_unreachable(stage, tmp_path):
    unknown = "00" * 16
    for command in ("session", "reconnect", "close"):
        done = ctl(stage.client, command, unknown)
        assert done.returncode == 1 and done.stderr.strip(), done
    for misuse in (["nonsense"], ["session"], ["close"], []):
        done = ctl(stage.client, *misuse)
        assert done.returncode == 2 and done.stderr.strip(), done
    nobody = tmp_path / "nobody.sock"
    done = run(binary("backedpipctl"), "--socket", str(nobody), "status")
    assert done.returncode == 3 and str(nobody) in done.stderr, done


def test_keygen_makes_a_different_full_length_key_each_time():
    lines = {run(binary("backedpipctl"), "keygen", "laptop").stdout for _ in range(3)}
    assert len(lines) == 3
    for line in lines:
        assert re.fullmatch(r"laptop:[0-9a-f]{64}\n", line), line
    assert run(binary("backedpipctl"), "keygen", "not:allowed").returncode != 0


def test_keygen_writes_the_files_of_both_ends(tmp_path):
    def make(identity, client, *words):
        return run(binary("backedpipctl"), "keygen", identity, "--client", str(client), *words)

    keys = tmp_path / "clients.keys"
    made = [make(identity, tmp_path / f"{identity}.key", "--server", str(keys)) for identity in ("laptop", "desktop")]
    for done in made:
        assert done.returncode == 0 and not re.search("[0-9a-f]{64}", done.stdout + done.stderr), done
    assert keys.read_text() == "".join((tmp_path / f"{identity}.key").read_text() for identity in ("laptop", "desktop"))
    for path in (keys, tmp_path / "laptop.key"):
        assert path.stat().st_mode & 0o777 == 0o600

    before = keys.read_text()
    again = make("laptop", tmp_path / "new.key", "--server", str(keys))
    assert again.returncode == 1 and "has a key for laptop already" in again.stderr, again
    there = make("tablet", tmp_path / "laptop.key", "--server", str(keys))
    assert there.returncode == 1 and "laptop.key: File exists" in there.stderr, there
    nowhere = make("tablet", tmp_path / "tablet.key", "--server", str(tmp_path / "none" / "clients.keys"))
    assert nowhere.returncode == 1 and "No such file" in nowhere.stderr, nowhere
    # No half of it is left.
    assert keys.read_text() == before
    assert not (tmp_path / "new.key").exists() and not (tmp_path / "tablet.key").exists()

    keys.chmod(0o644)
    open_to_all = make("tablet", tmp_path / "tablet.key", "--server", str(keys))
    assert open_to_all.returncode == 1 and "clients.keys" in open_to_all.stderr, open_to_all
    keys.chmod(0o600)
    write_private(keys, before.rstrip("\n"))
    assert make("tablet", tmp_path / "tablet.key", "--server", str(keys)).returncode == 0
    assert len(keys.read_text().splitlines()) == 3


def test_a_full_disk_leaves_no_half_of_a_key(tmp_path):
    done = run(binary("backedpipctl"), "keygen", "laptop", "--client", str(tmp_path / "laptop.key"), "--server",
               "/dev/full")
    assert done.returncode == 1 and "/dev/full" in done.stderr, done
    assert not (tmp_path / "laptop.key").exists()


@pytest.mark.parametrize("words, says", [
    (("keygen", "laptop", "--client", ""), "needs the name of a file"),
    (("keygen", "laptop", "--client", "k", "--server", "k"), "give two names"),
    (("status", "--client", "k"), "belongs to 'keygen'"),
])
def test_keygen_is_told_where_to_write(words, says):
    done = run(binary("backedpipctl"), *words)
    assert done.returncode == 2 and says in done.stderr, done


def test_the_socket_answers_one_json_object_a_line(stage):
    """As `socat - UNIX:PATH` would use it: several requests over one connection, answered in order."""
    with stage.client.control.connect() as sock, sock.makefile("rwb") as stream:
        for number, method in enumerate(("status", "sessions", "status")):
            stream.write(json.dumps({"jsonrpc": "2.0", "id": number, "method": method}).encode() + b"\n")
        stream.flush()
        for number in range(3):
            reply = json.loads(stream.readline())
            assert reply["jsonrpc"] == "2.0" and reply["id"] == number and "result" in reply, reply


def test_errors_carry_the_codes_of_json_rpc(stage):
    control = stage.client.control
    with pytest.raises(ControlError) as unknown_method:
        control.call("explode")
    assert unknown_method.value.code == -32601
    with pytest.raises(ControlError) as wrong_parameters:
        control.call("session", id=17)
    assert wrong_parameters.value.code == -32602
    for line, code in ((b"this is not json\n", -32700), (b'{"jsonrpc": "2.0", "id": 1}\n', -32600)):
        with control.connect() as sock, sock.makefile("rwb") as stream:
            stream.write(line)
            stream.flush()
            assert json.loads(stream.readline())["error"]["code"] == code


HOSTILE = {
    "noise": random.Random(1).randbytes(4096) + b"\n",
    "endless line": b"x" * (16 * MIB),
    "deep nesting": b"[" * 200_000 + b"\n",
    "half a request": b'{"jsonrpc": "2.0", "id": 1, "meth',
    "nothing": b"",
    "wrong types": b'{"jsonrpc": 2, "id": {}, "method": [], "params": "x"}\n[]\nnull\n1\n"status"\n',
    "invalid utf-8": b'{"jsonrpc": "2.0", "id": 1, "method": "\xff\xfe"}\n',
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_input_leaves_the_daemon_alive(stage, data):
    with stage.connect() as application:
        echo_once(application)
        with stage.client.control.connect() as sock:
            try:
                sock.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it had enough
        with stage.client.control.connect() as idle:
            assert stage.client.control.status()["pid"] == stage.client.pid
            echo_once(application)
            assert idle.fileno() >= 0
    assert stage.client.running()


def test_a_client_that_never_reads_its_replies_blocks_nobody(stage):
    request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "status"}).encode() + b"\n"
    with stage.client.control.connect() as deaf:
        deaf.setblocking(False)
        deadline = Deadline(2)
        try:
            while not deadline.passed():
                deaf.send(request * 100)
        except (BlockingIOError, ConnectionError):
            pass
        assert stage.client.control.status()["pid"] == stage.client.pid


def test_the_socket_is_not_for_everybody_and_goes_away_with_the_daemon(stage):
    path = stage.client.control.path
    assert os.stat(path).st_mode & 0o007 == 0
    stage.client.stop()
    with pytest.raises(OSError), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
    # What a killed daemon leaves behind does not hinder the next one.
    stage.start_client()
    stage.client.kill()
    assert stage.start_client().control.status()["pid"] == stage.client.pid
