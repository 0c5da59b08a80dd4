"""What UMA's code is held to: a variant of the model, and where it was taken from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.subsystems.specifications import AUTO
from harness.subsystems.uma.check.guest import CheckedGuest
from harness.subsystems.uma.forms import NAME
from harness.subsystems.uma.model.variants import title_of

if TYPE_CHECKING:
    from harness.check.channel import Channel
    from harness.console.report import GuestReport
    from harness.subsystems.uma.model.variants import Variant


@dataclass(frozen=True, slots=True)
class Specification:
    """See ``harness.check.subject.Specification``.

    Args:
        variant: of the model.
        asked: ``auto``, ``as-built``, a variant's name or a revision.
        why: where the variant comes from.
        changed: the functions of the two files that are not as in that text.
        diff: of those functions, unified.
    """

    variant: Variant
    asked: str = AUTO
    why: str = ""
    changed: tuple[str, ...] = ()
    diff: str = ""

    @property
    def subsystem(self) -> str:
        """Whose variant it is."""
        return NAME

    @property
    def name(self) -> str:
        """The variant's."""
        return self.variant.name

    @property
    def title(self) -> str:
        """The variant's, in a sentence."""
        return title_of(self.variant.name)

    @property
    def proof(self) -> str:
        """The variant's."""
        return self.variant.proof

    def subject(
        self, channel: Channel, report: GuestReport, domains: int, done: Callable[[], None]
    ) -> CheckedGuest:
        """Zones of that guest, held to the variant."""
        return CheckedGuest(channel, report, domains, self.variant, done)
