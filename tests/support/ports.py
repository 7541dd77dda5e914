"""Ports for processes that must be told their port before they bind it.

They are drawn from below the kernel's ephemeral range, so no outgoing connection can take one between
the check here and the bind there, and no port is handed out twice: neither by this process, nor by two
of the processes that pytest-xdist runs side by side.
"""

import os
import random
import socket

WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))

_handed_out = set()
_random = random.SystemRandom()


def _is_free(port):
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def _ephemeral_range_begin():
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        return int(file.read().split()[0])


def free_port():
    """A port on which no process listens."""
    end = max(_ephemeral_range_begin(), 20000)
    while True:
        port = _random.randrange(10000 + WORKER, end, WORKERS)
        if port not in _handed_out and _is_free(port):
            _handed_out.add(port)
            return port


def endpoint(host, port):
    """The spelling that the daemons and their logs use."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
