"""`backedpipd stdio`: one session between standard input and output and a service."""

import contextlib
import fcntl
import hashlib
import itertools
import os
import pty
import signal
import socket
import subprocess
import threading
import time

import pytest

from support.stdio import Stdio, read_exactly, stdio_command
from support.streams import PIECE_BYTES, Pattern, read_to_end, receive_exactly
from support.targets import (ENDED, WAS_RESET, AnsweringTarget, ClosingTarget, EchoTarget, ResettingTarget,
                             SinkTarget, SourceTarget, StalledTarget, Target)
from support.waiting import KIB, MIB, patient, scaled, wait_until


@pytest.fixture
def stdio(start):
    """Starts one for a stage: `stdio(stage, "--quiet", ...)`."""

    def run(stage, *options, service=None, peer=None, key=None, **process):
        return start(Stdio(stdio_command(stage, *options, service=service, peer=peer, key=key), **process))

    return run


def wait_forgotten(stage, seconds=5):
    wait_until(lambda: not stage.server.control.sessions(), seconds,
               lambda: f"the server to forget its sessions: {stage.server.control.sessions()}")


def write_pattern(file, pattern, total):
    offset = 0
    while offset < total:
        offset += file.write(pattern.at(offset, total - offset))


def digest_of(file):
    sha = hashlib.sha256()
    count = 0
    while piece := file.read(PIECE_BYTES):
        sha.update(piece)
        count += len(piece)
    return count, sha.hexdigest()


def is_blocking(descriptor):
    return not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_NONBLOCK


# -- streams and their ends -------------------------------------------------------------------


def test_what_is_written_comes_back_and_then_the_end(start, tunnel, stdio):
    stage = tunnel(start(EchoTarget()).address)
    assert stdio(stage).finish(b"x") == (0, b"x", [])
    wait_forgotten(stage)


@pytest.mark.parametrize("security", ["tls", "none"])
def test_with_certificates_and_with_nothing(start, tunnel, stdio, security):
    stage = tunnel(start(EchoTarget()).address, security=security)
    assert stdio(stage).finish(b"x") == (0, b"x", [])


def test_a_service_that_answers_only_after_the_end_is_heard(start, tunnel, stdio):
    target = start(AnsweringTarget(1, scaled(3 * MIB)))
    code, output, said = stdio(tunnel(target.address)).finish(b"question")
    assert (code, said) == (0, [])
    assert hashlib.sha256(output).hexdigest() == target.pattern.digest(target.total)
    assert target.wait_result() == (8, hashlib.sha256(b"question").hexdigest())


def test_a_service_that_ends_first_is_still_told_everything(start, tunnel, stdio):
    """The output is closed, not the session."""
    target = start(ClosingTarget())
    process = stdio(tunnel(target.address))
    assert process.stdout.read() == b""
    process.stdin.write(b"late")
    assert process.running()
    process.stdin.close()
    assert target.wait_result() == (4, hashlib.sha256(b"late").hexdigest())
    assert (process.wait(), process.said()) == (0, [])


def test_bytes_of_all_values_arrive_both_ways_while_the_link_is_cut(start, tunnel, stdio):
    stage = tunnel(start(EchoTarget()).address)
    pattern, total = Pattern(7), scaled(128 * MIB)
    process = stdio(stage)

    def write():
        write_pattern(process.stdin, pattern, total)
        process.stdin.close()

    with stage.relay.every(0.1):
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        assert digest_of(process.stdout) == (total, pattern.digest(total))
        writer.join()
    assert stage.relay.cuts > 0
    assert (process.wait(), process.said()) == (0, [])
    wait_forgotten(stage)


# -- what standard input and output may be ----------------------------------------------------


def test_a_regular_file_is_read_to_its_end(start, tunnel, stdio, tmp_path):
    path, copy = tmp_path / "original", tmp_path / "copy"
    path.write_bytes(bytes(Pattern(2).at(0, 200 * KIB)))
    with open(path, "rb") as original, open(copy, "wb") as output:
        process = stdio(tunnel(start(EchoTarget()).address), stdin=original, stdout=output)
        assert (process.wait(), process.said()) == (0, [])
    assert copy.read_bytes() == path.read_bytes()


