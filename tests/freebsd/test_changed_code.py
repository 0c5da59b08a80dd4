"""Changes that a developer might make to the slab allocator, each judged by a check.

They are made from the tree when a test runs, function by function, as patches on top of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from changed_code import HARMLESS, WRONG, Edit
from harness_command import Answer, harness

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(3000)]


def check(tree: Path, directory: Path, edit: Edit) -> Answer:
    patch = directory / "change.diff"
    patch.write_text(edit.patch(tree), "utf-8", "surrogateescape")
    return harness(
        "check", "--source", tree, "--patch", patch, "--numa", "2", "--kasan", "--ops", "600",
        "--on", "guest",
        "--subsystem", "uma", out=directory,
    )  # fmt: skip


def assert_caught(answer: Answer, edit: Edit) -> None:
    (cell,) = answer.document["cells"]
    assert answer.code == 1, answer.told
    assert cell["check"]["chosen"].startswith("the form of "), answer.told
    assert edit.function in cell["check"]["changed"]
    assert edit.function in cell["check"]["diff"]
    if cell["verdict"]["outcome"] == "booted":
        assert cell["check"]["conclusion"] == "differs", answer.told
        found = cell["check"]["difference"]  # None where a thread waits for memory otherwise
        assert found is None or found["length"] <= 20


def assert_agreed(answer: Answer) -> None:
    (cell,) = answer.document["cells"]
    assert answer.code == 0, answer.told
    assert cell["check"]["conclusion"] == "agreed"


def test_a_reserve_off_by_one_is_caught(freebsd_tree: Path, tmp_path: Path) -> None:
    answer = check(freebsd_tree, tmp_path, WRONG["operator"])
    assert_caught(answer, WRONG["operator"])


def test_an_extracted_helper_is_nothing(freebsd_tree: Path, tmp_path: Path) -> None:
    assert_agreed(check(freebsd_tree, tmp_path, HARMLESS["extracted helper"]))


@pytest.mark.long
@pytest.mark.parametrize("change", WRONG)
@pytest.mark.parametrize("release", ["configured", "newer"])
def test_every_wrong_change_is_caught(
    release: str, change: str, freebsd_tree: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    tree = freebsd_tree if release == "configured" else request.getfixturevalue("newer_tree")
    assert_caught(check(tree, tmp_path, WRONG[change]), WRONG[change])


@pytest.mark.long
@pytest.mark.parametrize("change", HARMLESS)
@pytest.mark.parametrize("release", ["configured", "newer"])
def test_no_harmless_change_is_caught(
    release: str, change: str, freebsd_tree: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    tree = freebsd_tree if release == "configured" else request.getfixturevalue("newer_tree")
    assert_agreed(check(tree, tmp_path, HARMLESS[change]))
