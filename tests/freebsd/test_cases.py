"""Named cases come out on real kernels as they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness_command import harness

from harness.cases import NamedCase, Shown
from harness.subsystems.table import cases

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(2400)]

#: Seen in every run; the others are for the long tier, or are tests of their own there.
SHORT = ("ap-trampoline",)


def of_release(release: str) -> list[Any]:
    return [
        pytest.param(case, shown, id=f"{case.name} {shown.side}".strip(),
                     marks=() if case.name in SHORT and release == "13." else pytest.mark.long)
        for case in cases().values()
        for shown in case.shown
        if shown.release == release
    ]  # fmt: skip


def comes_out(case: NamedCase, shown: Shown, tree: Path, out: Path) -> None:
    answer = harness(*case.command, "--source", tree, out=out)
    cells = [cell for cell in answer.document["cells"] if cell["side"] == shown.side]
    assert cells, answer.told
    for cell in cells:
        verdict = cell["verdict"]
        assert verdict is not None, cell["error"]
        assert verdict["outcome"] == shown.outcome, answer.told
        assert shown.title in verdict["title"]
        assert cell["verified"]
        if shown.agrees is not None:
            assert (cell["check"]["conclusion"] == "agreed") is shown.agrees


@pytest.mark.parametrize(("case", "shown"), of_release("13."))
def test_case_comes_out(case: NamedCase, shown: Shown, freebsd_tree: Path, tmp_path: Path) -> None:
    comes_out(case, shown, freebsd_tree, tmp_path)


@pytest.mark.parametrize(("case", "shown"), of_release("15."))
def test_case_comes_out_on_a_newer_tree(
    case: NamedCase, shown: Shown, newer_tree: Path, tmp_path: Path
) -> None:
    comes_out(case, shown, newer_tree, tmp_path)
