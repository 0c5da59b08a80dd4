"""What iterators are held to: a form of the model, and where it was taken from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.subsystems.domainset.check.guest import CheckedIterators
from harness.subsystems.domainset.forms import NAME, RELEASES

if TYPE_CHECKING:
    from harness.check.channel import Channel
    from harness.console.report import GuestReport
    from harness.subsystems.domainset.model.form import Form

#: Where real kernels of that form were booted and did as the model says.
_PROVEN_ON: Mapping[Form, str] = MappingProxyType({form: name for name, form in RELEASES.items()})


@dataclass(frozen=True, slots=True)
class Specification:
    """See ``harness.check.subject.Specification``.

    Args:
        form: of the model.
        asked: ``auto``, ``as-built``, a form's name or a revision.
        why: where the form comes from.
        changed: the functions of the file that are not as in that text.
        diff: of those functions, unified.
    """

    form: Form
    asked: str
    why: str = ""
    changed: tuple[str, ...] = ()
    diff: str = ""

    @property
    def subsystem(self) -> str:
        """Whose form it is."""
        return NAME

    @property
    def name(self) -> str:
        """The form's."""
        return self.form.value

    @property
    def title(self) -> str:
        """The form's, in a sentence."""
        return f"the {self.form} form of the iterators"

    @property
    def proof(self) -> str:
        """The release on which real kernels did as the form says, or ``unproven``."""
        return _PROVEN_ON.get(self.form, "unproven")

    def subject(
        self, channel: Channel, report: GuestReport, domains: int, done: Callable[[], None]
    ) -> CheckedIterators:
        """Iterators of that guest, held to the form."""
        return CheckedIterators(channel, report, domains, self.form, done)