def test_dev_null_is_an_input_that_has_ended(start, tunnel, stdio):
    target = start(AnsweringTarget(1, 10))
    process = stdio(tunnel(target.address), stdin=subprocess.DEVNULL)
    assert process.stdout.read() == bytes(target.pattern.at(0, 10))
    assert (process.wait(), process.said()) == (0, [])


def test_one_socket_can_be_both(start, tunnel, stdio):
    """Its other end sees the end of the output although the input is still open."""
    target = start(SourceTarget(3, 100 * KIB))
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = stdio(tunnel(target.address), stdin=theirs, stdout=theirs)
        ours.settimeout(patient(10))
        assert read_to_end(ours) == (100 * KIB, target.pattern.digest(100 * KIB))
        assert process.running()
        ours.sendall(b"bye")
        ours.shutdown(socket.SHUT_WR)
        assert (process.wait(), process.said()) == (0, [])
    assert target.wait_result() == (3, hashlib.sha256(b"bye").hexdigest())


def test_a_terminal_can_be_the_input_and_stays_as_it_was(start, tunnel, stdio):
    ours, theirs = pty.openpty()
    try:
        process = stdio(tunnel(start(EchoTarget()).address), stdin=theirs)
        os.write(ours, b"line\n")
        assert read_exactly(process.stdout, 5) == b"line\n"
        assert is_blocking(theirs)
        os.write(ours, b"\x04")  # what a terminal takes for an end
        assert (process.wait(), process.stdout.read(), process.said()) == (0, b"", [])
        assert is_blocking(theirs)
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("blocking", [True, False])
def test_the_callers_descriptors_stay_blocking_or_not(start, tunnel, stdio, blocking):
    """The flag belongs to the open file, which is the caller's as well; both must work."""
    target = start(EchoTarget())
    pattern, total = Pattern(4), scaled(8 * MIB)
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    with contextlib.ExitStack() as stack:
        for descriptor in (in_read, out_write):
            stack.callback(os.close, descriptor)
            os.set_blocking(descriptor, blocking)
        process = stdio(tunnel(target.address), stdin=in_read, stdout=out_write)

        def write():
            with open(in_write, "wb", buffering=0) as file:
                write_pattern(file, pattern, total)

        threading.Thread(target=write, daemon=True).start()
        with open(out_read, "rb", buffering=0) as output:
            time.sleep(0.3)  # for the pipe to be full: writing must wait, whatever the flag says
            assert [is_blocking(in_read), is_blocking(out_write)] == [blocking, blocking]
            assert read_exactly(output, total) == b"".join(
                bytes(pattern.at(at, min(PIECE_BYTES, total - at))) for at in range(0, total, PIECE_BYTES))
        assert (process.wait(), process.said()) == (0, [])
        assert [is_blocking(in_read), is_blocking(out_write)] == [blocking, blocking]


def test_an_input_that_cannot_be_read_is_no_end_of_the_stream(start, tunnel, stdio, tmp_path):
    target = start(SinkTarget())
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        process = stdio(tunnel(target.address), stdin=folder)
        assert process.wait() == 1
    finally:
        os.close(folder)
    assert process.said() == ["backedpipd: cannot read standard input: Is a directory"]
    assert not target.outcomes or target.wait_outcome() == WAS_RESET


def test_an_output_that_takes_nothing_is_an_error(start, tunnel, stdio):
    target = start(EchoTarget())
    with open("/dev/full", "wb") as full:
        process = stdio(tunnel(target.address), stdout=full)
        process.stdin.write(b"x")
        assert process.wait() == 1
    assert process.said() == ["backedpipd: cannot write to standard output: No space left on device"]
    assert target.wait_outcome() == WAS_RESET


def test_descriptors_that_are_missing_harm_nobody(start, tunnel):
    """The numbers must not go to sockets; what is written to a closed output is an error."""
    target = start(AnsweringTarget(1, 10))
    stage = tunnel(target.address)
    done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&-', "sh", *stdio_command(stage)], capture_output=True,
                          timeout=patient(20), check=False)
    assert (done.returncode, done.stderr) == (1, b"backedpipd: cannot write to standard output: Bad file descriptor\n")
    assert target.accepted == 1
    wait_forgotten(stage)


# -- pressure ---------------------------------------------------------------------------------


