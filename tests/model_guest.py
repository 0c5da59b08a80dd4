"""A fake of the check module's guest: it answers from the model."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.console.report import DomainMemory, GuestReport
from harness.errors import UsageError
from harness.subsystems.uma.check.observation import Observation, of_model
from harness.subsystems.uma.check.protocol import Counters
from harness.subsystems.uma.model.flags import M_NOVM, M_NOWAIT, M_USE_RESERVE, M_WAITOK
from harness.subsystems.uma.model.player import DomainSource, Operation, Player, Verb
from harness.subsystems.uma.model.shape import Shape
from harness.subsystems.uma.model.variants import Variant

LETTERS = {"n": M_NOWAIT, "w": M_WAITOK, "v": M_NOVM, "r": M_USE_RESERVE}
#: Bytes of a page that a slab's header takes.
HEADER = 64

Answerer = Callable[[str], str]


def said(body: str) -> bytes:
    """Return a line with a valid checksum."""
    return f"@harness {body} *{zlib.crc32(body.encode()):08x}\n".encode()


def unbatched(line: str) -> list[str]:
    """Return the lines of a batch's commands, as ``images/kmod/batch.c`` makes them; any other
    line is returned as it is."""
    found = re.fullmatch(r"@harness ((\d{4}) batch (.*)) \*([0-9a-f]{8})", line)
    if found is None or zlib.crc32(found[1].encode()) != int(found[4], 16):
        return [line]
    forms: dict[str, str] = {}
    lines: list[str] = []
    for part in found[3].split(";"):
        if part[1:2] == "=":
            forms[part[0]] = part[2:]
            continue
        values = iter(part[1:].split(","))
        number = (int(found[2]) + len(lines)) % 9999
        command = re.sub("%", lambda _: next(values), forms[part[0]])  # noqa: B023 - used at once
        lines.append(said(f"{number:04} {command}").decode().rstrip("\n"))
    return lines


def report(domains: int, empty: tuple[int, ...] = ()) -> GuestReport:
    """Return init's report of such a guest, with two CPUs in each domain."""
    return GuestReport(
        guest="model", release="", osreldate=0, ident="", domains=domains,
        cpus={cpu: cpu // 2 for cpu in range(2 * domains)},
        memory={d: DomainMemory(0 if d in empty else 1000, 4096) for d in range(domains)},
        distances={}, tables={},
    )  # fmt: skip


@dataclass(slots=True)
class ModelGuest:
    """Answers commands as ``images/kmod`` does; a ``Tap``.

    Args:
        variant: the form of its code.
        domains: number of domains.
        empty: mask of domains without memory.
        answer: changes each answer's body, so that it is wrong, a panic, or missing.
    """

    variant: Variant
    domains: int
    empty: int = 0
    answer: Answerer = lambda body: body
    told: bytes = b"firmware was here, too \x1b[2J"
    commands: list[str] = field(default_factory=list)
    ended: bool = False
    _heard: bytes = b""
    _player: Player | None = None
    _numbers: dict[int, int] = field(default_factory=dict)
    _operations: int = 0
    _counters: tuple[Counters, ...] = ()

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        """See ``Tap``; in small pieces, as a serial line gives them."""
        piece, self.told = self.told[:16], self.told[16:]
        if not piece and self.ended:
            return b""
        return piece or None

    def write(self, data: bytes) -> None:
        """See ``Tap``."""
        self._heard += data
        while (end := self._heard.find(b"\n")) >= 0:
            line, self._heard = self._heard[:end], self._heard[end + 1 :]
            for each in unbatched(line.decode()):
                if not self.ended:
                    self._obey(each)

    def _obey(self, line: str) -> None:
        found = re.fullmatch(r"@harness ((\d{4}) (\w+) ?(.*)) \*([0-9a-f]{8})", line)
        if found is None or zlib.crc32(found[1].encode()) != int(found[5], 16):
            self.told += said("9999 error why=checksum")
            return
        self.commands.append(f"{found[3]} {found[4]}")
        fields = dict(word.split("=") for word in found[4].split())
        body = self.answer(f"{found[2]} {self._done(found[3], fields)}")
        if body == "end":
            self.ended = True
        elif body:
            self.told += said(body)

    def _done(self, name: str, fields: dict[str, str]) -> str:
        numbers = {key: int(value) for key, value in fields.items() if key != "flags"}
        if name == "hello":
            return f"hello version=1 guest=model domains={self.domains} cpus={2 * self.domains}"
        if name == "zone":
            return self._zone(numbers)
        if name == "starve":
            return "error why=not-here"
        if name == "discard" or self._player is None:
            return "done place=0"
        try:
            return f"{name} {self._operate(self._player, name, numbers, fields.get('flags', ''))}"
        except UsageError:
            return "error why=no-such-item"

    def _zone(self, numbers: dict[str, int]) -> str:
        hashed = bool(numbers["kind"] & 2)
        ipers = (4096 - (0 if hashed else HEADER)) // numbers["size"]
        if ipers == 0:
            return "error why=slab-header-does-not-fit"
        shape = Shape(
            self.domains, ipers, numbers["reserve"], hashed=hashed,
            first_touch=not numbers["kind"] & 1, empty=self.empty, patience=numbers["patience"],
        )  # fmt: skip
        self._player, self._numbers, self._operations = Player(self.variant, shape), {}, 0
        self._counters = ()
        return f"zone ipers={ipers} place=0{self._changes((Counters(),) * self.domains)}"

    def _operate(self, player: Player, name: str, numbers: dict[str, int], flags: str) -> str:
        self._operations += 1
        operation = self._operation(Verb(name), numbers, flags)
        seen = of_model(player, player.play(operation))
        return self._told_of(seen)

    def _operation(self, verb: Verb, numbers: dict[str, int], flags: str) -> Operation:
        if verb is Verb.PREALLOC:
            return Operation(verb, numbers["items"])
        if verb is Verb.FREE:
            return Operation(verb, self._numbers.pop(numbers["slot"]))
        if verb is not Verb.ALLOC:
            return Operation(verb, numbers["domain"])
        self._numbers[numbers["slot"]] = self._operations
        mask = sum(LETTERS[letter] for letter in flags)
        meanwhile = self._numbers[numbers["meanwhile"]] if "meanwhile" in numbers else 0
        if "domain" in numbers:
            return Operation(verb, numbers["domain"], mask, DomainSource.DOMAIN, meanwhile)
        return Operation(verb, numbers["cpu"] // 2, mask, meanwhile=meanwhile)

    def _told_of(self, seen: Observation) -> str:
        words = []
        if seen.item is not None:
            words.append(f"item={seen.item[0]}.{seen.item[1]} domain={seen.domain}")
        if seen.calls:
            words.append(f"calls={''.join(map(str, seen.calls))}")
        if seen.slept:
            words.append(f"slept={seen.slept}")
        return " ".join([*words, f"place={seen.place}"]) + self._changes(seen.counters)

    def _changes(self, counters: tuple[Counters, ...]) -> str:
        before = self._counters or (None,) * len(counters)
        self._counters = counters
        return "".join(
            f" d{number}={now.pages},{now.free_items},{now.free_slabs},"
            f"{now.partial},{now.free},{now.full}"
            for number, (was, now) in enumerate(zip(before, counters, strict=True))
            if was != now
        )
