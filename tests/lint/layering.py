#!/usr/bin/python3
"""Fails when a layer breaks its rules: the core has no sockets, no clock, no randomness and no log, and
dependencies between folders point in one direction only. See "Layers" in README.md."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Folder: the folders whose headers it may include besides its own.
MAY_USE = {
    "proto": set(),
    "lib/pipe": {"proto"},
    "lib/session": {"proto", "lib/pipe"},
    "lib/config": set(),
    "lib/control": {"proto", "lib/pipe", "lib/session"},
    "lib/net": {"proto", "lib/pipe", "lib/session", "lib/config", "lib/control"},
    "daemon": {"proto", "lib/pipe", "lib/session", "lib/config", "lib/control", "lib/net"},
}
CORE = ("proto", "lib/pipe", "lib/session", "lib/config", "lib/control")

# What the core may not include. lib/config reads files, which is why it has a list of its own.
FORBIDDEN_HEADERS = re.compile(
    r"<(boost/asio|boost/beast|spdlog|openssl|sys/socket|sys/un|sys/epoll|sys/uio|netinet|arpa|netdb|poll|time\.h|ctime|random|thread|mutex|atomic)\b"
)
FORBIDDEN_CALLS = re.compile(
    r"::now\(|\bclock_gettime\(|\bgettimeofday\(|(?<![\w.>:])time\(|\brandom_device\b|(?<![\w.>:])s?rand\(|\bgetrandom\("
)
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"(?P<own>[^"]+)"|(?P<system><[^>]+>))')
BOOST_IN_CORE = re.compile(r"<boost/(system|endian)/")


def folder_of(path):
    for folder in sorted(MAY_USE, key=len, reverse=True):
        if path.startswith(folder + "/"):
            return folder
    return None


def included_folder(name):
    """The folder of a quoted include: from the root, or from lib/."""
    return folder_of(name) or folder_of("lib/" + name)


def problems_in(path, text):
    folder = folder_of(path)
    in_comment = re.compile(r"//.*$")
    for number, line in enumerate(text.splitlines(), 1):
        code = in_comment.sub("", line)
        include = INCLUDE.match(code)
        if include and include["own"]:
            target = included_folder(include["own"])
            if target is None:
                if not (ROOT / path).parent.joinpath(include["own"]).exists():
                    yield number, f'includes "{include["own"]}", which belongs to no layer'
            elif target != folder and target not in MAY_USE[folder]:
                yield number, f'{folder} may not use {target} ("{include["own"]}")'
        if folder not in CORE:
            continue
        if include and include["system"]:
            header = include["system"]
            if FORBIDDEN_HEADERS.match(header):
                yield number, f"the core may not include {header}"
            elif header.startswith("<boost/") and not BOOST_IN_CORE.match(header):
                yield number, f"of Boost, the core uses System and Endian only, not {header}"
            elif header.startswith("<nlohmann/") and folder not in ("lib/config", "lib/control"):
                yield number, f"{folder} may not include {header}"
        elif call := FORBIDDEN_CALLS.search(code):
            yield number, f'the core reads no clock and draws no random numbers ("{call[0]}")'


def main():
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "*.hpp", "*.cpp"],
        check=True, capture_output=True, text=True).stdout.split()
    paths = [path for path in listed if folder_of(path)]
    failed = False
    for path in paths:
        for number, problem in problems_in(path, (ROOT / path).read_text()):
            print(f"{path}:{number}: {problem}", file=sys.stderr)
            failed = True
    print(f"{len(paths)} files of {len(MAY_USE)} layers")
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
