"""Metrics and health over HTTP: what monitoring sees, and what a hostile caller cannot do."""

import contextlib
import http.client
import pathlib
import re
import signal
import socket
import time

import pytest

from support.daemon import REPOSITORY
from support.ports import endpoint, free_port
from support.streams import echo_once, receive_exactly
from support.supervised import SupervisedPair
from support.targets import EchoTarget
from support.waiting import PATIENCE, wait_until

SAMPLE = re.compile(r'([a-z_]+)(?:\{(.*)\})? ([0-9.e+-]+|\+Inf|NaN)')


@pytest.fixture
def stage(tunnel, start):
    ports = free_port(), free_port()
    settings = [{"metrics": {"listen": endpoint("127.0.0.1", port)}} for port in ports]
    made = tunnel({"echo": start(EchoTarget()).address}, client_settings=settings[0], server_settings=settings[1])
    made.metrics_ports = ports
    return made


def get(port, path, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path)
        reply = connection.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read().decode()


def metrics(port):
    """Samples by name and labels; every line of the page must be one, or a comment."""
    status, headers, text = get(port, "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    samples = {}
    for line in text.splitlines():
        if line.startswith("# "):
            continue
        name, labels, value = SAMPLE.fullmatch(line).groups()
        key = (name, *sorted(re.findall(r'(\w+)="([^"]*)"', labels or "")))
        assert key not in samples, line
        samples[key] = float(value)
    return samples


def sample(samples, name, **labels):
    return samples[(f"backedpipe_{name}", *sorted(labels.items()))]


def test_the_metrics_tell_what_has_happened(stage):
    client, server = stage.metrics_ports
    before = metrics(client)
    assert sample(before, "sessions", role="client", state="connected") == 0
    assert sample(before, "attaches_total", role="client", reason="resume") == 0
    with stage.connect() as sock:
        echo_once(sock, b"x" * 1000)
        stage.relay.refuse()
        stage.relay.cut()
        wait_until(lambda: sample(metrics(client), "peer_up", peer="far") == 0, 5, "the peer to be down")
        assert sample(metrics(client), "sessions", role="client", state="reconnecting") == 1
        stage.relay.accept()
        echo_once(sock, b"x" * 1000)
        for port, role in ((client, "client"), (server, "server")):
            now = metrics(port)
            assert sample(now, "sessions", role=role, state="connected") == 1
            assert sample(now, "attaches_total", role=role, reason="open") == 1
            assert sample(now, "attaches_total", role=role, reason="resume") == 1
            assert sum(value for key, value in now.items() if key[0] == "backedpipe_detaches_total") == 1
            assert sample(now, "application_read_bytes_total", role=role) == 2000
            assert sample(now, "application_written_bytes_total", role=role) == 2000
            assert sample(now, "reconnect_duration_seconds_count") == 1
            assert sample(now, "reconnect_duration_seconds_bucket", le="+Inf") == 1
            assert sample(now, "reconnect_duration_seconds_sum") > 0
        assert sample(metrics(client), "peer_up", peer="far") == 1
        assert sample(metrics(client), "dials_total", peer="far") >= 3
    stage.wait_no_sessions()
    after = metrics(client)
    assert sample(after, "sessions_ended_total", role="client", reason="closed") == 1
    assert sample(after, "application_read_bytes_total", role="client") == 2000
    assert sample(after, "spare_links", peer="far") == 1 and sample(after, "links_reused_total", peer="far") == 0
    with stage.connect() as sock:
        echo_once(sock)
        now = metrics(client)
        assert sample(now, "spare_links", peer="far") == 0 and sample(now, "links_reused_total", peer="far") == 1
    with socket.create_connection(stage.server_address) as stranger:
        stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
        wait_until(lambda: metrics(server).get(("backedpipe_handshake_failures_total", ("reason", "handshake"))) == 1,
                   5, "the failed handshake to be counted")


def test_health_and_the_rest_of_http(stage):
    port = stage.metrics_ports[0]
    assert get(port, "/healthz")[::2] == (200, "ok\n")
    assert get(port, "/readyz?verbose")[::2] == (200, "ready\n")
    for path in ("/", "/metrics/", "/%2e%2e/etc/passwd", "/metricsx"):
        assert get(port, path)[0] == 404, path
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        status, headers, _ = get(port, "/metrics", method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD"), method
    status, headers, body = get(port, "/healthz", "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "3", "")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert sock.makefile("rb").read().endswith(b"\r\n\r\n")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok\n"
        kept = connection.sock
        connection.request("GET", "/metrics")
        assert connection.getresponse().read() and connection.sock is kept is not None


def test_what_waits_and_is_doubted_is_measured(tunnel, start):
    port = free_port()
    # Doubted soon, and given up by nobody: the links are frozen all the while.
    settings = {"metrics": {"listen": endpoint("127.0.0.1", port)},
                "liveness": {"ping": f"{250 * PATIENCE}ms", "suspect": f"{250 * PATIENCE}ms", "dead": "60s"}}
    stage = tunnel({"echo": start(EchoTarget()).address}, client_settings=settings)

    def now(name, **labels):
        return sample(metrics(port), name, **labels)

    assert now("build_info", version=stage.client.control.status()["version"]) == 1
    assert now("buffer_memory_limit_bytes") == stage.client.control.status()["totals"]["memory_limit"] > 1 << 20
    with stage.connect() as sock:
        echo_once(sock)
        assert now("sessions_opened_total", role="client") == 1 and now("sessions_opened_total", role="server") == 0
        assert now("suspect_sessions", role="client") == now("unacknowledged_bytes", role="client") == 0
        stage.relay.freeze()
        sock.sendall(b"x" * 5000)
        wait_until(lambda: now("unacknowledged_bytes", role="client") == 5000, 5, "the bytes to wait")
        assert now("buffered_bytes", role="client") == 5000 and now("buffer_memory_bytes") >= 5000
        wait_until(lambda: now("suspect_sessions", role="client") == 1, 5, "the link to be doubted")
        assert now("replayed_bytes_total", role="client") == 0
        # They went into the link, so that the next one carries them again.
        stage.relay.cut()
        stage.relay.heal()
        assert receive_exactly(sock, 5000) == b"x" * 5000
        wait_until(lambda: now("buffered_bytes", role="client") == 0, 5, "everything to be acknowledged")
        assert now("replayed_bytes_total", role="client") == 5000
        assert now("unacknowledged_bytes", role="client") == now("buffer_memory_bytes") == 0
        assert now("suspect_sessions", role="client") == 0


def test_handshakes_under_way_are_counted(stage):
    server = stage.metrics_ports[1]
    with socket.create_connection(stage.server_address):
        wait_until(lambda: sample(metrics(server), "pending_handshakes") == 1, 5, "the handshake to be seen")
    wait_until(lambda: sample(metrics(server), "pending_handshakes") == 0, 5, "the handshake to be over")


def test_a_drained_daemon_is_alive_but_not_ready(stage):
    port = stage.metrics_ports[0]
    with stage.connect() as sock:
        echo_once(sock)
        stage.client.control.call("drain")
        assert get(port, "/readyz")[::2] == (503, "draining\n")
        assert get(port, "/healthz")[::2] == (200, "ok\n")
        echo_once(sock)


# Stopping takes a second at most, when a session cannot be told.
@pytest.mark.alone
def test_a_stopping_daemon_is_not_ready(stage):
    connection = http.client.HTTPConnection("127.0.0.1", stage.metrics_ports[0], timeout=10)
    with contextlib.closing(connection), stage.connect() as sock:
        echo_once(sock)
        stage.relay.freeze()
        answers = []
        while not answers or answers[-1] == (200, b"ready\n"):
            connection.request("GET", "/readyz")
            reply = connection.getresponse()
            answers.append((reply.status, reply.read()))
            if len(answers) == 1:
                assert answers == [(200, b"ready\n")]
                stage.client.process.send_signal(signal.SIGTERM)
        assert answers[-1] == (503, b"stopping\n")


HOSTILE = {
    "noise": bytes(range(256)) * 16,
    "TLS": bytes.fromhex("160301020001"),
    "an endless header": b"GET / HTTP/1.1\r\nX: " + b"x" * (1 << 20),
    "many headers": b"GET / HTTP/1.1\r\n" + b"".join(b"H%d: v\r\n" % number for number in range(20000)),
    "an endless target": b"GET /" + b"x" * (1 << 20),
    "a body": b"GET /healthz HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\nxxx",
    "two lengths": b"GET /healthz HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "chunks": b"GET /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    "a wrong version": b"GET /healthz HTTP/9.9\r\n\r\n",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_requests_are_refused_and_harm_nobody(stage, data):
    port = stage.metrics_ports[0]
    with stage.connect() as application:
        echo_once(application)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(data)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError, OSError):
                sock.shutdown(socket.SHUT_WR)
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := sock.recv(65536):
                    answer += piece
            assert answer == b"" or re.match(rb"HTTP/1\.[01] 4\d\d ", answer), answer[:100]
        assert get(port, "/healthz")[0] == 200
        echo_once(application)


def test_connections_that_say_nothing_do_not_keep_monitoring_out(stage):
    port = stage.metrics_ports[0]
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        assert get(port, "/healthz")[0] == 200
        count = len(list(pathlib.Path(f"/proc/{stage.client.pid}/fd").iterdir()))
        assert count < 100, count


def test_they_tell_what_a_restart_has_left(tmp_path, start):
    port = free_port()
    pair = start(SupervisedPair(tmp_path, start(EchoTarget()), near_settings={"metrics": {"listen": f"127.0.0.1:{port}"}}))

    def now(name, **labels):
        return sample(metrics(port), name, **labels)

    assert (now("continuity"), now("restarts_total"), now("restored_sessions"), now("lost_sessions")) == (1, 0, 0, 0)
    with pair.connect() as application:
        echo_once(application)
        assert now("sessions_not_kept", role="client") == 0
        began = now("start_time_seconds")
        pair.near.kill_daemon()
        echo_once(application)
        assert (now("restarts_total"), now("restored_sessions"), now("lost_sessions")) == (1, 1, 0)
        assert began < now("start_time_seconds") < time.time()
        for _ in range(4):
            pair.near.kill_daemon()
        assert (now("restarts_total"), now("restored_sessions"), now("lost_sessions")) == (5, 0, 1)


def test_they_tell_which_sessions_end_with_the_daemon(stage):
    client, server = stage.metrics_ports
    with stage.connect() as application:
        echo_once(application)
        for port, role in ((client, "client"), (server, "server")):
            assert sample(metrics(port), "continuity") == 0
            assert sample(metrics(port), "sessions_not_kept", role=role) == 1


def test_an_address_that_is_taken_is_a_clear_error(tunnel, start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = endpoint(*taken.getsockname())
        with pytest.raises(AssertionError, match=re.escape(address)):
            tunnel({"echo": start(EchoTarget()).address}, client_settings={"metrics": {"listen": address}})


def test_alerts_and_dashboard_use_metrics_that_exist(stage):
    existing = {key[0] for port in stage.metrics_ports for key in metrics(port)} | {
        "backedpipe_sessions_ended_total", "backedpipe_detaches_total", "backedpipe_handshake_failures_total"}
    for name in ("prometheus-alerts.yml", "grafana-dashboard.json"):
        used = set(re.findall(r"backedpipe_\w+", (REPOSITORY / "config" / name).read_text(encoding="utf-8")))
        assert used and used <= existing, used - existing
