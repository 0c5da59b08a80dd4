"""A minimal client of gdb's remote serial protocol, for what must happen without a gdb.

Follows the appendix "Remote Protocol" of gdb's manual: ``$DATA#CHECKSUM``, acknowledged by ``+``.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.errors import InfraError

if TYPE_CHECKING:
    from harness.host.clock import Clock

_ANSWER_SECONDS: Final = 30.0
_LONGEST: Final = 1 << 16


def packet(data: bytes) -> bytes:
    """Return a packet, with the acknowledgement of what came before it."""
    return b"+$%b#%02x" % (data, sum(data) & 0xFF)


def answer_in(received: bytes) -> bytes | None:
    """Return the data of the first complete packet; None if there is none yet."""
    _, dollar, rest = received.partition(b"$")
    data, mark, checksum = rest.partition(b"#")
    return data if dollar and mark and len(checksum) >= 2 else None


class RemoteStub:
    """A connection to QEMU's stub; connecting stops the guest.

    Args:
        path: the stub's socket.
        clock: measures timeouts.

    Raises:
        InfraError: nothing listens there.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connection.connect(str(path))
        except OSError as error:
            self.close()
            raise self._failed(error.strerror or str(error)) from error

    def set_breakpoint(self, address: int) -> None:
        """Set a hardware breakpoint, which needs no memory: the kernel need not be loaded yet.

        Raises:
            InfraError: the stub refuses or does not answer.
        """
        answer = self._ask(b"Z1,%x,1" % address)
        if answer != b"OK":
            raise self._failed(f"it refused a breakpoint: {answer.decode('ascii', 'replace')[:80]}")

    def detach(self) -> None:
        """Remove all breakpoints and let the guest run.

        Raises:
            InfraError: the stub does not answer.
        """
        self._ask(b"D;1")

    def _ask(self, data: bytes) -> bytes:
        until = self._clock.monotonic() + _ANSWER_SECONDS
        received = b""
        try:
            self._connection.sendall(packet(data))
            while (answer := answer_in(received)) is None:
                left = until - self._clock.monotonic()
                if left <= 0 or len(received) > _LONGEST:
                    raise self._failed("it does not answer")
                self._connection.settimeout(left)
                more = self._connection.recv(_LONGEST)
                if not more:
                    raise self._failed("it closed the connection")
                received += more
            self._connection.sendall(b"+")
        except TimeoutError as error:
            raise self._failed("it does not answer") from error
        except OSError as error:
            raise self._failed(error.strerror or str(error)) from error
        return answer

    def close(self) -> None:
        """Close the connection; the guest stays as it is."""
        self._connection.close()

    def _failed(self, cause: str) -> InfraError:
        return InfraError(
            f"QEMU's gdb stub at {self._path}: {cause}",
            remedy="run it again; harness doctor lists what this host lacks",
        )
