#!/usr/bin/python3
"""Fails when a layer uses what it may not: the core has no sockets, no clock, no randomness and no log, dependencies
between folders point one way only, and what has a lock stands in one place. See "Folders and layers" in
docs/contributing.md. That it does fail is tested by layering_test.py."""

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

# The folders inside a layer, from the lowest floor to the highest; "" are the files directly in it. A file includes from
# its own floor or lower ones.
FLOORS = {
    "lib/session": [("", "dial", "accept"), ("pump",)],
    "lib/net": [("",), ("memory",), ("socket",), ("link",), ("events",), ("shared", "keep"), ("listen",), ("monitor",),
                ("thread",), ("session",), ("dial",), ("application",), ("accept",), ("worker",), ("report",), ("node",)],
}

# Every lock is a Mutex, which the compiler checks ("./dev lint"), and stands in net/shared. The exceptions: what threads of
# the bridge's own share with it, and the vault, which stands with what else is kept.
MUTEX = "lib/net/shared/mutex.hpp"
HAS_A_LOCK_ELSEWHERE = ("lib/net/application/stdio_bridge.cpp", "lib/net/keep/vault.hpp", "lib/net/keep/vault_linux.cpp")
STANDARD_LOCK = re.compile(r"\bstd::(\w*mutex|lock_guard|scoped_lock|unique_lock|shared_lock)\b")

# What the core may not include. lib/config reads files, which is why it has a list of its own.
FORBIDDEN_HEADERS = re.compile(
    r"<(boost/asio|boost/beast|spdlog|openssl|sys/socket|sys/un|sys/epoll|sys/uio|netinet|arpa|netdb|poll|time\.h|ctime|random|thread|mutex|atomic)\b"
)
# Not for threads: a signal may end the process between any two of its stores.
HAS_ATOMIC_STORES = ("lib/pipe/ledger.hpp",)
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


def repository_path(name):
    """The path of the file that is included by this name, if it belongs to a layer."""
    return name if folder_of(name) else "lib/" + name


def floor_of(layer, path):
    """The number of the floor that this file of a layer is on; None if its folder is on no floor."""
    inside = path[len(layer) + 1:].split("/")
    folder = inside[0] if len(inside) > 1 else ""
    for number, folders in enumerate(FLOORS[layer]):
        if folder in folders:
            return number
    return None


def problems_with_floor(layer, path, target, name):
    own, other = floor_of(layer, path), floor_of(layer, target)
    if own is None:
        yield f"{path} is in a folder that is on no floor of {layer}"
    elif other is not None and other > own:
        yield f'{"/".join(path.split("/")[:-1])} may not use a higher floor ("{name}")'


def problems_with_lock(path, code, include):
    if not path.startswith("lib/net/") or path == MUTEX:
        return
    if lock := STANDARD_LOCK.search(code):
        yield f"{lock[0]}: a lock is a Mutex of {MUTEX}"
    if include and include["own"] and repository_path(include["own"]) == MUTEX:
        if not path.startswith("lib/net/shared/") and path not in HAS_A_LOCK_ELSEWHERE:
            yield "what has a lock stands in lib/net/shared"


def own_includes(text):
    """The names of the quoted includes."""
    for line in text.splitlines():
        include = INCLUDE.match(line)
        if include and include["own"]:
            yield include["own"]


def circle_in(texts):
    """A circle of includes among these files, given as {path: text}: its paths, or nothing."""
    includes = {path: [repository_path(name) for name in own_includes(text)] for path, text in texts.items()}
    done = set()

    def visit(path, way):
        if path in way:
            return way[way.index(path):] + [path]
        if path in done or path not in includes:
            return None
        for target in includes[path]:
            if circle := visit(target, way + [path]):
                return circle
        done.add(path)
        return None

    for path in includes:
        if circle := visit(path, []):
            return circle
    return None


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
            elif target == folder and folder in FLOORS:
                for problem in problems_with_floor(folder, path, repository_path(include["own"]), include["own"]):
                    yield number, problem
        for problem in problems_with_lock(path, code, include):
            yield number, problem
        if folder not in CORE:
            continue
        if include and include["system"]:
            header = include["system"]
            if FORBIDDEN_HEADERS.match(header) and not (header == "<atomic>" and path in HAS_ATOMIC_STORES):
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
    texts = {path: (ROOT / path).read_text() for path in paths}
    for path, text in texts.items():
        for number, problem in problems_in(path, text):
            print(f"{path}:{number}: {problem}", file=sys.stderr)
            failed = True
    if circle := circle_in(texts):
        print(f"a circle of includes: {' -> '.join(circle)}", file=sys.stderr)
        failed = True
    print(f"{len(paths)} files of {len(MAY_USE)} layers")
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
