"""A guest's iterators, over its channel: runs traces, and holds them to the model."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Final

from harness.check.subject import Differs, Finding
from harness.errors import UsageError
from harness.subsystems.domainset.check.generate import random_operations
from harness.subsystems.domainset.check.protocol import command, read_layout, read_seen
from harness.subsystems.domainset.check.trace import Trace
from harness.subsystems.domainset.model.form import ITERATORS, Form
from harness.subsystems.domainset.model.machine import Branches
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
    from harness.console.report import GuestReport

#: Operations of one random trace.
TRACE_LENGTH: Final = 60
#: Commands that may be on their way; the guest answers them one by one.
_WINDOW: Final = 24
#: Random traces in which a form must agree with a guest that differs from its specification.
_CONFIRMING_TRACES: Final = 4


class CheckedIterators:
    """Iterators of a guest with a check module; see ``harness.check.subject.Subject``.

    Args:
        channel: to the module, open.
        report: what the guest said of its CPUs and memory.
        domains: how many it has.
        form: that it is held to.
        done: told of each operation that did what the model says.

    Attributes:
        setups: how many traces were begun.
        branches: those of the model's code that were taken.
    """

    def __init__(
        self,
        channel: Channel,
        report: GuestReport,
        domains: int,
        form: Form,
        done: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._report = report
        self._domains = domains
        self._form = form
        self._done = done
        self._empty = sum(
            1 << domain for domain, memory in report.memory.items() if memory.pages == 0
        )
        self._cpus = {
            domain: sorted(cpu for cpu, home in report.cpus.items() if home == domain)
            for domain in range(domains)
        }
        self._layout: Layout | None = None
        self.branches = Branches(ITERATORS[form].BRANCHES)
        self.setups = 0

    def random_trace(self, rng: random.Random) -> Trace:
        """See ``Subject``."""
        layout = self._begin()
        return Trace(self._form, layout, random_operations(rng, self._form, layout, TRACE_LENGTH))

    def given_trace(self, trace: Trace) -> Trace:
        """See ``Subject``."""
        layout = self._begin()
        here = replace(trace, form=self._form, layout=layout)
        if layout.domains < trace.layout.domains or not here.is_taken:
            raise UsageError(
                f"the guest has {layout.domains} domains, without memory: "
                f"{mask_in_words(layout.empty)}, and its iterators are {self._form}: the trace "
                "has an operation that cannot be done there",
                remedy=f"name --numa {trace.layout.domains} and a kernel whose iterators are "
                f"{trace.form}",
            )
        return here

    def run(self, trace: Trace) -> Differs | None:
        """See ``Subject``."""
        player = new_player(trace.form, trace.layout, self.branches)
        expected: deque[Seen | None] = deque()
        seen: list[Seen | None] = []
        ahead = iter(trace.operations)
        for place, operation in enumerate(trace.operations):
            for following in ahead:
                expected.append(player.play(following))
                self._channel.send(command(following, self._cpu(following)))
                if self._channel.outstanding >= _WINDOW:
                    break
            seen.append(read_seen(self._channel.receive(), operation, self._domains))
            found = differences(expected.popleft(), seen[-1])
            if found:
                self._channel.settle()
                return Differs(place, operation_text(operation), found, tuple(seen))
            self._done()
        return None

    def run_again(self, trace: Trace) -> Differs | None:
        """See ``Subject``."""
        if not trace.is_taken:
            return None
        return self.run(replace(trace, layout=self._begin()))

    def discard(self) -> None:
        """See ``Subject``: all domains have memory again."""
        self._channel.ask(command(Short(0), 0))

    def alike(self, trace: Trace, found: Differs, seed: int) -> str:
        """See ``Subject``: the form that does what the guest did, if one does."""
        for form in Form:
            if form is not self._form and _explains(replace(trace, form=form), found):
                guest = CheckedIterators(
                    self._channel, self._report, self._domains, form, lambda: None
                )
                if guest.agrees(seed):
                    return f"the {form} form"
        return ""

    def agrees(self, seed: int) -> bool:
        """Whether it does what its form does, in some random traces."""
        rng = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        return all(self.run(self.random_trace(rng)) is None for _ in range(_CONFIRMING_TRACES))

    def beside(self) -> Finding:
        """See ``Subject``: which branches of the code the traces have taken."""
        known, missed = len(self.branches.taken), self.branches.missed
        note = f"{known - len(missed)} of {known} branches of the iterators' code taken"
        if missed:
            note += f"; not: {'; '.join(map(str, missed))}"
        return Finding((note,), {"branches": known, "branches_taken": known - len(missed)})

    def _begin(self) -> Layout:
        """Give all domains memory; where the module's object lies is asked for once."""
        if self._layout is None:
            answer = self._channel.ask("object")
            self._layout = read_layout(answer, self._domains, self._empty)
        self.discard()
        self.setups += 1
        return self._layout

    def _cpu(self, operation: Operation) -> int:
        """A CPU of the operation's domain: the same one in a trace, another one in the next."""
        if not isinstance(operation, Start | Step):
            return 0
        cpus = self._cpus[operation.cpu_domain] or [0]
        return cpus[self.setups % len(cpus)]


def differences(model: Seen | None, guest: Seen | None) -> tuple[str, ...]:
    """Where they differ, a line each."""
    return tuple(_differences(model, guest))


def _differences(model: Seen | None, guest: Seen | None) -> Iterator[str]:
    if model is None or guest is None:
        return
    for each in fields(Seen):
        said, found = getattr(model, each.name), getattr(guest, each.name)
        if said != found:
            yield f"{each.name}: the model says {_value(said)}, the guest {_value(found)}"


def _value(value: object) -> str:
    if isinstance(value, tuple):
        names = ("valid", "remain", "min")
        return ", ".join(
            f"{name} {mask_in_words(mask)}" for name, mask in zip(names, value, strict=True)
        )
    return "none" if value is None else str(value)


def _explains(trace: Trace, found: Differs) -> bool:
    """Whether the model in the trace's form does just what a guest was seen to do."""
    if not trace.is_taken:
        return False
    player = new_player(trace.form, trace.layout)
    return all(
        not differences(player.play(operation), each)
        for operation, each in zip(trace.operations, found.seen, strict=True)
    )
