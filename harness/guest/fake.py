"""A backend whose guests follow a script, for tests; users cannot select it.

The script says what a guest prints, when, and how it ends. Time is the injected clock's: with a
``ManualClock``, an hour of silence takes no time.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn

from harness.errors import InfraError, UsageError
from harness.guest.backend import GuestEnding, GuestExit, Inspect, qemu_exit
from harness.guest.backends import BackendHost, BackendType
from harness.image.media import BootMethod

if TYPE_CHECKING:
    from pathlib import Path

    from harness.guest.serialtap import SerialPort, Tap
    from harness.guest.spec import GuestSpec
    from harness.host.accelerator import Accelerator
    from harness.host.clock import Clock
    from harness.image.media import Media

#: Where two threads read a guest's ports, neither may run ahead of the other: seconds of the
#: host's that each read without an answer takes, and of the clock's that then have passed.
_YIELD: Final = 0.001
_STEP: Final = 0.2


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a console, ``after`` seconds of silence."""

    data: bytes
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Script:
    """What a guest does.

    Args:
        pieces: what it prints.
        ending: how it then ends; None: it stays silent.
        after: seconds from the last piece to the end.
        channel: what answers at its second serial port, made for each boot; None for nothing.
        differences: where it is another machine than was asked for, in words.
        stopped: the state in which the host has stopped it, once all is printed; None if not.
        failure: why it cannot be started; empty if it can.
        port: the host's port that leads to its network; None if it has none.
        cpu: seconds of CPU time for each second in which it prints.
    """

    pieces: tuple[Piece, ...] = ()
    ending: GuestEnding | None = GuestEnding.POWEROFF
    after: float = 0.0
    channel: Callable[[], Tap] | None = None
    differences: tuple[str, ...] = ()
    stopped: str | None = None
    failure: str = ""
    port: int | None = None
    cpu: float = 1.0


class FakeGuest:
    """A guest that follows a script; see ``Guest``."""

    pid = None

    def __init__(self, script: Script, clock: Clock) -> None:
        self._script = script
        self._clock = clock
        self._printed = 0
        self._due = clock.monotonic()
        self._killed = False
        self._ended = False
        self.typed = b""

    def read(self, timeout: float) -> bytes | None:
        """What the console gives within ``timeout`` seconds; see ``Tap``."""
        if self._killed or self._ended:
            return b""
        pieces, script = self._script.pieces, self._script
        left = self._printed < len(pieces)
        if not left and script.ending is None:
            if script.channel is not None:
                threading.Event().wait(_YIELD)  # time goes by at the other port
            else:
                self._clock.sleep(timeout)
            return None
        wait = self._due + (pieces[self._printed].after if left else script.after)
        wait -= self._clock.monotonic()
        if wait > timeout:
            self._clock.sleep(timeout)
            return None
        self._clock.sleep(max(0.0, wait))
        self._due = self._clock.monotonic()
        if not left:
            self._ended = True
            return b""
        self._printed += 1
        return pieces[self._printed - 1].data

    def wait(self, timeout: float | None = None) -> GuestExit | None:
        """See ``Guest``."""
        del timeout
        if self._killed:
            return qemu_exit(GuestEnding.KILLED, None, "")
        if not self._ended or self._script.ending is None:
            return None
        return qemu_exit(self._script.ending, 0, "")

    def destroy(self) -> None:
        """See ``Guest``."""
        self._killed = self._killed or not self._ended

    def leave(self) -> None:
        """See ``Guest``: there is nothing to be found again."""
        return

    def cpu_seconds(self) -> float:
        """See ``Guest``."""
        return self._script.cpu * sum(piece.after for piece in self._script.pieces[: self._printed])

    def stderr_tail(self) -> str:
        """See ``Guest``."""
        return ""

    def machine_differences(self, spec: GuestSpec) -> tuple[str, ...]:
        """See ``Guest``."""
        del spec
        return self._script.differences

    def forwarded_port(self) -> int:
        """See ``Guest``."""
        if self._script.port is None:
            raise InfraError("the fake guest has no network")
        return self._script.port

    def require_running(self) -> None:
        """See ``Guest``."""
        if self._script.stopped is not None:
            raise InfraError("the fake guest does not run")

    @property
    def monitor(self) -> None:
        """See ``Guest``: it has none."""
        return

    def stop_state(self) -> str | None:
        """See ``Guest``."""
        return self._script.stopped if self._printed == len(self._script.pieces) else None


