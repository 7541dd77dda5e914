"""config/backedpipd.schema.json and the parser agree: on every key, on the samples, and on what is wrong."""

import copy
import functools
import json
import re

import jsonschema
import pytest

from support.daemon import REPOSITORY, binary, run, write_config

SCHEMA = json.loads((REPOSITORY / "config" / "backedpipd.schema.json").read_text())
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)
SAMPLES = [REPOSITORY / folder / name for folder, name in (
    ("config", "backedpipd.json"), ("config", "client.json"), ("config", "server.json"), ("packaging", "backedpipd.json"),
    ("config/docker", "client.json"), ("config/docker", "server.json"))]
UNKNOWN = "qqqqqqqqqqqq"  # like no key, so that the parser lists those it knows

GOOD = {
    "control": {"socket": "/run/backedpipd/control.sock"},
    "metrics": {"listen": "127.0.0.1:9677"},
    "log": {}, "workers": 2, "limits": {}, "liveness": {},
    "peers": {"office": {"endpoints": ["gw.example.org:7700"], "security": "none"}},
    "tunnels": [{"name": "ssh", "listen": "127.0.0.1:2222", "peer": "office", "service": "ssh"}],
    "accept": [{"listen": "[::]:7700", "security": "none"}],
    "services": {"ssh": {"target": "127.0.0.1:22"}},
}