def memory_of(process, field="VmRSS"):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * KIB for line in status if line.startswith(field + ":"))


def wait_unchanged(value, what):
    """Until nothing has changed for half a second."""
    seen = [None, time.monotonic()]

    def unchanged():
        now = value()
        if now != seen[0]:
            seen[:] = [now, time.monotonic()]
        return time.monotonic() - seen[1] > 0.5

    wait_until(unchanged, 30, what)


def test_a_reader_that_stalls_holds_up_the_service_and_costs_bounded_memory(start, tunnel, stdio):
    total = scaled(512 * MIB)
    target = start(SourceTarget(5, total))
    stage = tunnel(target.address)
    process = stdio(stage)
    wait_until(lambda: stage.relay.bytes["down"] > 0, 10, "the first bytes")
    wait_unchanged(lambda: stage.relay.bytes["down"], "the service to be held up")
    assert stage.relay.bytes["down"] < 32 * MIB
    if not stage.server.is_instrumented():
        assert memory_of(process, "VmHWM") < 64 * MIB
    process.stdin.close()
    assert digest_of(process.stdout) == (total, target.pattern.digest(total))
    assert (process.wait(), process.said()) == (0, [])


def test_a_service_that_stalls_holds_up_the_writer_and_costs_bounded_memory(start, tunnel, stdio):
    target = start(StalledTarget())
    stage = tunnel(target.address)
    process = stdio(stage)
    pattern, total = Pattern(6), scaled(512 * MIB, least=256 * MIB)
    written = [0]

    def write():
        while written[0] < total:
            written[0] += process.stdin.write(pattern.at(written[0], total - written[0]))
        process.stdin.close()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    wait_unchanged(lambda: written[0], "the writer to be held up")
    assert MIB < written[0] < 64 * MIB
    if not stage.server.is_instrumented():
        assert memory_of(process, "VmHWM") < 128 * MIB
    target.release()
    assert target.wait_result(seconds=60) == (total, pattern.digest(total))
    assert (process.wait(), process.said()) == (0, [])


# -- how it is ended --------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_and_the_service_sees_a_reset(start, tunnel, stdio, number):
    """The input has not ended, so an end of the stream would be a lie."""
    target = start(EchoTarget())
    stage = tunnel(target.address)
    process = stdio(stage)
    process.stdin.write(b"x")
    assert read_exactly(process.stdout, 1) == b"x"
    begin = time.monotonic()
    process.signal(number)
    assert process.wait() == 1
    assert time.monotonic() - begin < patient(1)
    assert process.said() == []
    assert target.wait_outcome() == WAS_RESET
    wait_forgotten(stage)


def test_what_was_said_before_ssh_hangs_up_is_heard(start, tunnel, stdio):
    """ssh says goodbye, closes everything and sends SIGHUP: no reset for what was complete."""
    class PoliteTarget(SinkTarget):
        def serve(self, sock):
            receive_exactly(sock, 1)
            sock.sendall(b"y")
            return super().serve(sock)

    target = start(PoliteTarget())
    stage = tunnel(target.address)
    process = stdio(stage)
    process.stdin.write(b"x")
    assert read_exactly(process.stdout, 1) == b"y"
    process.stdin.write(b"goodbye")
    process.stdin.close()
    process.stdout.close()
    process.signal(signal.SIGHUP)
    assert target.wait_result() == (7, hashlib.sha256(b"goodbye").hexdigest())
    assert (process.wait(), process.said()) == (0, [])
    wait_forgotten(stage)


def test_a_hangup_while_the_link_is_away_is_told_when_it_is_back_and_holds_up_nobody(start, tunnel, stdio):
    target = start(EchoTarget())
    stage = tunnel(target.address)
    process = stdio(stage)
    process.stdin.write(b"x")
    assert read_exactly(process.stdout, 1) == b"x"
    stage.relay.refuse()
    stage.relay.cut()
    process.signal(signal.SIGHUP)
    # Whoever reads these to their end, as $(ssh ... 2>&1) does, must not wait for the network.
    assert process.stdout.read() == b""
    assert process.said() == []
    assert process.running()
    assert len(stage.server.control.sessions()) == 1
    stage.relay.accept()
    assert target.wait_outcome() == WAS_RESET
    assert process.wait() == 1
    wait_forgotten(stage)


