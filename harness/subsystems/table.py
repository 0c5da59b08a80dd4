"""The table of subsystems, and queries of all of them.

Every boot from a tree imports it, so functions import what other commands need.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.errors import UsageError, cause_of, did_you_mean
from harness.outcome import Expectation, Outcome
from harness.source.codefacts import CodeReaders, Facts
from harness.subsystems.domainset.subsystem import ITERATORS_OF_DOMAINS
from harness.subsystems.uma.subsystem import UMA
from harness.subsystems.vmem.subsystem import ARENAS
from harness.subsystems.zones.subsystem import ZONES

if TYPE_CHECKING:
    from pathlib import Path

    from harness.cases import NamedCase
    from harness.console.report import GuestReport, ReportReaders
    from harness.guest.topology import Topology
    from harness.kernel.artifact import KernelIdentity
    from harness.mutation.mutant import Mutant
    from harness.source.codefacts import NamedChange
    from harness.subsystems.subsystem import Subsystem

#: Packages of the harness, and others, whose code reads facts.
_READERS = ("cedit", "mutation", "subsystems")
_PARSER = ("tree_sitter", "tree_sitter_c")

SUBSYSTEMS: tuple[Subsystem, ...] = (UMA, ITERATORS_OF_DOMAINS, ARENAS, ZONES)


@functools.cache
def mutants() -> Mapping[str, Mutant]:
    """Return the mutants of all subsystems, by name."""
    return MappingProxyType(
        {name: mutant for subsystem in SUBSYSTEMS for name, mutant in subsystem.mutants.items()}
    )


def cases() -> Mapping[str, NamedCase]:
    """Return all named cases, by name."""
    from harness.cases import MACHINE_CASES

    of_subsystems = (case for subsystem in SUBSYSTEMS for case in subsystem.cases)
    return {case.name: case for case in (*of_subsystems, *MACHINE_CASES)}


def find_case(name: str) -> NamedCase:
    """Return the case of that name.

    Raises:
        UsageError: there is none; the remedy names a similar one.
    """
    named = cases()
    if name not in named:
        hint = did_you_mean(name, named)
        raise UsageError(f"there is no case {name!r}", remedy=f"{hint}there are {', '.join(named)}")
    return named[name]


def find_mutant(name: str) -> Mutant:
    """Return the mutant of that name.

    Raises:
        UsageError: there is none; the remedy names the closest, or how to list all.
    """
    from harness.mutation.generated import parse_name

    if name in mutants():
        return mutants()[name]
    generated = parse_name(name)
    if generated is not None:
        return _generated(*generated)
    of_cases = (case.mutant for case in cases().values() if case.mutant is not None)
    for mutant in of_cases:
        if mutant.name == name:
            return mutant
    import difflib

    close = difflib.get_close_matches(name, mutants(), n=1)
    remedy = (
        f"did you mean --mutant {close[0]}?"
        if close
        else "name one with --mutant; harness mutants --list prints all"
    )
    raise UsageError(f"there is no mutant {name}", remedy=remedy)


def _generated(function: str, ordinal: int) -> Mutant:
    from harness.mutation.generated import generated_mutant

    parts = [part for subsystem in SUBSYSTEMS if (part := subsystem.on_host) is not None]
    for part in parts:
        for path in part.functions:
            if part.has_function(path, function):
                return generated_mutant(path, function, ordinal, part.exchanges)
    paths = ", ".join(dict.fromkeys(path for part in parts for path in part.functions))
    raise UsageError(
        f"no mutants of {function}() are generated",
        remedy=f"name a function of {paths} that a check follows; list them: "
        "harness mutants --generated --sample 50",
    )


def _find_fix(name: str) -> NamedChange:
    """The fix of a case.

    Raises:
        UsageError: there is no such case, or no fix of it is known.
    """
    fix = find_case(name).fix
    if fix is not None:
        return fix
    known = ", ".join(case.name for case in cases().values() if case.fix is not None)
    raise UsageError(f"no fix of the case {name!r} is known", remedy=f"there are fixes of {known}")


@functools.cache
def _version() -> str:
    """Return a digest of all code that reads facts: the harness's, and the parser of C."""
    import hashlib
    import importlib.util
    import os
    from pathlib import Path

    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for name in _READERS:
        for path in sorted((package / name).rglob("*.py")):
            digest.update(path.read_bytes())
    for name in _PARSER:
        found = importlib.util.find_spec(name)
        for place in found.submodule_search_locations or () if found else ():
            for entry in sorted(os.scandir(place), key=lambda each: each.name):
                status = entry.stat()
                digest.update(f"{entry.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


KNOWLEDGE = CodeReaders(SUBSYSTEMS, find_mutant, _find_fix, _version)
"""Readers of a tree's code, of all subsystems."""


def facts_of_built_in(mutant: str | None) -> Mapping[str, Facts]:
    """Return all facts of the built-in guest, with a mutant or None."""
    return {subsystem.name: subsystem.of_built_in(mutant) for subsystem in SUBSYSTEMS}


def report_readers() -> ReportReaders:
    """Return the readers of the subsystems' parts of init's report."""
    return {subsystem.name: subsystem.reported for subsystem in SUBSYSTEMS}


def oddities(
    report: GuestReport,
    usual: Sequence[GuestReport],
    identity: KernelIdentity,
    topology: Topology,
) -> frozenset[str]:
    """Return the oddities of all subsystems; see ``Subsystem.oddities``."""
    each = (subsystem.oddities(report, usual, identity, topology) for subsystem in SUBSYSTEMS)
    return frozenset().union(*each)


def find_subsystem(name: str) -> Subsystem:
    """Return the subsystem of that name, which must be in the table."""
    return next(subsystem for subsystem in SUBSYSTEMS if subsystem.name == name)


def trace_text(file: Path, option: str = "") -> str:
    """Return the text of a trace's file.

    Args:
        file: the file.
        option: the option that named it; empty for an argument.

    Raises:
        UsageError: it cannot be read, or is not text.
    """
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        remedy = f"name a text file with {option}" if option else "name a text file"
        raise UsageError(
            f"cannot read the trace {file}: {cause_of(error).lower()}", remedy=remedy
        ) from error


def subsystem_of_trace(text: str, among: Sequence[Subsystem] = SUBSYSTEMS) -> Subsystem:
    """Return the subsystem whose trace a text looks like; the first one if there is none."""
    return next((each for each in among if each.has_written(text)), among[0])


def expected_of(identity: KernelIdentity, topology: Topology) -> Expectation:
    """Return the expected outcome of a boot on a guest with that topology.

    It is that of the first subsystem that expects something other than a successful boot.
    """
    found = [subsystem.expected(identity, topology) for subsystem in SUBSYSTEMS]
    known = [expectation for expectation in found if expectation is not None]
    special = (each for each in known if each.outcomes != (Outcome.BOOTED,) or each.assumed)
    return next(special, known[0] if known else Expectation((Outcome.BOOTED,), "nothing is known"))
