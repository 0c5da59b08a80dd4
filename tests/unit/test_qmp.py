"""QEMU's control protocol, with a socket in QEMU's place."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from harness.errors import InfraError
from harness.guest.qmp import ControlChannel
from harness.host.clock import HostClock

STOP = b'{"event": "STOP"}\n'
SHUTDOWN = b'{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}\n'


@contextmanager
def qemu(answer: Callable[[socket.socket, int], None], events: bytes) -> Iterator[ControlChannel]:
    """A QEMU that has sent events, and answers the first query; its connection then ends."""
    channel, end = ControlChannel.paired(HostClock())
    end.sendall(events)

    def run() -> None:
        with end:
            answer(end, json.loads(end.makefile().readline())["id"])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        channel.drain()
        yield channel
    finally:
        channel.close()
        thread.join()


def reporting(state: str) -> Callable[[socket.socket, int], None]:
    def answer(end: socket.socket, number: int) -> None:
        end.sendall(json.dumps({"id": number, "return": {"status": state}}).encode() + b"\n")
        end.recv(1)  # until the other end is closed

    return answer


@pytest.mark.parametrize(
    ("state", "found"), [("paused", "paused"), ("io-error", "io-error"), ("shutdown", None)]
)
def test_a_guest_that_the_host_stopped_is_told_from_one_that_shut_down(
    state: str, found: str | None
) -> None:
    with qemu(reporting(state), STOP) as channel:
        assert channel.stop_state() == found


def test_a_qemu_that_ends_while_it_is_asked_has_not_been_stopped() -> None:
    """As under libvirt, which ends the QEMU of a guest that has shut down and is stopped."""
    with qemu(lambda end, number: None, SHUTDOWN + STOP) as channel:
        assert channel.stop_state() is None
        assert channel.closed
        assert channel.shutdown_reason == "guest-shutdown"


def test_a_query_that_is_not_answered_before_qemu_ends_is_an_error() -> None:
    gone = pytest.raises(InfraError, match="QEMU ended before it answered query-block")
    with qemu(lambda end, number: None, b"") as channel, gone:
        channel.query("query-block")
