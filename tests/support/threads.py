"""Stops one thread of a process. Signals cannot do that: they stop the whole process."""

import ctypes
import os
import pathlib
import subprocess
import sys

PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
WALL = 0x40000000  # threads as well as processes


def threads(pid):
    """The threads of a process, the oldest first."""
    return sorted(int(path.name) for path in pathlib.Path(f"/proc/{pid}/task").iterdir())


class StoppedThread:
    """Stops a thread while the context lasts."""

    def __init__(self, thread):
        self._thread = thread
        self._tracer = None

    def __enter__(self):
        # Done by a separate process, so that the thread goes on when that process ends.
        self._tracer = subprocess.Popen([sys.executable, __file__, str(self._thread)], stdout=subprocess.PIPE)
        assert self._tracer.stdout.readline() == b"stopped\n"
        return self

    def __exit__(self, *_):
        self._tracer.kill()
        self._tracer.communicate()


def _ptrace(libc, request, thread):
    if libc.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def _stop(thread):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    _ptrace(libc, PTRACE_SEIZE, thread)
    _ptrace(libc, PTRACE_INTERRUPT, thread)
    os.waitpid(thread, WALL)
    print("stopped", flush=True)
    # If the stopped thread is killed, its process cannot end before this tracer has waited for it.
    os.waitpid(thread, WALL)


if __name__ == "__main__":
    _stop(int(sys.argv[1]))
