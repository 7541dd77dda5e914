"""Links secured by certificates, and keys and certificates that are read again while sessions go on."""

import contextlib
import json
import os
import re
import signal

import pytest

from support import wire
from support.certificates import Authority
from support.daemon import ControlError, Daemon, binary, keygen, run, write_config, write_private
from support.ports import endpoint, free_port
from support.streams import connect, echo_once, expect_reset, expect_reset_of
from support.targets import EchoTarget
from support.waiting import patient, wait_until
from support.wire import CertificateLink, Hello, Refused, Welcome

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture
def stage(tunnel, start):
    return tunnel({"echo": start(EchoTarget()).address}, security="tls")


@contextlib.contextmanager
def a_client(directory, stage, owner, *, ca=None, extra=()):
    """A second client daemon, with the certificate OWNER.pem of the stage's folder."""
    address = ("127.0.0.1", free_port())
    control = directory / f"second{address[1]}.sock"
    files = stage.directory
    client = Daemon(f"second-client-{address[1]}",
                    ["connect", "--listen", endpoint(*address), "--peer", endpoint(*stage.server_address),
                     "--service", "echo", "--ca", str(ca or files / "ca.pem"), "--cert", str(files / f"{owner}.pem"),
                     "--cert-key", str(files / f"{owner}.key"), *extra, "--control", str(control)],
                    control, directory)
    try:
        yield client.wait_ready(), address
        client.stop()
    finally:
        client.kill()


def expect_no_link(directory, stage, owner, client_says, server_says=None, **settings):
    """The application is reset, both logs say why, and another session goes on undisturbed."""
    with stage.connect() as undisturbed:
        echo_once(undisturbed)
        mark = stage.server.log_mark()
        with a_client(directory, stage, owner, **settings) as (client, address):
            expect_reset_of(connect, address, patient(10))
            assert len(client.wait_log(f"no link: .*{client_says}")) == 1
            peer, = client.control.status()["peers"]
            assert peer["state"] == "up" and re.search(client_says, peer["last_error"]), peer
        if server_says:
            assert len(stage.server.wait_log(f"not_authorised: {server_says}", since=mark)) == 1
        echo_once(undisturbed)


# -- links ------------------------------------------------------------------------------------


def test_a_session_over_certificates_survives_a_cut(stage):
    with stage.connect() as sock:
        echo_once(sock, b"before")
        assert stage.relay.cut() == 1
        echo_once(sock, b"after")
        session, = stage.server.control.sessions()
        assert session["identity"] == "laptop" and session["generation"] == 2, session
        assert stage.only_session()["identity"] == "laptop"
    assert stage.client.control.status()["peers"][0]["security"] == "tls"
    assert stage.server.control.status()["listeners"][0]["security"] == "tls"


def test_an_expired_client_is_told_and_its_application_reset(stage, tmp_path):
    stage.authority.client(stage.directory / "old", "old.example.org", days=(-9, -1))
    expect_no_link(tmp_path, stage, "old", "the server says that our certificate has expired",
                   f"the certificate of old.example.org expired on {TIME}")


def test_an_unknown_ca_is_told_on_both_sides(stage, tmp_path):
    stranger = Authority(tmp_path / "stranger", "Another CA")
    stranger.client(stage.directory / "stranger", "laptop")
    expect_no_link(tmp_path, stage, "stranger", "the server does not know the CA of our certificate",
                   "the certificate of laptop comes from a CA that is not in .*ca.pem.*Another CA")
    expect_no_link(tmp_path, stage, "link", "the certificate of 127.0.0.1 comes from a CA that is not in",
                   "the client does not know the CA of our certificate", ca=stranger.certificate)


def test_a_server_of_another_name_is_refused(stage, tmp_path):
    expect_no_link(tmp_path, stage, "link",
                   "certificate is for 127.0.0.1, gw.example.org; expected vpn.example.org",
                   "the client does not accept our certificate", extra=("--server-name", "vpn.example.org"))
    with a_client(tmp_path, stage, "link", extra=("--server-name", "gw.example.org")) as (_, address):
        with connect(address, patient(10)) as sock:
            echo_once(sock)


def test_an_expired_server_only_delays_a_session_that_is_open(stage):
    """Its bytes wait for a valid certificate; new applications are told at once."""
    with stage.connect() as sock:
        echo_once(sock, b"before")
        stage.authority.server(stage.directory / "server", "IP:127.0.0.1", days=(-9, -1))
        mark = stage.server.log_mark()
        stage.server.control.call("reload")
        assert stage.server.log_lines(f"warning.* the certificate of 127.0.0.1 expired on {TIME}", mark)
        stage.relay.cut()
        said = stage.client.wait_log(f"no link: .*the certificate of 127.0.0.1 expired on {TIME}")
        assert len(said) == 1
        assert re.search("expired on", stage.only_session()["last_error"])
        expect_reset_of(stage.connect)
        stage.authority.server(stage.directory / "server", "IP:127.0.0.1")
        stage.server.control.call("reload")
        echo_once(sock, b"after")