def without_comments(text):
    return re.sub(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', lambda found: found[1] or "", text, flags=re.DOTALL)


def parser_errors(tmp_path, settings):
    """Pointer -> messages; files that keys would be in are not there, which is another matter."""
    path = write_config(tmp_path / "config.json", settings)
    done = run(binary("backedpipctl"), "--json", "check", str(path))
    errors = {}
    for error in json.loads(done.stdout)["errors"]:
        if error["file"] == str(path):
            errors.setdefault(error["pointer"], []).append(error["message"])
    return errors


def fixed_objects(schema, pointer=""):
    """(pointer, keys) of every object whose keys are fixed; list items as /0, free names as those in GOOD."""
    if "properties" in schema:
        yield pointer, set(schema["properties"])
        for key, value in schema["properties"].items():
            yield from fixed_objects(value, f"{pointer}/{key}")
    if isinstance(schema.get("additionalProperties"), dict):
        for name in at(GOOD, pointer) if "properties" in schema["additionalProperties"] else ():
            yield from fixed_objects(schema["additionalProperties"], f"{pointer}/{name}")
    if "items" in schema:
        yield from fixed_objects(schema["items"], f"{pointer}/0")


def at(settings, pointer):
    value = settings
    for step in pointer.split("/")[1:]:
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


def changed(pointer, value):
    settings = copy.deepcopy(GOOD)
    parent, _, key = pointer.rpartition("/")
    container = at(settings, parent)
    container[int(key) if isinstance(container, list) else key] = value
    return settings


def test_the_schema_is_a_schema():
    jsonschema.Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_samples_fit_the_schema(path):
    VALIDATOR.validate(json.loads(without_comments(path.read_text())))


def test_schema_and_parser_know_the_same_keys(tmp_path):
    objects = dict(fixed_objects(SCHEMA))
    assert len(objects) >= 10
    settings = copy.deepcopy(GOOD)
    for pointer in objects:
        at(settings, pointer)[UNKNOWN] = 1
    errors = parser_errors(tmp_path, settings)
    assert set(errors) == {f"{pointer}/{UNKNOWN}" for pointer in objects}
    for pointer, keys in objects.items():
        message = errors[f"{pointer}/{UNKNOWN}"][0]
        known = re.findall(r'"([^"]+)"', message.split("; known: ")[1])
        assert set(known) == keys, pointer


CERTIFICATES = {"security": "tls", "ca_file": "ca.pem", "cert_file": "own.pem", "key_file": "own.key"}
PEER = {"endpoints": ["gw:1"], **CERTIFICATES}
ACCEPT = {"listen": "h:1", **CERTIFICATES}
ACCEPTED = [("/limits/replay_buffer", "64MiB"), ("/limits/replay_buffer", 1048576), ("/limits/max_window", "1000KB"),
            ("/limits/resume_timeout", "90m"), ("/liveness/ping", "250ms"), ("/control/mode", "660"),
            ("/liveness/application_keepalive", "off"), ("/liveness/application_keepalive", "4s"),
            ("/control/group", ""), ("/tunnels/0/listen", "unix:/run/x.sock"), ("/tunnels/0/listen", "[::1]:0"),
            ("/services/ssh/target", "unix:/run/postgresql/.s.PGSQL.5432"), ("/peers/office/endpoints", ["[::1]:1"]),
            ("/accept/0/allow", {"*": ["ssh"]}), ("/workers", 256), ("/peers/office", PEER),
            ("/peers/office", PEER | {"server_name": "gw.example.org"}), ("/peers/office", PEER | {"server_name": "::1"}),
            ("/peers/office", PEER | {"allowed_names": ["a.example", "192.0.2.1"]}),
            ("/accept/0", ACCEPT | {"allow": {"spiffe://example.org/nas": ["ssh"], "*": ["*"]}})]
REFUSED = [("/limits/replay_buffer", "64 bananas"), ("/limits/replay_buffer", -1), ("/limits/resume_timeout", 5),
           ("/limits/max_sessions", 0), ("/liveness/ping", "5"), ("/control/mode", "999"), ("/liveness/application_keepalive", "never"), ("/control/socket", ""),
           ("/control/socket", "/" + "x" * 107), ("/log/level", "loud"), ("/workers", 0), ("/workers", 1.5),
           ("/tunnels/0/listen", "2222"), ("/tunnels/0/name", "a name"), ("/accept/0/listen", "unix:/x"),
           ("/accept/0/security", "tls?"), ("/accept/0/allow", {"laptop": ["ssh"]}), ("/accept/0/allow", {}),
           ("/accept/0/key_file", "clients.keys"), ("/peers/office/endpoints", []), ("/peers/office/key_file", "x"),
           ("/peers/office/endpoints", ["gw.example.org:0"]), ("/peers/bad name", {"endpoints": ["gw:1"]}),
           ("/services/ssh/target", "127.0.0.1"), ("/accept/0/security", "psk"), ("/peers/office/security", "psk"),
           ("/tunnels", {}), ("/peers/office/server_name", "gw"), ("/peers/office/ca_file", "ca.pem"),
           ("/peers/office", PEER | {"server_name": "*.example.org"}), ("/peers/office", PEER | {"allowed_names": []}),
           ("/peers/office", PEER | {"server_name": "a", "allowed_names": ["a"]}),
           ("/peers/office", {key: PEER[key] for key in PEER if key != "ca_file"}), ("/accept/0", ACCEPT),
           ("/accept/0", ACCEPT | {"allow": {"*.example.org": ["ssh"]}}),
           ("/accept/0", ACCEPT | {"security": "psk", "allow": {"*": ["ssh"]}})]


def case_name(case):
    return f"{case[0]}={json.dumps(case[1])[:30]}"


@pytest.mark.parametrize("case", ACCEPTED, ids=case_name)
def test_both_accept(tmp_path, case):
    settings = changed(*case)
    VALIDATOR.validate(settings)
    assert parser_errors(tmp_path, settings) == {}


@pytest.mark.parametrize("case", REFUSED, ids=case_name)
def test_both_refuse(tmp_path, case):
    settings = changed(*case)
    assert list(VALIDATOR.iter_errors(settings))
    assert parser_errors(tmp_path, settings)


def settings_in(schema, pointer=""):
    """(pointer, schema) of every setting; list items as /0, free names as those in GOOD."""
    if "$ref" in schema:
        schema = functools.reduce(lambda node, step: node[step], schema["$ref"].split("/")[1:], SCHEMA)
    yield pointer, schema
    for key, value in schema.get("properties", {}).items():
        yield from settings_in(value, f"{pointer}/{key}")
    if isinstance(schema.get("additionalProperties"), dict):
        for name in at(GOOD, pointer) if pointer in ("/peers", "/services") else ():
            yield from settings_in(schema["additionalProperties"], f"{pointer}/{name}")
    if pointer in ("/tunnels", "/accept"):
        yield from settings_in(schema["items"], f"{pointer}/0")


def test_both_know_the_same_ranges(tmp_path):
    ranges = [(pointer, schema["minimum"], schema["maximum"]) for pointer, schema in settings_in(SCHEMA)
              if schema.get("type") == "integer"]
    assert len(ranges) >= 4
    for pointer, least, most in ranges:
        for value, accepted in ((least, True), (most, True), (least - 1, False), (most + 1, False)):
            settings = changed(pointer, value)
            assert VALIDATOR.is_valid(settings) == accepted, (pointer, value)
            assert (parser_errors(tmp_path, settings) == {}) == accepted, (pointer, value)


def test_both_know_the_same_words(tmp_path):
    fixed = {pointer: schema["enum"] for pointer, schema in settings_in(SCHEMA) if "enum" in schema}
    assert set(fixed) == {"/log/level", "/log/format", "/peers/office/security", "/accept/0/security"}
    for pointer, known in fixed.items():
        for word in known:
            # A word may ask for further settings, elsewhere.
            assert pointer not in parser_errors(tmp_path, changed(pointer, word)), (pointer, word)
        [message] = parser_errors(tmp_path, changed(pointer, UNKNOWN))[pointer]
        listed = re.split(r", | or ", message.partition("expected one of ")[2])
        assert {word.strip('"') for word in listed} == set(known), message


def test_both_refuse_a_file_without_anything_to_do(tmp_path):
    settings = {key: value for key, value in GOOD.items() if key not in ("tunnels", "accept")}
    assert list(VALIDATOR.iter_errors(settings))
    assert parser_errors(tmp_path, settings)
