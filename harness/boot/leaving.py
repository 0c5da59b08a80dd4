"""Leaves a guest running when its harness ends (``--keep``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.guest.backend import Guest
    from harness.guest.registry import Claim
    from harness.guest.serialtap import SerialPort
    from harness.host.loglimits import LimitedLog, LogLimits
    from harness.host.process import Runner


def leave(
    guest: Guest, tap: SerialPort, sink: LimitedLog, claim: Claim, port: int, logs: LogLimits,
    runner: Runner,
) -> bool:  # fmt: skip
    """Leave the guest running with a relay at its console; return False if it has ended.

    Args:
        guest: the guest.
        tap: its console.
        sink: the log of the console, which the relay continues.
        claim: its registry entry.
        port: the host's port that leads to its sshd; 0 for none.
        logs: limits of the log.
        runner: starts the relay, and the keeper of the monitor.
    """
    pid = guest.pid
    where, console = guest.leave(), tap.fileno()
    if where is None or console is None:
        return False
    from harness.guest.controlkeeper import keeper_argv
    from harness.guest.relay import RelayLimits, relay_argv

    limits = RelayLimits(sink.total, logs.keep, logs.end, pid or where.process.pid)
    words = relay_argv(console, claim.guest.console, claim.guest.entrance, limits)
    runner.spawn(words, pass_fds=[console], outlives_us=True)
    if where.control is not None:
        with where.control as control:
            words = keeper_argv(control.fileno(), claim.guest.door, claim.guest.stub)
            runner.spawn(words, pass_fds=[control.fileno()], outlives_us=True)
    claim.keep(where, port)
    return True
