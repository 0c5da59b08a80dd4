"""A fake of the check module's guest: its iterators are the model's."""

from __future__ import annotations

from dataclasses import dataclass

from module_guest import ModuleGuest

from harness.subsystems.domainset.model.form import Form
from harness.subsystems.domainset.model.iterator import DomainsetIter
from harness.subsystems.domainset.model.machine import Branches, IteratorMisuse, Wait
from harness.subsystems.domainset.model.operations import (
    Call,
    Ignore,
    Operation,
    Short,
    Start,
    Step,
)
from harness.subsystems.domainset.model.player import Layout, Player, Seen
from harness.subsystems.domainset.model.sets import Domainset, Policy


@dataclass(slots=True)
class IteratorGuest(ModuleGuest):
    """Its iterators are those of a form.

    Args:
        form: form of its iterators.
        code: the code that it runs.
        layout: the guest's layout.
    """

    form: Form
    code: type[DomainsetIter]
    layout: Layout
    _player: Player | None = None

    def answer(self, name: str, fields: dict[str, int]) -> str:
        """See ``ModuleGuest``."""
        if name == "hello":
            return f"hello version=1 guest=model domains={self.layout.domains} cpus=8"
        if name == "object":
            layout = self.layout
            return (
                f"object address={layout.object_address} size={layout.object_size} "
                f"order0={layout.reserv_order} order1={layout.reserv_order_1}"
            )
        try:
            return self._operated(name, self._operation(name, fields))
        except IteratorMisuse:
            return "error why=not-an-order"

    def _operated(self, name: str, operation: Operation) -> str:
        if self._player is None:
            self._player = Player(self.form, self.layout, Branches(self.code.BRANCHES), self.code)
        seen = self._player.play(operation)
        return "done" if seen is None else f"{name} {self._words(seen)}"

    def _operation(self, name: str, fields: dict[str, int]) -> Operation:
        if name == "short":
            return Short(fields["domains"])
        if name == "ignore":
            return Ignore(fields["domain"])
        if name == "step":
            return Step(fields["cpu"] // 2, fields["wake"])
        assert name == "iterator"
        key = Domainset(list(Policy)[fields["policy"]], fields["domains"], fields.get("prefer", -1))
        return Start(
            list(Call)[fields["call"]], key, fields["place"], Wait(fields["wait"]),
            fields["cpu"] // 2, fields["pindex"], fields.get("color"),
        )  # fmt: skip

    def _words(self, seen: Seen) -> str:
        domain = seen.domain if seen.domain >= 0 else self.layout.domains
        words = [
            f"domain={domain} error={seen.error} place={seen.iterator}",
            f"wait={int(seen.flags or 0)} minskip={int(seen.minskip)} slept={seen.slept}",
        ]
        if seen.masks is None:
            words.append(f"n={seen.n}")
        else:
            words.append("valid={} remain={} min={}".format(*seen.masks))
        if seen.offset is not None:
            words.append(f"offset={seen.offset}")
        return " ".join(words)
