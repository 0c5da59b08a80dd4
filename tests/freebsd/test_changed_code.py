"""Changes that a developer might make to the slab allocator, each judged by a check.

They are made from the tree when a test runs, function by function, as patches on top of it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness_command import Answer, harness

from harness.cedit.definitions import definitions
from harness.subsystems.domainset.forms import DOMAINSET
from harness.subsystems.uma.forms import UMA_CORE

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(3000)]


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of one function: what a pattern finds in it, and what stands there afterwards."""

    function: str
    pattern: str
    replacement: str | Callable[[re.Match[str]], str]
    path: str = UMA_CORE

    def patch(self, tree: Path) -> str:
        before = (tree / self.path).read_text("utf-8", "surrogateescape")
        text = definitions(before.encode("utf-8", "surrogateescape"))[self.function].text
        function = text.decode("utf-8", "surrogateescape")
        changed, count = re.subn(self.pattern, self.replacement, function, flags=re.DOTALL)
        assert count, f"{self.function} has no {self.pattern}"
        after = before.replace(function, changed)
        sides = (before.splitlines(keepends=True), after.splitlines(keepends=True))
        return "".join(difflib.unified_diff(*sides, f"a/{self.path}", f"b/{self.path}"))


def stepped_otherwise(found: re.Match[str]) -> str:
    return f"{found['place']}++" if found["before"] else f"++{found['place']}"


WRONG = {
    "operator": Edit("keg_fetch_free_slab", r"<= reserve", "< reserve"),
    "order": Edit(
        "keg_first_slab",
        r"(if \(\(slab = [^;]*ud_part_slab[^;]*;\s*)(if \(\(slab = [^}]*\}\s*)",
        r"\2\1",
    ),
    "condition": Edit("slab_free_item", r"us_freecount \+ 1 == ", "us_freecount == "),
    "removed statement": Edit("slab_alloc_item", r"\n\s*dom->ud_free_items--;", ""),
    "wrong domain": Edit(
        "keg_fetch_slab", r"vm_wait_domain\(domain\)", "vm_wait_domain((domain + 1) % vm_ndomains)"
    ),
    "lost last look": Edit(
        "keg_fetch_slab", r"if \(\(slab = keg_fetch_free_slab[^;]*return \(slab\);", ""
    ),
    "iterator": Edit(
        "vm_domainset_iter_rr",
        r"(?P<before>\+\+)?(?P<place>\(\*di->di_iter\))(\+\+)?",
        stepped_otherwise,
        DOMAINSET,
    ),
}

HARMLESS = {
    "renamed variable": Edit("keg_fetch_slab", r"\bslab\b", "found"),
    "counter and assertion": Edit(
        "slab_alloc_item",
        r"^(.*)\tdom->ud_free_items--;",
        "static u_long slab_items_taken;\n"
        "SYSCTL_ULONG(_vm, OID_AUTO, slab_items_taken, CTLFLAG_RD,\n"
        '    &slab_items_taken, 0, "Items taken from slabs");\n\n'
        r'\1\tKASSERT(dom->ud_free_items > 0, ("%s: none free", __func__));'
        "\n"
        r"\tdom->ud_free_items--;\n\tslab_items_taken++;",
    ),
    "extracted helper": Edit(
        "keg_fetch_free_slab",
        r"^(?P<head>.*?)(?P<name>\nkeg_fetch_free_slab)(?P<rest>.*)"
        r"\(flags & M_USE_RESERVE\) != 0 \? 0 : keg->uk_reserve",
        r"static uint32_t\nkeg_held_back(uma_keg_t keg, int flags)\n{\n"
        r"\treturn ((flags & M_USE_RESERVE) != 0 ? 0 : keg->uk_reserve);\n}\n\n"
        r"\g<head>\g<name>\g<rest>keg_held_back(keg, flags)",
    ),
}


def check(tree: Path, folder: Path, edit: Edit) -> Answer:
    patch = folder / "change.diff"
    patch.write_text(edit.patch(tree), "utf-8", "surrogateescape")
    return harness(
        "check", "--source", tree, "--patch", patch, "--numa", "2", "--kasan", "--ops", "600",
        "--subsystem", "uma", out=folder,
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
