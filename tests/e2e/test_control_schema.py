"""Replies of a running daemon against the schemas that the control protocol's description links to."""

import json
import re

import jsonschema
import pytest

from support.daemon import REPOSITORY, ControlError
from support.streams import echo_once
from support.supervised import SupervisedPair
from support.targets import EchoTarget
from support.waiting import wait_until

CONTROL = REPOSITORY / "lib" / "control"
SCHEMAS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (CONTROL / "schema").glob("*.json")}


def check(name, value):
    jsonschema.validate(value, SCHEMAS[name], cls=jsonschema.Draft202012Validator)


def test_what_is_told_after_a_restart_is_what_the_schemas_say(tmp_path, start):
    pair = start(SupervisedPair(tmp_path, start(EchoTarget())))
    with pair.connect() as sock:
        echo_once(sock)
        pair.near.kill_daemon()
        echo_once(sock)
        control = pair.near.control
        check("status", control.status())
        check("sessions", control.sessions())
        session = control.session(control.sessions()[0]["id"])
        check("session", session)
        # Not everything would do there.
        for wrong in ({"restored": 1}, session["history"][0] | {"restored": 0}, {}):
            with pytest.raises(jsonschema.ValidationError):
                check("session", session | {"history": [wrong]})


def test_every_reply_is_what_its_schema_says(tunnel, start):
    stage = tunnel({"echo": start(EchoTarget()).address})
    with stage.client.control.connect() as follower, follower.makefile("rwb") as stream:
        stream.write(b'{"jsonrpc":"2.0","id":1,"method":"events"}\n')
        stream.flush()
        check("events", json.loads(stream.readline())["result"])
        with stage.connect() as sock:
            echo_once(sock)
            stage.relay.refuse()
            stage.relay.cut()
            wait_until(lambda: stage.client.control.status()["peers"][0]["state"] == "down", 10, "the peer to be down")
            check("status", stage.client.control.status())
            check("sessions", stage.client.control.sessions())
            stage.relay.accept()
            echo_once(sock)
            session_id = stage.only_session()["id"]
            for daemon in stage.daemons():
                check("status", daemon.control.status())
                check("sessions", daemon.control.sessions())
                session = daemon.control.session(session_id)
                check("session", session)
                assert len(session["history"]) == 2
            check("reconnect", stage.client.control.reconnect(session_id))
            check("reconnect", stage.client.control.call("reconnect", all=True))
            check("log_level", stage.client.control.call("log_level"))
            check("reload", stage.client.control.call("reload"))
            check("close", stage.client.control.close(session_id))
            check("drain", stage.server.control.call("drain", timeout_s=60))
            check("stop", stage.server.control.call("stop"))
            check("status", stage.server.control.status())
        kinds = set()
        while "close" not in kinds:
            event = json.loads(stream.readline())["params"]
            check("event", event)
            kinds.add(event["event"])
    assert {"open", "attach", "detach", "peer_down", "peer_up"} <= kinds


def test_every_error_is_what_its_schema_says(tunnel, start):
    stage = tunnel({"echo": start(EchoTarget()).address})
    with stage.connect() as sock:
        echo_once(sock)
        session_id = stage.only_session()["id"]
        for daemon, request, code in (
                (stage.client, b"nonsense", -32700), (stage.client, b"[]", -32600),
                (stage.client, b'{"jsonrpc":"2.0","id":1,"method":"explode"}', -32601),
                (stage.client, b'{"jsonrpc":"2.0","id":1,"method":"log_level","params":{"level":1}}', -32602),
                (stage.client, b'{"jsonrpc":"2.0","id":1,"method":"close","params":{"id":"' + b"0" * 32 + b'"}}', -32004),
                (stage.server, b'{"jsonrpc":"2.0","id":1,"method":"reconnect","params":{"id":"' + session_id.encode()
                 + b'"}}', -32006)):
            with daemon.control.connect() as connection, connection.makefile("rwb") as stream:
                stream.write(request + b"\n")
                stream.flush()
                error = json.loads(stream.readline())["error"]
                check("error", error)
                assert error["code"] == code
    stage.key_path.write_text("no key\n", encoding="utf-8")
    with pytest.raises(ControlError) as refused:
        stage.client.control.call("reload")
    check("error", refused.value.error)
    assert refused.value.code == -32008


def objects(schema):
    """Every object in a schema, wherever it stands."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for value in schema.values():
            yield from objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects(value)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_schemas_allow_nothing_that_they_do_not_say(name):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    for schema in objects(SCHEMAS[name]):
        assert schema.get("additionalProperties") is False, schema
        for key, value in schema["properties"].items():
            assert {"type", "const", "enum", "$ref", "anyOf", "oneOf", "properties"} & set(value), (name, key)


def test_the_description_names_every_method_and_schema(tunnel, start):
    stage = tunnel({"echo": start(EchoTarget()).address})
    with pytest.raises(ControlError) as unknown:
        stage.client.control.call("explode")
    methods = re.search(r"there are: (.*)", str(unknown.value))[1].rstrip("'\")").split(", ")
    text = (CONTROL / "CONTROL.md").read_text(encoding="utf-8")
    described = re.findall(r"^\| `(\w+)` \|.*\(schema/\w+\.json\) \|$", text, re.MULTILINE)
    assert sorted(described) == sorted(methods)
    linked = set(re.findall(r"\(schema/(\w+)\.json\)", text))
    assert linked == set(SCHEMAS)
