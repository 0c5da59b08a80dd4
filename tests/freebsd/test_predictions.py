"""What the reference model predicts of a boot, written down before it, is what becomes of it."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

import pytest
from harness_command import harness

from harness.mutation.mutant import MutantRefused
from harness.subsystems.domainset.codeforms import DOMAINSET
from harness.subsystems.table import find_mutant
from harness.subsystems.uma.codeforms import UMA_CORE

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(3600)]

PANIC = "vm_map_entry_create: kernel resources exhausted"
DROP = ("--mutant", "drop-commit")
SANITIZERS = pytest.mark.parametrize("sanitizer", ["kasan", "none"])
GUESTS = pytest.mark.parametrize(
    "guest",
    [("--numa", "1,2,3,4,8"), ("--vm", "memoryless-kasan")],
    ids=["nodes", "a node without memory"],
)

Prediction = dict[str, Any]


def flags(sanitizer: str) -> list[str]:
    return [] if sanitizer == "none" else [f"--{sanitizer}"]


def predicted(tree: Path, out: Path, *words: str | Path) -> dict[int, Prediction]:
    """By the number of nodes."""
    answer = harness("model", "predict", "--source", tree, *words, out=out)
    assert answer.code == 0, answer.told
    return {each["nodes"]: each for each in answer.document["predictions"]}


def panicking_domain(directory: Path) -> int:
    """The domain of the CPU that panicked: each has one."""
    console = (directory / "console.log").read_text("utf-8", "replace")
    (cpu,) = re.findall(r"^cpuid = (\d+)", console, re.MULTILINE)
    return int(cpu)


def agree(prediction: Prediction, cell: dict[str, Any], directory: Path) -> None:
    """The outcome; of a panic, the allocation or the CPU; of a boot, the slabs in each domain."""
    verdict = cell["verdict"]
    where = f"{cell['name']}: {prediction}, {verdict['outcome']} {verdict['title']}"
    assert verdict["outcome"] in prediction["outcome"].split(" or "), where
    assert cell["nodes"] == prediction["nodes"]
    if verdict["outcome"] == "panic":
        assert verdict["title"].startswith(PANIC), where  # later also: in whom
        if prediction["allocation"]:
            assert "kmem_init" in [frame["function"] for frame in verdict["symbolized"]], where
        else:
            assert panicking_domain(directory / cell["name"]) in prediction["late"], where
    elif verdict["outcome"] == "booted" and prediction["slabs"]:
        domains = cell["report"]["subsystems"]["uma"]["zones"]["KMAP_ENTRY"]["domains"]
        assert [domain["pages"] for domain in domains.values()] in prediction["later"], where


@pytest.mark.long
@SANITIZERS
@GUESTS
def test_with_and_without_the_commit(
    guest: tuple[str, str], sanitizer: str, freebsd_tree: Path, tmp_path: Path
) -> None:
    if sanitizer == "none" and guest[0] == "--vm":
        guest = ("--vm", str(without_sanitizer(tmp_path)))
    words = [*flags(sanitizer), *guest]
    predictions = {
        "before": predicted(freebsd_tree, tmp_path, *DROP, *words),
        "after": predicted(freebsd_tree, tmp_path, *words),
    }
    answer = harness("compare", "--source", freebsd_tree, *DROP, *words, out=tmp_path)
    for cell in answer.document["cells"]:
        agree(predictions[cell["side"]][cell["nodes"]], cell, tmp_path / answer.document["name"])
    assert answer.code == 0, answer.told


@pytest.mark.long
@pytest.mark.parametrize("half", ["drop-reserve-fallback", "drop-domain-wait"])
def test_with_half_of_the_commit(half: str, freebsd_tree: Path, tmp_path: Path) -> None:
    words = ("--mutant", half, "--kasan", "--numa", "1,2")
    predictions = predicted(freebsd_tree, tmp_path, *words)
    answer = harness("compare", "--source", freebsd_tree, *words, out=tmp_path)
    for cell in answer.document["cells"]:
        if cell["side"] == "before":
            agree(predictions[cell["nodes"]], cell, tmp_path / answer.document["name"])
    assert answer.code == 0, answer.told


def without_sanitizer(directory: Path) -> Path:
    """The same guest for a kernel without one."""
    nodes = "".join(f"[[node]]\ncpus = 1\nmemory_mib = {memory}\n" for memory in (1024, 0, 1024))
    file = directory / "memoryless.toml"
    file.write_text(f'description = "The middle node without memory"\n{nodes}')
    return file


@pytest.fixture(scope="module")
def swapped(freebsd_tree: Path) -> str:
    """The mutant that swaps reading and advancing in this tree's form of the iterator."""
    text = (freebsd_tree / DOMAINSET).read_bytes()
    for name in ("vm_domainset_iter_rr.read-first", "vm_domainset_iter_rr.advance-first"):
        try:
            find_mutant(name).apply(text)
        except MutantRefused:
            continue
        return name
    raise AssertionError("the tree's iterator is of no known form")


@pytest.fixture(scope="module")
def without_commit(freebsd_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A patch that takes the commit out, so that a mutant can be put on top."""
    after = (freebsd_tree / UMA_CORE).read_bytes()
    before = find_mutant("drop-commit").apply(after)
    old, new = (text.decode().splitlines(keepends=True) for text in (after, before))
    patch = tmp_path_factory.mktemp("patch") / "without.diff"
    patch.write_text("".join(difflib.unified_diff(old, new, f"a/{UMA_CORE}", f"b/{UMA_CORE}")))
    return patch


@pytest.mark.long  # some of these boots hang
@pytest.mark.parametrize("numa", ["1", "2", "3", "4", "8"])
def test_without_the_commit_and_with_the_iterator_reading_in_the_other_order(
    numa: str, swapped: str, without_commit: Path, freebsd_tree: Path, tmp_path: Path
) -> None:
    words = ("--patch", without_commit, "--mutant", swapped, "--kasan", "--numa", numa)
    prediction = predicted(freebsd_tree, tmp_path, *words)[int(numa)]
    answer = harness("boot", "--source", freebsd_tree, *words, out=tmp_path)
    (cell,) = answer.document["cells"]
    agree(prediction, cell, tmp_path / answer.document["name"])


@pytest.mark.parametrize(
    ("sanitizer", "numa"),
    [
        ("kasan", "3"),
        *(
            pytest.param(sanitizer, "1,2,3,4,8", marks=pytest.mark.long)
            for sanitizer in ("kasan", "none")
        ),
    ],
)
def test_with_the_commit_and_the_iterator_reading_in_the_other_order(
    sanitizer: str, numa: str, swapped: str, freebsd_tree: Path, tmp_path: Path
) -> None:
    words = [*flags(sanitizer), "--numa", numa]
    predictions = predicted(freebsd_tree, tmp_path, "--mutant", swapped, *words)
    answer = harness("compare", "--source", freebsd_tree, "--mutant", swapped, *words, out=tmp_path)
    for cell in answer.document["cells"]:
        if cell["side"] == "before":
            agree(predictions[cell["nodes"]], cell, tmp_path / answer.document["name"])
    assert answer.code == 0, answer.told
