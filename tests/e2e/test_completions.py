"""Completions, asked of the real shells: what they offer is what the programs know."""

import functools
import os
import re
import shlex
import socket
import subprocess

import pytest

from support.daemon import REPOSITORY, binary, run
from support.targets import EchoTarget
from support.waiting import Deadline

COMPLETIONS = REPOSITORY / "completions"
SHELLS = ("bash", "zsh", "fish")

BASH = """
source "$FILE"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
compopt() { :; }
"_$1"
printf '%s\\n' "${COMPREPLY[@]}"
"""
# The line editor of zsh, in a terminal of its own, where adding a match means printing it.
ZSH_EDITOR = """
PROMPT= RPROMPT=
fpath=($FOLDER $fpath)
autoload -Uz compinit
compinit -u -D
compadd() {
  if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then
    builtin compadd "$@"
    return
  fi
  local -a matches
  builtin compadd -A matches "$@"
  print -rl -- '' $matches
  (( $#matches ))
}
stop() { print '<end>'; exit }
comppostfuncs=(stop)
bindkey '^I' complete-word
print '<ready>'
"""
ZSH = """
zmodload zsh/zpty
zpty editor zsh -f -i
zpty -w editor "source $EDITOR_FILE"
zpty -r editor before $'*<ready>*'
zpty -w -n editor "$LINE"$'\\t'
zpty -r editor text $'*<end>*'
print -r -- "$text"
"""


@pytest.fixture(scope="session")
def zsh_editor(tmp_path_factory):
    path = tmp_path_factory.mktemp("zsh") / "editor"
    path.write_text(ZSH_EDITOR)
    return path


@pytest.fixture
def offered(zsh_editor):
    """What a shell offers for the last of the words."""
    return functools.partial(ask, zsh_editor)


def ask(zsh_editor, shell, words, environment=None):
    program = words[0]
    variables = os.environ | {"PATH": f"{os.path.dirname(binary(program))}:{os.environ['PATH']}", "TERM": "dumb",
                              "FOLDER": str(COMPLETIONS / "zsh"),
                              "EDITOR_FILE": str(zsh_editor), "LINE": shlex.join(words[:-1]) + " " + words[-1]}
    variables |= environment or {}
    if shell == "bash":
        variables["FILE"] = str(COMPLETIONS / "bash" / program)
        command = ["bash", "--norc", "-c", BASH, "bash", *words]
    elif shell == "zsh":
        command = ["zsh", "-f", "-c", ZSH]
    else:
        file = COMPLETIONS / "fish" / f"{program}.fish"
        command = ["fish", "--no-config", "-c", f"source {shlex.quote(str(file))}; complete -C \"$LINE\""]
    done = subprocess.run(command, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=Deadline(30).left(), check=False)
    assert done.returncode == 0, done.stderr
    assert not re.search(r"error|syntax|not found|no such", done.stderr, re.IGNORECASE), done.stderr
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", done.stdout).replace("\r", "")
    # Each line begins with what is offered; zsh and fish describe it after that.
    return {line.split()[0] for line in text.splitlines() if line.strip()}


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_of_backedpipctl_is_offered(offered, shell):
    known = run(binary("backedpipctl"), "??").stderr.split("the commands are: ")[1].splitlines()[0].split(", ")
    assert len(known) >= 7
    assert set(known) <= offered(shell, ["backedpipctl", ""])
    assert "sessions" in offered(shell, ["backedpipctl", "--json", "se"])


@pytest.mark.parametrize("shell", SHELLS)
def test_every_option_is_offered(offered, shell):
    def options(program):
        return set(re.findall(r"(?<!\S)--[a-z-]+", run(binary(program), "--help").stdout))

    everywhere = set().union(*(offered(shell, ["backedpipctl", *command, "--"])
                               for command in ([], ["reconnect"], ["sessions"], ["watch"], ["drain"], ["keygen"])))
    assert options("backedpipctl") <= everywhere
    everywhere = set()
    for words in (["--"], ["serve", "--"], ["connect", "--"], ["stdio", "--"]):
        everywhere |= offered(shell, ["backedpipd", *words])
    assert options("backedpipd") <= everywhere


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_and_levels_of_backedpipd_are_offered(offered, shell):
    assert {"serve", "connect", "stdio"} <= offered(shell, ["backedpipd", ""])
    assert {"trace", "debug", "info", "warning", "error", "off"} <= offered(shell, ["backedpipd", "--log-level", ""])
    assert "--peer" not in offered(shell, ["backedpipd", "serve", "--"])
    assert not {"--listen", "--control"} & offered(shell, ["backedpipd", "stdio", "--"])


@pytest.mark.parametrize("shell", SHELLS)
def test_sessions_that_run_are_offered(offered, shell, start, tunnel):
    stage = tunnel(start(EchoTarget()).address)
    with socket.create_connection(("127.0.0.1", stage.client_port)) as application:
        application.sendall(b"x")
        assert application.recv(1) == b"x"
        ids = {session["id"] for session in stage.client.control.sessions()}
        assert len(ids) == 1
        path = str(stage.client.control.path)
        assert ids <= offered(shell, ["backedpipctl", "--socket", path, "close", ""])
        assert ids <= offered(shell, ["backedpipctl", "session", ""], {"BACKEDPIPD_SOCKET": path})


@pytest.mark.parametrize("shell", SHELLS)
def test_files_are_offered_where_a_file_belongs(offered, shell, tmp_path):
    (tmp_path / "wanted.json").touch()
    for words in (["backedpipctl", "check"], ["backedpipd", "--config"]):
        found = offered(shell, [*words, f"{tmp_path}/wan"])
        assert any("wanted.json" in word for word in found), found
