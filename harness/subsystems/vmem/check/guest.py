"""Runs traces on arenas of a guest, over its channel, and compares with the model."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Self

from harness.check.modelled import TRACE_LENGTH, Modelled
from harness.check.subject import Differs, Finding
from harness.subsystems.vmem.check.generate import random_setup, random_steps
from harness.subsystems.vmem.check.protocol import (
    answer_text,
    command,
    read_seen,
    setup_command,
)
from harness.subsystems.vmem.check.trace import Trace
from harness.subsystems.vmem.model.operations import Operation, operation_text
from harness.subsystems.vmem.model.player import NOT_SURVIVED, Player, Seen, Setup
from harness.subsystems.vmem.model.tag import KernelFault

if TYPE_CHECKING:
    from harness.console.events import ProbeRecord


class CheckedArenas(Modelled[Trace, Operation, Seen]):
    """Arenas of a guest with a check module, compared with the model; see ``Modelled``."""

    def random_trace(self, rng: random.Random) -> Trace:
        """See ``Subject``."""
        setup = random_setup(rng)
        steps = tuple(random_steps(rng, setup, TRACE_LENGTH))
        trace = Trace(setup, tuple(operation for operation, _ in steps))
        self._create(setup)
        self._foreseen = (trace, tuple(seen for _, seen in steps))
        return trace

    def given_trace(self, trace: Trace) -> Trace:
        """See ``Subject``."""
        self._create(trace.setup)
        return trace

    def run_again(self, trace: Trace) -> Differs | None:
        """See ``Subject``."""
        if not trace.is_taken:
            return None
        self._create(trace.setup)
        return self.run(trace)

    def discard(self) -> None:
        """See ``Subject``: frees all slots, and destroys the arena."""
        self._channel.ask("arena_discard")

    def beside(self) -> Finding:
        """See ``Subject``: there is nothing beside traces."""
        return Finding()

    def _create(self, setup: Setup) -> None:
        """Create the arena in the guest, in place of the last one."""
        self._channel.ask(setup_command(setup))
        self.setups += 1

    def _held(self, trace: Trace) -> Trace | None:
        return trace if trace.is_taken else None

    def _alternatives(self) -> Iterator[tuple[Self, str]]:
        yield from ()

    def _model(self, trace: Trace) -> Callable[[Operation], Seen]:
        player = Player(trace.setup)

        def play(operation: Operation) -> Seen:
            try:
                return player.play(operation)
            except KernelFault:
                return NOT_SURVIVED

        return play

    def _command(self, operation: Operation, number: int) -> str:
        del number
        return command(operation)

    def _observed(self, answer: ProbeRecord, operation: Operation) -> Seen:
        del operation
        return read_seen(answer)

    def _answer(self, expected: Seen, operation: Operation) -> str:
        return answer_text(expected, operation)

    def _differences(self, model: Seen, guest: Seen) -> tuple[str, ...]:
        if model is NOT_SURVIVED:
            return ("the kernel survives a call that it does not survive in the model",)
        pairs = zip(Seen._fields, model, guest, strict=True)
        return tuple(
            f"{name}: {expected} in the model, {found} in the kernel"
            for name, expected, found in pairs
            if expected != found
        )

    def _in_words(self, operation: Operation) -> str:
        return operation_text(operation)
