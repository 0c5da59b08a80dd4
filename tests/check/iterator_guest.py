"""A fake of the check module's guest: its iterators are the model's."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field

from model_guest import said

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
class IteratorGuest:
    """Answers commands as the check module does; a ``Tap``.

    Args:
        form: form of its iterators.
        code: the code that it runs.
        layout: the guest's layout.
        dies_after: number of commands after which it ends; None: never.
    """

    form: Form
    code: type[DomainsetIter]
    layout: Layout
    dies_after: int | None = None
    commands: list[str] = field(default_factory=list)
    _told: bytes = b""
    _heard: bytes = b""
    _player: Player | None = None

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        """See ``Tap``."""
        told, self._told = self._told, b""
        if not told and self.dies_after is not None and len(self.commands) >= self.dies_after:
            return b""
        return told or None

    def write(self, data: bytes) -> None:
        """See ``Tap``."""
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in filter(None, lines):
            found = re.fullmatch(r"@harness ((\d{4}) (\w+) ?(.*)) \*([0-9a-f]{8})", line.decode())
            assert found is not None
            assert zlib.crc32(found[1].encode()) == int(found[5], 16)
            if self.dies_after is not None and len(self.commands) >= self.dies_after:
                return
            self.commands.append(f"{found[3]} {found[4]}")
            fields = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", found[4])}
            self._told += said(f"{found[2]} {self._done(found[3], fields)}")

    def _done(self, name: str, fields: dict[str, int]) -> str:
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
