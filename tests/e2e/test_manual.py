"""The manual pages are well formed, and say of each command, option and setting that it exists."""

import json
import re

import pytest

from support.daemon import REPOSITORY, binary, run

PAGES = sorted((REPOSITORY / "man").iterdir())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_formatters_find_nothing_wrong(page):
    for command in (["mandoc", "-Tlint", "-Wwarning", str(page)],
                    ["groff", "-ww", "-mdoc", "-Tutf8", "-z", str(page)]):
        done = run(*command)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def text_of(name):
    done = run("mandoc", "-Tascii", str(REPOSITORY / "man" / name))
    assert done.returncode == 0
    return re.sub(r".\x08", "", done.stdout)


@pytest.mark.parametrize("program, page", [("backedpipd", "backedpipd.8"), ("backedpipctl", "backedpipctl.1")])
def test_options_and_commands_are_those_of_the_program(program, page):
    pattern = r"(?<![\w-])--[a-z-]+(?![\w-])"
    text = text_of(page)
    assert set(re.findall(pattern, run(binary(program), "--help").stdout)) <= set(re.findall(pattern, text))
    if program == "backedpipctl":
        for command in run(binary(program), "??").stderr.split("the commands are: ")[1].splitlines()[0].split(", "):
            assert re.search(rf"^\s+{command}\b", text, re.MULTILINE), command


def test_every_setting_is_explained():
    def keys(schema):
        for key, value in schema.get("properties", {}).items():
            yield key
            yield from keys(value)
        for inner in ("additionalProperties", "items"):
            if isinstance(schema.get(inner), dict):
                yield from keys(schema[inner])

    text = text_of("backedpipd.json.5")
    known = set(keys(json.loads((REPOSITORY / "config" / "backedpipd.schema.json").read_text())))
    assert len(known) > 25
    for key in known:
        assert re.search(rf"^ +{key}\b", text, re.MULTILINE), key
