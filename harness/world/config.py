"""What a world contains, and which of its services start."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from harness.errors import UsageError
from harness.host.resources import data_file
from harness.source.revision import combined_hash

DEFAULT_SUITES: Final = (
    "tests/sys/kern",
    "tests/sys/kqueue",
    "tests/sys/mqueue",
    "tests/sys/posixshm",
    "tests/sys/vm",
)
"""The suites of a world of the kind ``tests``, as directories of the tree."""

_SUITE = re.compile(r"[a-z0-9][A-Za-z0-9_.+/-]*", re.ASCII)


class WorldKind(StrEnum):
    """How much of FreeBSD's userland a world has."""

    SLIM = "slim"
    """base tools and sshd"""
    TESTS = "tests"
    """the same, kyua, and some of FreeBSD's own suites"""
    FULL = "full"
    """nearly everything but compilers"""

    @property
    def served_by(self) -> tuple[WorldKind, ...]:
        """The kinds that contain what this one does, the smallest first; no suites are in FULL."""
        return tuple(WorldKind) if self is WorldKind.SLIM else (self,)


class Services(StrEnum):
    """The services that start with a guest."""

    FEW = "few"
    """the network and sshd; most scripts of /etc/rc.d are not executable, as reading them takes
    most of the time of a boot"""
    ALL = "all"
    """those of FreeBSD's own defaults"""


@dataclass(frozen=True, slots=True)
class WorldConfig:
    """The configuration of a world.

    Args:
        kind: what it contains.
        suites: directories of FreeBSD's own suites in the tree.
        services: what starts with it.
    """

    kind: WorldKind = WorldKind.SLIM
    suites: tuple[str, ...] = ()
    services: Services = Services.FEW

    @property
    def src_conf(self) -> str:
        """The text of src.conf(5)."""
        if self.kind is WorldKind.FULL:
            return _fragment("full.conf")
        more = _fragment("tests.conf") if self.kind is WorldKind.TESTS else ""
        return _fragment("slim.conf") + more

    @property
    def suites_conf(self) -> str:
        """The text of src.conf(5) with which the suites alone are built."""
        lines = self.src_conf.splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith("WITHOUT_TESTS="))

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments of make(1): the sanitizers' libraries for programs, which no option leaves out,
        take minutes to build."""
        return () if self.kind is WorldKind.FULL else ("_libclang_rt=",)

    @property
    def digest(self) -> str:
        """A hash of what the build depends on; services and keys come later."""
        return combined_hash((self.src_conf, *self.arguments, *self.suites))


def world_config(
    kind: WorldKind, suites: tuple[str, ...] = (), services: Services = Services.FEW
) -> WorldConfig:
    """Return the configuration for ``harness image build``.

    Raises:
        UsageError: a slim world has no suites, or a suite is not a directory of the tree's tests.
    """
    for suite in suites:
        if not _SUITE.fullmatch(suite) or ".." in suite.split("/"):
            raise UsageError(
                f"{suite!r} is not a suite",
                remedy="name its directory in the tree, such as tests/sys/vm",
            )
    if suites and kind is WorldKind.SLIM:
        raise UsageError("a slim world has no kyua to run suites with", remedy="add --world tests")
    chosen = suites or (DEFAULT_SUITES if kind is WorldKind.TESTS else ())
    return WorldConfig(kind, tuple(sorted(set(chosen))), services)


def covers(suites: Iterable[str], wanted: str) -> bool:
    """Return whether a world's suites contain a directory of the tree."""
    return any(wanted == suite or wanted.startswith(f"{suite}/") for suite in suites)


def suite_candidates(name: str) -> list[str]:
    """Return the directories of a tree that may install a suite, the likeliest first.

    Most suites are below the directory of what they test, in its ``tests``; those of the kernel and
    some others are below the tree's.

    Args:
        name: its directory below /usr/tests.
    """
    words = name.split("/")
    return [
        "/".join((*words[:count], "tests", *words[count:]))
        for count in (0, *range(len(words), 0, -1))
    ]


def _fragment(name: str) -> str:
    return data_file("images", "world", name).read_text()
