"""What a chain of proxies costs: the processor time and the memory of its processes and of all their descendants."""

import contextlib
import os
import pathlib

TICKS = os.sysconf("SC_CLK_TCK")


def _stat_fields(pid):
    """The fields behind the command's name, which may hold blanks and parentheses."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def descendants(roots):
    """The processes of `roots` that are there, and what they have started."""
    children = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                children.setdefault(int(_stat_fields(entry.name)[1]), []).append(int(entry.name))
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_seconds(pids):
    """User and system time so far: all threads, and the children that have ended."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            ticks += sum(map(int, _stat_fields(pid)[11:15]))
    return ticks / TICKS


def memory_kib(pids):
    """(Pss, Rss): what is shared counted once among those who share it, or each time."""
    pss = rss = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pss:"):
                    pss += int(line.split()[1])
                elif line.startswith("Rss:"):
                    rss += int(line.split()[1])
    return pss, rss
