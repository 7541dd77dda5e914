#!/usr/bin/python3
"""Fails when a relative link or anchor in the documents leads nowhere, or when a document is longer than it may be."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

DOCUMENTS = ("README.md", "docs/*.md", "proto/PROTOCOL.md", "tests/bench/README.md", "lib/control/CONTROL.md")
MOST_LINES = {"README.md": 200, "docs/architecture.md": 150}
# Written last; links to it are right before it is there.
MAY_BE_ABSENT = {"docs/architecture.md"}

CODE_SPAN = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.S)
LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
# [text]: target, alone on a line.
DEFINITION = re.compile(r"^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)>?", re.M)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//")
HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$")
FENCE = re.compile(r"^ {0,3}(```|~~~)")


def prose(text):
    """The lines of a document, those of code blocks empty, so that numbers of lines stay right."""
    fence = None
    after_blank = True
    in_indented = False
    for line in text.splitlines():
        mark = FENCE.match(line)
        if fence:
            if mark and mark[1] == fence:
                fence = None
            yield ""
            continue
        if mark:
            fence = mark[1]
            yield ""
            continue
        # Indented code begins after a blank line and not inside a list; a list's text is never indented by four.
        in_indented = line.startswith("    ") and (after_blank or in_indented)
        after_blank = not line.strip()
        yield "" if in_indented else line


def anchors(text):
    """What GitHub makes of the headings: small letters, no punctuation, hyphens for spaces, numbers for repetitions."""
    seen = {}
    for line in prose(text):
        if heading := HEADING.match(line):
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
            count = seen.get(slug, 0)
            seen[slug] = count + 1
            yield f"{slug}-{count}" if count else slug


def links(text):
    """Each target with the number of its line. A link's text may go over several lines."""
    lines = "\n".join(prose(text))
    # A link's text may be code, but a link inside code is none: blank out what is inside the ticks.
    lines = CODE_SPAN.sub(lambda code: re.sub(r"[^\n]", "x", code[0]), lines)
    for pattern in (LINK, DEFINITION):
        for match in pattern.finditer(lines):
            yield lines.count("\n", 0, match.start(1)) + 1, match[1]


def problems_in(path, text):
    most = MOST_LINES.get(path)
    count = len(text.splitlines())
    if most is not None and count > most:
        yield count, f"has {count} lines, may have {most}"
    for number, target in links(text):
        if ELSEWHERE.match(target):
            continue
        name, _, anchor = target.partition("#")
        there = (ROOT / path).parent.joinpath(name).resolve() if name else ROOT / path
        if not there.is_relative_to(ROOT):
            yield number, f'"{target}" leads out of the repository'
        elif not there.exists():
            if str(there.relative_to(ROOT)) not in MAY_BE_ABSENT:
                yield number, f'"{target}" does not exist'
        elif anchor and anchor not in anchors(there.read_text()):
            yield number, f'"{target}": there is no such heading'


def main():
    paths = sorted({str(path.relative_to(ROOT)) for pattern in DOCUMENTS for path in ROOT.glob(pattern)})
    missing = [name for name in DOCUMENTS if "*" not in name and name not in paths]
    failed = bool(missing)
    for name in missing:
        print(f"{name}: does not exist", file=sys.stderr)
    count = 0
    for path in paths:
        text = (ROOT / path).read_text()
        count += sum(1 for _ in links(text))
        for number, problem in problems_in(path, text):
            print(f"{path}:{number}: {problem}", file=sys.stderr)
            failed = True
    print(f"{count} links in {len(paths)} documents")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
