"""Decides whether a finding is of a named case, or of the changes that a program has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.check.subject import Specification, Trace
    from harness.onhost.huntedprogram import HuntedProgram


@dataclass(frozen=True, slots=True)
class CaseJudge:
    """Runs a finding's trace in the code below the changes, and there with fixes of named cases.

    Args:
        specification: has the named cases.
        program: the program that shows findings.
        base: returns the program of the code below the changes, always the same one; None if
            nothing is changed.
        fixed: returns the program of that code, or of the unchanged one, with the fix of a named
            case, always the same one; None if that fix does not apply to it.
        changed: the same, of the program's own code; None where nothing is changed, too.
    """

    specification: Specification
    program: HuntedProgram
    base: Callable[[], HuntedProgram | None]
    fixed: Callable[[str], HuntedProgram | None]
    changed: Callable[[str], HuntedProgram | None]

    @property
    def has_base(self) -> bool:
        """Whether something is changed."""
        return self.base() is not None

    def case_of(self, title: str, trace: Trace | None) -> str:
        """Return the named case of a title whose fix removes it, or that has none; empty if there
        is no such case."""
        text = "" if trace is None else str(trace)
        of_it = (
            each.name
            for each in self.specification.known(title, text)
            if trace is None or not each.has_fix or self._is_mended(each.name, title, trace)
        )
        return next(of_it, "")

    def is_new(self, title: str, trace: Trace) -> bool:
        """Return whether it matches a known case, but only the changed code shows it.

        What the change does may show a case in another trace than before: then the case's fix
        still removes it.
        """
        known = self.specification.known(title, str(trace))
        if not known or self.base_shows(title, trace):
            return False
        programs = (self.changed(each.name) for each in known if each.has_fix)
        return all(each is None or self._shows(each, title, trace) for each in programs)

    def base_shows(self, title: str, trace: Trace) -> bool:
        """Return whether the code below the changes shows it; True if nothing is changed."""
        base = self.base()
        return base is None or self._shows(base, title, trace)

    def _is_mended(self, case: str, title: str, trace: Trace) -> bool:
        """Return whether a trace does not show a finding where the case's fix is applied."""
        program = self.fixed(case)
        return program is None or not self._shows(program, title, trace)

    def _shows(self, program: HuntedProgram, title: str, trace: Trace) -> bool:
        program.layout = self.program.layout
        endings = (program.again(trace, closely=closely) for closely in (True, False))
        return any(ending is not None and ending.title == title for ending in endings)
