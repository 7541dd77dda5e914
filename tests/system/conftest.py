"""Fixtures of the system suite: machines with the packages installed. It needs root, and takes minutes."""

import os
import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support.machine import Machine, must, package, root_archive  # noqa: E402

TEST_SECONDS = 180


def pytest_sessionstart(session):
    if os.getuid() != 0:
        pytest.exit("the system tests need root", 2)


@pytest.fixture(autouse=True)
def within_time():
    """A test that hangs fails with the place where it hangs. What is set up for several is not counted."""

    def expired(_signal, _frame):
        raise AssertionError(f"the test did not end within {TEST_SECONDS} s")

    previous = signal.signal(signal.SIGALRM, expired)
    signal.alarm(TEST_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


@pytest.fixture(scope="session")
def archive():
    return root_archive()


@pytest.fixture(scope="module")
def network():
    """Two network namespaces, joined by a wire; gives their names and addresses."""
    names = ["bppk-server", "bppk-client"]
    addresses = ["10.79.0.1", "10.79.0.2"]
    try:
        for name in names:
            must("ip", "netns", "add", name)
        must("ip", "link", "add", "wire", "netns", names[0], "type", "veth", "peer", "name", "wire", "netns", names[1])
        for name, address in zip(names, addresses):
            must("ip", "-n", name, "address", "add", f"{address}/24", "dev", "wire")
            must("ip", "-n", name, "link", "set", "lo", "up")
            must("ip", "-n", name, "link", "set", "wire", "up")
        yield dict(zip(names, addresses))
    finally:
        for name in names:
            must("ip", "netns", "delete", name)


@pytest.fixture(scope="module")
def machines(network, archive, tmp_path_factory):
    """A server and a client, booted, with the package installed on both."""
    directory = tmp_path_factory.mktemp("machines")
    with (Machine("server", directory, archive, "bppk-server") as server,
          Machine("client", directory, archive, "bppk-client") as client):
        for machine in (server, client):
            machine.run("dpkg", "-i", f"/packages/{package('backedpipd').name}")
        yield server, client
