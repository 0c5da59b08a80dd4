"""Runs traces on the iterators of a guest, over its channel, and compares with the model."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from harness.check.modelled import TRACE_LENGTH, Modelled
from harness.check.subject import Differs, Finding
from harness.errors import UsageError
from harness.subsystems.domainset.check.generate import random_steps
from harness.subsystems.domainset.check.protocol import (
    answer_text,
    command,
    read_layout,
    read_seen,
)
from harness.subsystems.domainset.check.trace import Trace
from harness.subsystems.domainset.model.form import Form
from harness.subsystems.domainset.model.iteratorforms import ITERATORS
from harness.subsystems.domainset.model.machine import Branches, Wait
from harness.subsystems.domainset.model.operations import (
    Operation,
    Short,
    Start,
    Step,
    operation_text,
)
from harness.subsystems.domainset.model.player import Layout, Seen, new_player
from harness.subsystems.domainset.model.sets import mask_in_words

if TYPE_CHECKING:
    from harness.check.channel import Channel
    from harness.console.events import ProbeRecord
    from harness.console.report import GuestReport


class CheckedIterators(Modelled[Trace, Operation, Seen | None]):
    """Iterators of a guest with a check module, compared with a form; see ``Modelled``.

    Attributes:
        branches: counts the branches of the model's code that were taken.
    """

    def __init__(
        self,
        channel: Channel,
        report: GuestReport,
        domains: int,
        done: Callable[[], None],
        form: Form,
    ) -> None:
        super().__init__(channel, report, domains, done)
        self._form = form
        self._layout: Layout | None = None
        self._left = Wait(0)
        self.branches = Branches(ITERATORS[form].BRANCHES)

    def random_trace(self, rng: random.Random) -> Trace:
        """See ``Subject``."""
        layout = self._begin()
        steps = tuple(random_steps(rng, self._form, layout, TRACE_LENGTH, self.branches))
        trace = Trace(self._form, layout, tuple(operation for operation, _ in steps))
        self._foreseen = (trace, tuple(seen for _, seen in steps))
        return trace

    def given_trace(self, trace: Trace) -> Trace:
        """See ``Subject``."""
        layout = self._begin()
        here = self._held(replace(trace, layout=layout))
        if layout.domains < trace.layout.domains or here is None:
            raise UsageError(
                f"the guest has {layout.domains} domains (without memory: "
                f"{mask_in_words(layout.empty)}) and {self._form} iterators, and cannot run the "
                "trace",
                remedy=f"use --numa {trace.layout.domains}, and a kernel with {trace.form} "
                "iterators",
            )
        return here

    def run_again(self, trace: Trace) -> Differs | None:
        """See ``Subject``."""
        if not trace.is_taken:
            return None
        return self.run(replace(trace, layout=self._begin()))

    def discard(self) -> None:
        """See ``Subject``: gives all domains memory."""
        self._channel.ask(command(Short(0), 0))

    def beside(self) -> Finding:
        """See ``Subject``: reports which branches of the code the traces have taken."""
        known, missed = len(self.branches.taken), self.branches.missed
        note = f"{known - len(missed)} of {known} branches of the iterators' code taken"
        if missed:
            note += f"; not: {'; '.join(map(str, missed))}"
        return Finding((note,), {"branches": known, "branches_taken": known - len(missed)})

    def _begin(self) -> Layout:
        """Give all domains memory; return the layout, which is read once."""
        if self._layout is None:
            answer = self._channel.ask("object")
            self._layout = read_layout(answer, self._domains, self._empty)
        self.discard()
        self.setups += 1
        return self._layout

    def _held(self, trace: Trace) -> Trace | None:
        held = replace(trace, form=self._form)
        return held if held.is_taken else None

    def _alternatives(self) -> Iterator[tuple[Self, str]]:
        for form in Form:
            if form is not self._form:
                same = self._channel, self._report, self._domains, lambda: None
                yield type(self)(*same, form), f"the {form} form"

    def _answer(self, expected: Seen | None, operation: Operation) -> str:
        return answer_text(expected, self._domains, self._left)

    def _agreed(self, seen: Seen | None) -> None:
        if seen is not None and seen.flags is not None:
            self._left = seen.flags

    def _model(self, trace: Trace) -> Callable[[Operation], Seen | None]:
        return new_player(self._form, trace.layout, self.branches).play

    def _command(self, operation: Operation, number: int) -> str:
        """Return the command; a domain's CPU stays the same within a trace."""
        if isinstance(operation, Start | Step):
            return command(operation, self._cpu_of(operation.cpu_domain, self.setups))
        return command(operation, 0)

    def _observed(self, answer: ProbeRecord, operation: Operation) -> Seen | None:
        return read_seen(answer, operation, self._domains)

    def _differences(self, model: Seen | None, guest: Seen | None) -> tuple[str, ...]:
        return tuple(_differences(model, guest))

    def _in_words(self, operation: Operation) -> str:
        return operation_text(operation)


def _differences(model: Seen | None, guest: Seen | None) -> Iterator[str]:
    if model is None or guest is None:
        return
    for name, said, found in zip(Seen._fields, model, guest, strict=True):
        if said != found:
            yield f"{name}: {_value(said)} in the model, {_value(found)} in the kernel"


def _value(value: object) -> str:
    if isinstance(value, tuple):
        names = ("valid", "remain", "min")
        return ", ".join(
            f"{name} {mask_in_words(mask)}" for name, mask in zip(names, value, strict=True)
        )
    return "none" if value is None else str(value)