def test_a_client_without_a_certificate_is_refused(stage):
    mark = stage.server.log_mark()
    with wire.OpensslLink(stage.server_address, "-CAfile", str(stage.directory / "ca.pem")) as link:
        assert link.wait_closed() == b""
        assert "certificate required" in link.errors()
    assert len(stage.server.wait_log("not_authorised: the client sent no certificate", since=mark)) == 1


# -- identities -------------------------------------------------------------------------------


def test_an_identity_reaches_neither_sessions_nor_services_of_another(tunnel, start):
    target = endpoint(*start(EchoTarget()).address)
    stage = tunnel({"echo": target}, security="tls", allow={"laptop": ["echo"], "guest": ["other"]},
                   server_settings={"services": {"echo": {"target": target}, "other": {"target": target}}})
    guest = (stage.directory / "ca.pem", *stage.authority.client(stage.directory / "guest", "guest"))
    with stage.connect() as sock:
        echo_once(sock)
        session = stage.only_session()
        stolen = Hello(session=bytes.fromhex(session["id"]), generation=session["generation"] + 1000)
        answers = []
        for hello in (stolen, Hello(service="echo"), Hello(service="missing")):
            with CertificateLink(stage.server_address, *guest) as link:
                answers.append(link.handshake(hello))
        assert all(isinstance(answer, Refused) for answer in answers), answers
        assert {answer.reason for answer in answers} == {wire.NOT_AUTHORISED}
        with CertificateLink(stage.server_address, *guest) as link:
            assert isinstance(link.handshake(Hello(service="other")), Welcome)
        echo_once(sock)
        assert stage.only_session()["generation"] == session["generation"]


# -- reading them again -----------------------------------------------------------------------


def reload_by_signal(daemon):
    mark = daemon.log_mark()
    os.kill(daemon.pid, signal.SIGHUP)
    return daemon.wait_log("reload: ", since=mark)


def test_a_session_outlives_the_replacement_of_all_certificates(stage, tmp_path):
    ca = stage.directory / "ca.pem"
    old = [stage.directory / "old.pem", stage.directory / "old.key"]
    with stage.connect() as sock:
        echo_once(sock, b"before")
        generation = stage.only_session()["generation"]
        for copy, name in zip(old, ("link.pem", "link.key")):
            write_private(copy, (stage.directory / name).read_text())
        successor = Authority(tmp_path / "successor", "Next CA")
        successor.client(stage.directory / "link", "laptop")
        successor.server(stage.directory / "server", "IP:127.0.0.1")
        ca.write_bytes(successor.certificate.read_bytes())
        for daemon in stage.daemons():
            lines = reload_by_signal(daemon)
            assert len(lines) == 1 and "info" in lines[0], lines
        echo_once(sock, b"on the link of before")
        assert stage.only_session()["generation"] == generation
        stage.relay.cut()
        echo_once(sock, b"on a link of the next CA")
        with CertificateLink(stage.server_address, ca, *old) as link:
            assert link.wait_closed() == b""
        stage.server.wait_log("the certificate of laptop comes from a CA that is not in")


def test_a_broken_file_changes_nothing(stage):
    good = (stage.directory / "server.pem").read_text()
    with stage.connect() as sock:
        echo_once(sock, b"before")
        write_private(stage.directory / "server.pem", (stage.directory / "link.pem").read_text())
        lines = reload_by_signal(stage.server)
        assert len(lines) == 1, lines
        assert re.search("error.*nothing is changed: .*server.pem: the certificate does not belong to the private key "
                         "in .*server.key", lines[0]), lines
        with pytest.raises(ControlError, match="server.pem"):
            stage.server.control.call("reload")
        done = run(binary("backedpipctl"), "--socket", stage.server.control.path, "reload")
        assert done.returncode == 1 and "server.key" in done.stderr and not done.stdout, done
        stage.relay.cut()
        echo_once(sock, b"after")
        with stage.connect() as other:
            echo_once(other)
        write_private(stage.directory / "server.pem", good)
        done = run(binary("backedpipctl"), "--socket", stage.server.control.path, "reload")
        assert done.returncode == 0 and "reloaded" in done.stdout, done
        done = run(binary("backedpipctl"), "--socket", stage.server.control.path, "--json", "reload")
        assert json.loads(done.stdout) == {"reloaded": True, "after_restart": []}, done


