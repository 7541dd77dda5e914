"""cmake --install: files are where they belong, and another project can build against the library."""

import json
import pathlib
import re
import shutil

import pytest

from support.daemon import REPOSITORY, binary, run

BUILD = pathlib.Path(binary("backedpipd")).parents[1]

pytestmark = pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")


def must(*command, timeout=300):
    done = run(*map(str, command), timeout=timeout)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("installed")
    must("cmake", "--install", BUILD, "--prefix", prefix)
    return prefix


def test_files_are_where_they_belong(prefix):
    for name in ("sbin/backedpipd", "bin/backedpipctl", "share/man/man8/backedpipd.8", "share/man/man1/backedpipctl.1",
                 "share/man/man5/backedpipd.json.5", "share/bash-completion/completions/backedpipctl",
                 "share/zsh/site-functions/_backedpipctl", "share/fish/vendor_completions.d/backedpipctl.fish",
                 "lib/systemd/system/backedpipd.service", "lib/systemd/system/backedpipd@.service",
                 "lib/systemd/system/backedpipd.socket", "lib/sysusers.d/backedpipd.conf",
                 "share/backedpipd/backedpipd.schema.json", "share/doc/backedpipd/examples/client.json",
                 "share/doc/backedpipd/README.md", "share/doc/backedpipd/docs/using.md"):
        assert (prefix / name).is_file(), name
    json.loads((prefix / "share/backedpipd/backedpipd.schema.json").read_text())
    assert must(prefix / "sbin/backedpipd", "--version") == must(binary("backedpipd"), "--version")


def test_settings_that_are_there_already_are_kept(tmp_path):
    command = ["env", f"DESTDIR={tmp_path}", "cmake", "--install", BUILD]
    must(*command)
    settings = [path for path in tmp_path.rglob("backedpipd.json") if "etc" in path.parts]
    assert len(settings) == 1
    settings[0].write_text("changed")
    must(*command)
    assert settings[0].read_text() == "changed"


def test_another_project_builds_against_the_library(prefix, tmp_path):
    flags = "-Wall -Wextra -Werror"
    if sanitizers := re.search(r"^BACKEDPIPE_SANITIZE:STRING=(.+)$", (BUILD / "CMakeCache.txt").read_text(), re.M):
        flags += f" -fsanitize={sanitizers[1]}"
    must("cmake", "-S", REPOSITORY / "tests" / "example", "-B", tmp_path, f"-DCMAKE_PREFIX_PATH={prefix}",
         "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_COMPILER=c++", f"-DCMAKE_CXX_FLAGS={flags}")
    must("cmake", "--build", tmp_path)
    assert must(tmp_path / "example") == "exactly once, in order, over two links\n"
    # Nothing of the source tree is left in what others get.
    for path in prefix.rglob("*.cmake"):
        assert str(REPOSITORY) not in path.read_text(), path