def test_a_second_signal_ends_it_at_once(start, tunnel, stdio):
    stage = tunnel(start(EchoTarget()).address)
    process = stdio(stage)
    process.stdin.write(b"x")
    assert read_exactly(process.stdout, 1) == b"x"
    stage.relay.freeze()
    process.signal(signal.SIGHUP)
    assert process.stdout.read() == b""  # it has given up the session, and goes on telling the server
    assert process.running()
    begin = time.monotonic()
    process.signal(signal.SIGTERM)
    assert process.wait() == 1
    assert time.monotonic() - begin < patient(0.5)
    stage.relay.heal()


def test_signals_that_come_until_it_has_ended_change_nothing(start, tunnel, stdio):
    process = stdio(tunnel(start(EchoTarget()).address))
    process.stdin.write(b"x")
    assert read_exactly(process.stdout, 1) == b"x"
    numbers = itertools.cycle([signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    while process.running():
        process.signal(next(numbers))
    assert (process.wait(), process.said()) == (1, [])


def test_a_hangup_that_is_ignored_stays_ignored(start, tunnel, stdio):
    """nohup(1)."""
    stage = tunnel(start(EchoTarget()).address)
    process = start(Stdio(["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *stdio_command(stage)]))
    process.stdin.write(b"x")
    assert read_exactly(process.stdout, 1) == b"x"
    process.signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.stdin.write(b"y")
    assert read_exactly(process.stdout, 1) == b"y"
    assert process.finish() == (0, b"", [])


def test_a_reader_that_has_gone_ends_the_session_with_a_reset(start, tunnel, stdio):
    target = start(EchoTarget())
    stage = tunnel(target.address)
    process = stdio(stage)
    process.stdin.write(b"x")
    assert read_exactly(process.stdout, 1) == b"x"
    process.stdout.close()
    process.stdin.write(b"y")
    assert process.wait() == 1
    assert process.said() == []
    assert target.wait_outcome() == WAS_RESET
    wait_forgotten(stage)


def test_when_nobody_is_left_a_silent_service_is_not_waited_for(start, tunnel, stdio):
    """An ssh that was killed: the input has ended, and nobody reads."""
    class SilentTarget(Target):
        def serve(self, sock):
            receive_exactly(sock, 1)
            while sock.recv(1):
                pass
            released.wait(patient(20))
            sock.sendall(b"z")
            sock.recv(1)

    released = threading.Event()
    target = start(SilentTarget())
    stage = tunnel(target.address)
    process = stdio(stage)
    process.stdin.write(b"x")
    target.wait_accepted()
    process.stdout.close()
    process.stdin.close()
    assert process.wait(5) == 1
    assert process.said() == []
    wait_forgotten(stage)
    released.set()
    assert target.wait_outcome() == WAS_RESET


def test_a_service_that_resets_is_no_clean_end(start, tunnel, stdio):
    target = start(ResettingTarget(after=1))
    stage = tunnel(target.address)
    process = stdio(stage)
    process.stdin.write(b"x")
    assert process.wait() == 1
    assert process.said() == ['backedpipd: service "target" has reset the connection']


def test_a_session_closed_at_the_server_is_said_to_be(start, tunnel, stdio):
    stage = tunnel(start(EchoTarget()).address)
    process = stdio(stage)
    process.stdin.write(b"x")
    assert read_exactly(process.stdout, 1) == b"x"
    stage.server.control.close(stage.server.control.sessions()[0]["id"])
    assert process.wait() == 1
    assert process.said() == [f"backedpipd: closed on request at 127.0.0.1:{stage.relay.port}"]


def test_its_end_while_it_waits_for_a_slow_reader_loses_nothing(start, tunnel, stdio):
    """The session is over long before the last byte is read."""
    target = start(SourceTarget(8, 200 * KIB))
    stage = tunnel(target.address)
    process = stdio(stage, stdin=subprocess.DEVNULL)
    assert target.wait_outcome() == ENDED
    wait_forgotten(stage)
    assert process.running()
    assert digest_of(process.stdout) == (200 * KIB, target.pattern.digest(200 * KIB))
    assert (process.wait(), process.said()) == (0, [])
