"""Writing to a stream that cannot be written to: nothing raises, and the failure is remembered."""

from __future__ import annotations

import io
import os
import pty
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.streams import Sink, Streams


@pytest.fixture
def full() -> Iterator[int]:
    fd = os.open("/dev/full", os.O_WRONLY)
    yield fd
    os.close(fd)


def test_what_is_written_arrives() -> None:
    reader, writer = os.pipe()
    sink = Sink(writer, "a pipe")
    assert sink.write(b"abc") == 3
    assert os.read(reader, 10) == b"abc"
    assert (sink.error, str(sink)) == (None, "a pipe")
    os.close(reader)
    os.close(writer)


def test_full_device_is_remembered_and_raises_nothing(full: int) -> None:
    sink = Sink(full, "a file")
    assert sink.write(b"abc") == 3
    assert sink.write(b"more") == 4
    assert str(sink) == "a file: No space left on device"


def test_reader_that_left_is_remembered() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    sink = Sink(writer, "a pipe")
    assert sink.write(b"abc") == 3
    assert str(sink) == "a pipe: Broken pipe"
    os.close(writer)


def test_terminal_that_hung_up_is_remembered_and_is_none() -> None:
    master, slave = pty.openpty()
    sink = Sink(slave, "the terminal")
    assert sink.isatty()
    os.close(master)
    assert sink.write(b"abc") == 3
    assert sink.error is not None
    assert not sink.isatty()
    os.close(slave)


def test_absent_stream_fails_when_something_is_written_and_not_before() -> None:
    sink = Sink(1, "a stream", OSError(9, "it was closed"))
    assert sink.error is None
    assert not sink.isatty()
    assert sink.write(b"") == 0
    assert sink.error is None
    assert sink.write(b"abc") == 3
    assert str(sink) == "a stream: it was closed"


def test_descriptor_that_does_not_wait_is_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    data = b"x" * (1 << 20)
    taken = bytearray()

    def take() -> None:
        while len(taken) < len(data):
            taken.extend(os.read(reader, 1 << 16))

    thread = threading.Thread(target=take)
    thread.start()
    sink = Sink(writer, "a pipe")
    assert sink.write(data) == len(data)
    thread.join()
    assert bytes(taken) == data
    assert sink.error is None
    os.close(reader)
    os.close(writer)


@given(st.lists(st.binary(max_size=100)))
def test_a_buffer_above_it_never_sees_a_failure(pieces: list[bytes]) -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    sink = Sink(fd, "a file")
    with io.BufferedWriter(sink) as buffer:
        for piece in pieces:
            assert buffer.write(piece) == len(piece)
        buffer.flush()
        assert (sink.error is not None) == any(pieces)
    os.close(fd)


def test_answer_is_lost_only_where_it_was_to_be_written(full: int) -> None:
    streams = Streams(stdout=Sink(full, "standard output"))
    assert streams.lost_answer == ""
    streams.stdout.write(b"abc")
    assert streams.lost_answer == "standard output: No space left on device"
    assert streams.failures() == ["standard output: No space left on device"]
    streams.answers = False
    assert streams.lost_answer == ""
