"""A fake of the check module's guest: its arenas are the model's."""

from __future__ import annotations

from dataclasses import dataclass

from module_guest import ModuleGuest

from harness.errors import UsageError
from harness.subsystems.vmem.model.arena import Arena, Constraints, Fit
from harness.subsystems.vmem.model.operations import (
    CONSTRAINTS,
    Add,
    Alloc,
    Free,
    Limit,
    Operation,
)
from harness.subsystems.vmem.model.player import Player, Setup


@dataclass(slots=True)
class ArenaGuest(ModuleGuest):
    """Its arenas are those of a class.

    Args:
        code: the code that it runs.
    """

    code: type[Arena] = Arena
    _player: Player | None = None

    def answer(self, name: str, fields: dict[str, int]) -> str:
        """See ``ModuleGuest``."""
        if name == "hello":
            return "hello version=1 guest=model domains=2 cpus=4"
        if name == "arena":
            return self._created(fields)
        if name == "arena_discard":
            self._player = None
            return "done"
        if self._player is None:
            return "error why=no-arena"
        try:
            seen = self._player.play(operation(name, fields))
        except UsageError:
            return "error why=not-a-request"
        return " ".join([name, *(f"{key}={value}" for key, value in seen._asdict().items())])

    def _created(self, fields: dict[str, int]) -> str:
        setup = Setup(
            fields["quantum"], fields["base"], fields["size"], fields["imports"],
            bool(fields["releases"]), bool(fields["reclaims"]),
        )  # fmt: skip
        self._player = Player(setup, self.code)
        return "arena error=0"


def operation(name: str, fields: dict[str, int]) -> Operation:
    """Return the operation of a command."""
    if name == "arena_free":
        return Free(fields["slot"])
    if name == "arena_add":
        return Add(fields["base"], fields["size"])
    if name == "arena_limit":
        return Limit(fields["size"])
    want = Constraints(**{key: fields[key] for key in CONSTRAINTS if key in fields})
    return Alloc(fields["slot"], fields["size"], tuple(Fit)[fields["fit"]], want)