def test_one_broken_file_keeps_all_others_from_being_used(stage, tmp_path):
    """A daemon of both roles, whose own identity would change if the listener's certificate were right."""
    stage.authority.client(tmp_path / "own", "laptop")
    stage.authority.server(tmp_path / "gw", "IP:127.0.0.1")
    ca = {"security": "tls", "ca_file": str(stage.directory / "ca.pem")}
    address, control = ("127.0.0.1", free_port()), tmp_path / "both.sock"
    config = write_config(tmp_path / "both.json", {
        "control": {"socket": str(control)},
        "peers": {"far": {"endpoints": [endpoint(*stage.server_address)], "cert_file": "own.pem",
                          "key_file": "own.key", **ca}},
        "tunnels": [{"name": "t", "listen": endpoint(*address), "peer": "far", "service": "echo"}],
        "accept": [{"listen": "127.0.0.1:0", "cert_file": "gw.pem", "key_file": "gw.key", "allow": {"*": ["*"]}, **ca}],
        "services": {"echo": {"target": stage.targets["echo"]}}})
    both = Daemon("both", ["--config", str(config)], control, tmp_path)
    try:
        both.wait_ready()
        stage.authority.client(tmp_path / "own", "desktop")
        write_private(tmp_path / "gw.pem", "")
        with pytest.raises(ControlError, match="gw.pem"):
            both.control.call("reload")
        with connect(address, patient(10)) as sock:
            echo_once(sock)
            session, = stage.server.control.sessions()
            assert session["identity"] == "laptop"
        both.stop()
    finally:
        both.kill()


def test_a_key_that_is_taken_away_keeps_new_links_out_and_may_come_back(tunnel, start):
    stage = tunnel(start(EchoTarget()).address)
    with stage.connect() as sock:
        echo_once(sock, b"before")
        write_private(stage.server_keys_path, keygen("somebody-else"))
        assert "info" in reload_by_signal(stage.server)[0]
        echo_once(sock, b"the link that is there stays")
        expect_reset_of(stage.connect)
        stage.relay.cut()
        stage.server.wait_log('not_authorised: unknown identity "laptop"')
        wait_until(lambda: stage.only_session()["state"] == "reconnecting", 10, "the client to try")
        write_private(stage.server_keys_path, stage.key_line)
        reload_by_signal(stage.server)
        echo_once(sock, b"after")


def test_an_identity_that_changes_is_warned_of(stage):
    with stage.connect() as sock:
        echo_once(sock)
        stage.authority.client(stage.directory / "link", "desktop")
        mark = stage.client.log_mark()
        reload_by_signal(stage.client)
        assert stage.client.log_lines('warning.*our identity there was "laptop" and is now "desktop"', mark)
        stage.relay.cut()
        expect_reset(sock)


# -- what is known before anything starts -----------------------------------------------------


def test_a_certificate_of_another_key_stops_the_start(stage):
    folder = stage.directory
    done = run(binary("backedpipd"), "serve", "--listen", f"127.0.0.1:{free_port()}", "--service", "ssh=127.0.0.1:22",
               "--ca", str(folder / "ca.pem"), "--cert", str(folder / "server.pem"), "--cert-key",
               str(folder / "link.key"))
    assert done.returncode == 1
    line, = done.stderr.splitlines()
    assert "server.pem: the certificate does not belong to the private key in" in line and "link.key" in line


@pytest.mark.parametrize("options, mention", [
    (["--ca", "a"], "serve needs --cert"),
    (["--ca", "a", "--cert", "b"], "serve needs --cert-key"),
    (["--ca", "a", "--cert", "b", "--cert-key", "c", "--insecure"], "needs one of --key FILE"),
    (["--ca", "a", "--cert", "b", "--cert-key", "c", "--key", "d"], "needs one of --key FILE"),
    (["--insecure", "--server-name", "a"], "serve has no --server-name"),
], ids=" ".join)
def test_a_wrong_mixture_of_options_is_explained(options, mention):
    done = run(binary("backedpipd"), "serve", "--listen", "127.0.0.1:0", "--service", "ssh=127.0.0.1:22", *options)
    assert done.returncode == 2 and mention in done.stderr, done


def test_the_check_looks_at_certificates(stage):
    folder = stage.directory
    config = write_config(folder / "check.json", {
        "accept": [{"listen": "127.0.0.1:0", "security": "tls", "ca_file": "ca.pem", "cert_file": "soon.pem",
                    "key_file": "soon.key", "allow": {"laptop": ["echo"]}}],
        "services": {"echo": {"target": "127.0.0.1:7"}}})
    ways = ((binary("backedpipd"), "--config", str(config), "--check"), (binary("backedpipctl"), "check", str(config)))
    for days, code, says in (((-1, 9.5), 0, f"warning: .*soon.pem: .*gw.example.org expires in 9 days, on {TIME}"),
                             ((-9, -1), 1, f"soon.pem: the certificate of gw.example.org expired on {TIME}"),
                             ((-1, 20), 0, "^$")):
        stage.authority.server(folder / "soon", "DNS:gw.example.org", days=days)
        for way in ways:
            done = run(*way)
            assert done.returncode == code and re.search(says, done.stderr), done