@dataclass
class _Console:
    """Our end of a fake guest's console; see ``SerialPort``."""

    clock: Clock
    guest: FakeGuest | None = None

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        del also
        if self.guest is None:
            self.clock.sleep(timeout)
            return None
        return self.guest.read(timeout)

    def write(self, data: bytes) -> None:
        if self.guest is not None:
            self.guest.typed += data

    def fileno(self) -> None:
        return


@dataclass
class _Channel:
    """Our end of a fake guest's second serial port; see ``SerialPort``."""

    clock: Clock
    tap: Tap | None = None

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        data = None if self.tap is None else self.tap.read(timeout, also)
        if data is None:
            threading.Event().wait(_YIELD)
            self.clock.sleep(min(timeout, _STEP))
        return data

    def write(self, data: bytes) -> None:
        if self.tap is not None:
            self.tap.write(data)

    def fileno(self) -> None:
        return


@dataclass
class FakeBackend:
    """Starts guests that follow scripts; see ``Backend``.

    Args:
        clock: of the guests.
        script: what a guest does, by its specification.
        methods: what can bring a kernel into the memory of its guests.
        started: the specifications of all guests, in order.
    """

    clock: Clock
    script: Callable[[GuestSpec], Script]
    methods: tuple[BootMethod, ...] = tuple(BootMethod)
    started: list[GuestSpec] = field(default_factory=list)
    name: str = field(default="fake", init=False)
    saves_state: bool = field(default=False, init=False)
    unproven: tuple[str, ...] = field(
        default=("anything of a kernel: a script printed what the console shows",), init=False
    )
    _ports: dict[Path, _Console | _Channel] = field(default_factory=dict, init=False)

    @contextlib.contextmanager
    def open_port(self, path: Path, nap: float = 0.0) -> Iterator[SerialPort]:
        """See ``Backend``: the first port that is opened of a guest is its console."""
        del nap
        console = not path.name.endswith(".check")
        port = _Console(self.clock) if console else _Channel(self.clock)
        self._ports[path] = port
        try:
            yield port
        finally:
            self._ports.pop(path, None)

    def identity(self, accelerator: Accelerator) -> None:
        """See ``Backend``."""
        del accelerator

    def firmware(self, media: Media) -> None:
        """See ``Backend``."""
        del media

    def describe(self, spec: GuestSpec) -> str:
        """See ``Backend``."""
        return f"# a script plays the guest {spec.name}; nothing runs\n"

    def start(
        self, spec: GuestSpec, *, keep: bool = False, inspect: Inspect = lambda _: None
    ) -> FakeGuest:
        """See ``Backend``.

        Raises:
            InfraError: the script says so.
        """
        del keep
        self.started.append(spec)
        script = self.script(spec)
        if script.failure:
            raise InfraError(script.failure)
        guest = FakeGuest(script, self.clock)
        for path in spec.all_serial_sockets:
            port = self._ports.get(path)
            if isinstance(port, _Console):
                port.guest = guest
            elif isinstance(port, _Channel) and script.channel is not None:
                port.tap = script.channel()
        inspect(guest)
        return guest


def _make(host: BackendHost) -> NoReturn:
    del host
    raise UsageError(
        "the backend fake plays guests from a script, which only a test can give it",
        remedy="name another one with --backend",
    )


TYPE: Final = BackendType(_make)
