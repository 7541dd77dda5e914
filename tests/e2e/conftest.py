"""Fixtures of the end-to-end suite: real daemons, real sockets, on loopback and in network namespaces."""

import pathlib
import resource
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support.daemon import Daemon, binary  # noqa: E402
from support.netns import require  # noqa: E402
from support.sshd import Sshd  # noqa: E402
from support.tunnel import Tunnel  # noqa: E402
from support.waiting import patient  # noqa: E402

TEST_SECONDS = 90
LOG_TAIL_BYTES = 6000
RECOVERY, FIGURE = "recovery", "figure"


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: measures time, or fills the machine, and runs beside no other test")
    config.addinivalue_line("markers", "may_take(seconds): a test that needs longer than most")


def pytest_collection_modifyitems(items):
    for item in items:
        if "report_recovery" in item.fixturenames:
            item.add_marker(pytest.mark.alone)


def pytest_sessionstart(session):
    missing = [name for name in ("backedpipd", "backedpipctl") if not pathlib.Path(binary(name)).exists()]
    if missing:
        pytest.exit(f"not built: {', '.join(binary(name) for name in missing)} (BACKEDPIPE_BIN names the directory)", 2)
    # Hundreds of sessions, each with a socket at the application, the target, and both sides of the relay.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture(autouse=True)
def within_time(request):
    """A test that hangs fails with the place where it hangs, instead of holding up all others."""
    marker = request.node.get_closest_marker("may_take")
    seconds = patient(marker.args[0] if marker else TEST_SECONDS)

    def expired(_signal, _frame):
        raise AssertionError(f"the test did not end within {seconds} s")

    previous = signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds)
    Daemon.started.clear()
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


@pytest.fixture
def start(tmp_path):
    """Starts parts of a test (context managers, most of all tunnels and targets) and ends them, last first."""
    entered = []

    def enter(part):
        entered.append(part)
        return part.__enter__()

    yield enter
    errors = []
    for part in reversed(entered):
        try:
            part.__exit__(None, None, None)
        except AssertionError as error:
            errors.append(str(error))
    assert not errors, "\n".join(errors)


@pytest.fixture
def tunnel(start, tmp_path):
    """Makes a tunnel to a target: `tunnel(target.address)`, or to several by name: `tunnel({...})`."""
    count = 0

    def make(targets, **settings):
        nonlocal count
        count += 1
        named = targets if isinstance(targets, dict) else {"target": targets}
        return start(Tunnel(tmp_path / f"tunnel{count}", named, **settings))

    return make


@pytest.fixture(scope="session")
def sshd(tmp_path_factory):
    with Sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def network(start, tmp_path):
    """Makes a network of namespaces: `network(RoutedNetwork)`. Without the means for it the test is skipped."""
    require("conntrack", "wirefilter", "dpipe", "ss")

    def make(kind, *arguments, **settings):
        return start(kind(*arguments, **settings))

    return make


@pytest.fixture
def report_recovery(request):
    """Takes the seconds from each cut (or heal) to the next byte, for the table at the end of the run."""

    def add(what, seconds):
        # With the report, because it may come from another process.
        request.node.user_properties.append((RECOVERY, [what, list(seconds)]))

    return add


@pytest.fixture
def report_figure(request):
    """Takes a line of text for the end of the run."""

    def add(line):
        request.node.user_properties.append((FIGURE, line))

    return add


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what its daemons said."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for daemon in Daemon.started:
            report.sections.append((f"log of {daemon.name} (pid {daemon.pid})", daemon.log()[-LOG_TAIL_BYTES:]))


def pytest_terminal_summary(terminalreporter):
    recovery_times, figures = {}, []  # what was measured -> seconds, one per run
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        if report.when != "call":
            continue
        for kind, value in report.user_properties:
            if kind == RECOVERY:
                recovery_times.setdefault(value[0], []).extend(value[1])
            elif kind == FIGURE:
                figures.append(value)
    if recovery_times:
        terminalreporter.section("recovery: from the cut, or from the network being back, to the next byte delivered")
    for what, seconds in sorted(recovery_times.items()):
        ordered = sorted(seconds)
        p50, p99 = (1000 * ordered[min(int(len(ordered) * q), len(ordered) - 1)] for q in (0.50, 0.99))
        terminalreporter.write_line(f"{what}: {len(ordered)} runs, p50 {p50:.1f} ms, p99 {p99:.1f} ms, "
                                    f"worst {1000 * ordered[-1]:.1f} ms")
    for line in sorted(figures):
        terminalreporter.write_line(line)
