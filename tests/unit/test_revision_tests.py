"""How a bisection tests its revisions: which kernels, how many at once, what can be resumed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from fake_environment import NODES, FakeProvider, fake_environment
from fake_guests import boots

from harness.provide.revisions import Revisions
from harness.runs.bisectrequest import BisectRequest
from harness.runs.bisecttests import RevisionTests
from harness.runs.bisecttests import Testing as HowTested
from harness.runs.buildtester import BuildTester
from harness.runs.ends import Ends
from harness.runs.environment import Environment
from harness.runs.guests import Guests
from harness.runs.kerneltester import KernelTester
from harness.runs.view import Unseen
from harness.sanitizers import NONE
from harness.source.request import KernelRequest

MADE = KernelRequest("made")
ENDS = Ends(cast("Any", None), "new", ("old", "base"), cast("Any", None))


@dataclass
class Asked(FakeProvider):
    """Notes which revisions were asked for, and with which modules."""

    ends: list[Sequence[str]] = field(default_factory=list)
    modules: list[Sequence[str]] = field(default_factory=list)

    def revisions(self, tree: Any, what: Any, sanitizers: Any, ends: Sequence[str],
                  *, modules: Sequence[str] = ()) -> Revisions:  # fmt: skip
        self.ends.append(ends)
        self.modules.append(modules)
        return super().revisions(tree, what, sanitizers, ends, modules=modules)


@pytest.fixture
def env(tmp_path: Path) -> Iterator[Environment]:
    with fake_environment(tmp_path, boots, Asked(tmp_path)) as made:
        yield made


def asked(env: Environment) -> Asked:
    assert isinstance(env.provider, Asked)
    return env.provider


def made_tests(env: Environment, **changed: Any) -> RevisionTests:
    request = replace(BisectRequest(MADE, guest=NODES), **changed)
    return RevisionTests(request, env, Guests.of(env, Unseen(), NODES, MADE), NONE)


def how_tested(env: Environment, **changed: Any) -> HowTested:
    tests = made_tests(env, **changed)
    return tests.testing(ENDS, tests.revisions(asked(env), ENDS))


@pytest.mark.parametrize(
    ("changed", "first"),
    [({}, "new"), ({"how": "build"}, "old"), ({"how": "build", "fixed": True}, "new")],
)
def test_the_toolchain_is_that_of_an_end_that_compiles(
    env: Environment, changed: dict[str, Any], first: str
) -> None:
    made_tests(env, **changed).revisions(asked(env), ENDS)
    assert asked(env).ends[0][0] == first
    assert set(asked(env).ends[0]) == {"new", "old", "base"}


def test_only_a_check_needs_modules(env: Environment) -> None:
    for changed in ({}, {"how": "check"}, {"how": "check", "subsystem": "domainset"}):
        made_tests(env, **changed).revisions(asked(env), ENDS)
    assert asked(env).modules == [(), ("uma",), ("domainset",)]


def test_one_compilation_is_enough(env: Environment, tmp_path: Path) -> None:
    found = how_tested(env, how="build")
    assert found.question.certain
    assert (found.question.new, found.question.old) == ("new", ("old", "base"))
    assert isinstance(found.tester(tmp_path), BuildTester)
    assert dict(found.asked) == {}


def test_boots_are_repeated_as_often_as_the_request_says(env: Environment, tmp_path: Path) -> None:
    found = how_tested(env, confidence=99.0, repeat=7)
    assert not found.question.certain
    assert (found.question.confidence, found.question.repeat) == (0.99, 7)
    assert isinstance(found.tester(tmp_path), KernelTester)
    assert found.ahead >= 1


@pytest.mark.parametrize(
    ("changed", "key"),
    [({"any_failure": True}, "any_failure"), ({"command": ("true",)}, "command")],
)
def test_what_changes_the_verdict_changes_what_can_be_resumed(
    env: Environment, changed: dict[str, Any], key: str
) -> None:
    usual, other = how_tested(env), how_tested(env, **changed)
    assert {name for name in usual.asked if usual.asked[name] != other.asked[name]} == {key}


def test_a_users_command_judges_one_guest_at_a_time(env: Environment) -> None:
    assert how_tested(env, command=("true",)).at_once == 1
    assert how_tested(env).at_once >= 1


def test_a_check_is_held_to_the_end_that_passes(env: Environment) -> None:
    held: list[str] = []

    @dataclass
    class Noted:
        """Revisions that note whose specification was asked for."""

        revisions: Revisions

        @property
        def subsystems(self) -> Any:
            return self.revisions.subsystems

        @property
        def title(self) -> str:
            return self.revisions.title

        def specification(self, subsystem: Any, commit: str) -> Any:
            held.append(commit)
            return self.revisions.specification(subsystem, commit)

    for fixed in (False, True):
        tests = made_tests(env, how="check", fixed=fixed)
        tests.testing(ENDS, cast("Any", Noted(tests.revisions(asked(env), ENDS))))
    assert held == ["old", "new"]
