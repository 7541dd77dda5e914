"""What goes wrong before the daemon runs: one clear sentence and a non-zero exit code, never a stack trace."""

import json
import os
import socket

import pytest

from support.daemon import binary, keygen, run, write_config, write_private
from support.ports import free_port

NOT_FOR_PEOPLE = ("terminate called", "what():", "Aborted", "core dumped", "AddressSanitizer", "runtime error:")


@pytest.fixture
def key(tmp_path):
    return write_private(tmp_path / "good.key", keygen("laptop"))


def serve(tmp_path, *security, port=None):
    return run(binary("backedpipd"), "serve", "--listen", f"127.0.0.1:{port or free_port()}",
               "--service", "ssh=127.0.0.1:22", "--control", str(tmp_path / "control.sock"), *security)


def assert_clear_failure(done, *mentions):
    """Ended by itself with an error code, and exactly one line says what it is about."""
    assert done.returncode > 0, done
    for sign in NOT_FOR_PEOPLE:
        assert sign not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if all(str(mention) in line for mention in mentions)]
    assert len(lines) == 1, f"{mentions} in:\n{done.stderr}"


@pytest.mark.parametrize("command", ["serve", "connect"])
def test_a_port_in_use_is_named(tmp_path, key, command):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        if command == "serve":
            done = serve(tmp_path, "--key", str(key), port=port)
        else:
            done = run(binary("backedpipd"), "connect", "--listen", f"127.0.0.1:{port}", "--peer", "127.0.0.1:1",
                       "--service", "ssh", "--key", str(key), "--control", str(tmp_path / "control.sock"))
    assert_clear_failure(done, f"127.0.0.1:{port}")


def test_a_second_daemon_does_not_take_over_the_port_of_the_first(tmp_path, key, tunnel):
    """Listeners that share a port among threads must not share it with a stranger."""
    stage = tunnel(("127.0.0.1", free_port()))
    assert_clear_failure(serve(tmp_path, "--key", str(key), port=stage.server_port), f"127.0.0.1:{stage.server_port}")


def test_a_missing_key_file_is_named(tmp_path):
    path = tmp_path / "missing.key"
    assert_clear_failure(serve(tmp_path, "--key", str(path)), path)


def test_a_key_file_that_cannot_be_read_is_named(tmp_path):
    """A directory stands for any file that even root cannot read."""
    path = tmp_path / "directory.key"
    path.mkdir()
    assert_clear_failure(serve(tmp_path, "--key", str(path)), path)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_key_file_that_others_can_read_is_refused(tmp_path, key, mode):
    os.chmod(key, mode)
    assert_clear_failure(serve(tmp_path, "--key", str(key)), key)


@pytest.mark.parametrize("text", [
    pytest.param("", id="empty"),
    pytest.param("laptop\n", id="no key"),
    pytest.param("laptop:1234\n", id="short key"),
    pytest.param("laptop:" + "xy" * 32 + "\n", id="not hex"),
    pytest.param(":" + "ab" * 32 + "\n", id="no identity"),
])
def test_a_key_file_that_holds_no_key_is_refused_without_showing_it(tmp_path, text):
    path = write_private(tmp_path / "bad.key", text)
    done = serve(tmp_path, "--key", str(path))
    assert_clear_failure(done, path)
    assert "xyxy" not in done.stderr and "abab" not in done.stderr


def test_a_server_needs_a_key_unless_told_otherwise(tmp_path):
    done = serve(tmp_path)
    assert done.returncode > 0
    assert "--key" in done.stderr


# -- config files -----------------------------------------------------------------------------


def good_settings(tmp_path, key):
    return {
        "control": {"socket": str(tmp_path / "control.sock")},
        "accept": [{"listen": f"127.0.0.1:{free_port()}", "security": "psk", "key_file": key.name,
                    "allow": {"laptop": ["ssh"]}}],
        "services": {"ssh": {"target": "127.0.0.1:22"}},
    }


def every_way_to_read(path):
    """All three must judge a config alike."""
    return (run(binary("backedpipd"), "--config", str(path)),
            run(binary("backedpipd"), "--config", str(path), "--check"),
            run(binary("backedpipctl"), "check", str(path)))


def test_a_good_config_passes_the_check_without_being_started(tmp_path, key):
    path = write_config(tmp_path / "good.json", good_settings(tmp_path, key))
    for command in ((binary("backedpipd"), "--config", path, "--check"), (binary("backedpipctl"), "check", path)):
        done = run(*map(str, command))
        assert done.returncode == 0, done.stderr
    assert not (tmp_path / "control.sock").exists()


def test_comments_are_allowed_in_a_config(tmp_path, key):
    text = "// the office\n" + json.dumps(good_settings(tmp_path, key), indent=2).replace("{", "{ /* here */", 1)
    path = write_private(tmp_path / "commented.json", text)
    done = run(binary("backedpipd"), "--config", str(path), "--check")
    assert done.returncode == 0, done.stderr


def test_a_config_that_is_not_json_is_refused_with_its_place(tmp_path):
    path = write_private(tmp_path / "broken.json", '{\n  "workers": 2,\n  "accept": [ }\n')
    for done in every_way_to_read(path):
        assert_clear_failure(done, f"{path}:3")


def test_an_unknown_key_is_refused_with_the_nearest_known_name(tmp_path, key):
    path = write_config(tmp_path / "unknown.json", good_settings(tmp_path, key) | {"acept": []})
    for done in every_way_to_read(path):
        assert_clear_failure(done, path, '"acept"', "accept")


def test_all_errors_of_a_config_are_told_in_one_run(tmp_path, key):
    settings = good_settings(tmp_path, key) | {"workers": "many", "limits": {"max_window": "16 bananas"},
                                               "liveness": {"ping": -1}}
    path = write_config(tmp_path / "many.json", settings)
    for done in every_way_to_read(path):
        for pointer in ("/workers", "/limits/max_window", "/liveness/ping"):
            assert_clear_failure(done, path, pointer)


def test_a_missing_config_is_named(tmp_path):
    path = tmp_path / "missing.json"
    for done in every_way_to_read(path):
        assert_clear_failure(done, path)


def test_a_config_whose_key_file_is_missing_is_refused(tmp_path, key):
    settings = good_settings(tmp_path, key)
    settings["accept"][0]["key_file"] = "elsewhere.key"
    path = write_config(tmp_path / "nokey.json", settings)
    assert_clear_failure(run(binary("backedpipd"), "--config", str(path)), "elsewhere.key")


# -- the command line -------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["--nonsense"], ["serve"], ["connect", "--listen", "nowhere"],
                                       ["serve", "--listen", "127.0.0.1:99999"]], ids=" ".join)
def test_a_wrong_command_line_is_explained(arguments):
    done = run(binary("backedpipd"), *arguments)
    assert done.returncode > 0
    assert done.stderr.strip()
    for sign in NOT_FOR_PEOPLE:
        assert sign not in done.stderr


@pytest.mark.parametrize("name", ["backedpipd", "backedpipctl"])
def test_help_and_version_go_to_stdout(name):
    for option in ("--help", "--version"):
        done = run(binary(name), option)
        assert done.returncode == 0 and done.stdout.strip(), done
