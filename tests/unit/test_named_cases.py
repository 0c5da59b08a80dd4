"""Named cases name what there is."""

from __future__ import annotations

import shlex

import click
import pytest

from harness.cases import NamedCase
from harness.cli.main import cli
from harness.errors import UsageError
from harness.guest.vmconfig import load_vmconfig
from harness.subsystems.table import cases, find_case, find_mutant

CASES = [pytest.param(case, id=name) for name, case in cases().items()]


@pytest.mark.parametrize("case", CASES)
def test_a_case_is_a_command_with_a_guest_or_a_mutant(case: NamedCase) -> None:
    name, *words = case.command
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    context = command.make_context(name, list(words))
    assert ["--vm", case.vm] == words[:2] if case.vm else "--vm" not in words
    if case.vm:
        assert load_vmconfig(case.vm).topology.nodes
    if mutant := context.params.get("mutant"):
        assert find_mutant(mutant).function in case.functions


@pytest.mark.parametrize("case", CASES)
def test_a_case_says_what_comes_out(case: NamedCase) -> None:
    assert case.story
    assert "\n" not in case.story
    assert shlex.split(shlex.join(case.command)) == list(case.command)
    assert case.shown or case.trace
    for shown in case.shown:
        assert (shown.side != "") is (case.command[0] == "compare")
        assert (shown.agrees is not None) is (case.command[0] == "check")


def test_an_unknown_case_names_one_that_is_near() -> None:
    with pytest.raises(UsageError, match="there is no case 'ap-tramp'") as caught:
        find_case("ap-tramp")
    assert "did you mean ap-trampoline? " in str(caught.value.remedy)
