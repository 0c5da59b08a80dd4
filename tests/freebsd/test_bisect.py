"""Bisections on real kernels, of histories made for the test on top of the configured tree."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness_command import Answer, harness
from made_history import UMA, MadeHistory, lend, long_history

from harness.arch import GUEST
from harness.host.process import HostRunner
from harness.host.resources import data_file
from harness.host.workspace import Workspace
from harness.source.opentree import open_tree
from harness.subsystems.table import find_mutant

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(7200)]

PANIC = "vm_map_entry_create: kernel resources exhausted"

#: Panics in about one boot of three, by the time stamp counter.
NOW_AND_THEN = """
#include <machine/cpufunc.h>
static void
made_chance(void *arg __unused)
{
	if (rdtsc() % 3 == 0)
		panic("made to fail now and then");
}
SYSINIT(made_chance, SI_SUB_KLD, SI_ORDER_ANY, made_chance, NULL);
"""

#: Has KMSAN report a use of memory that nobody has set.
UNSET = """
#include <sys/malloc.h>
static void
made_use(void *arg __unused)
{
	volatile int *unset = malloc(64, M_TEMP, M_WAITOK);

	if (unset[3] == 7)
		printf("seven\\n");
	free(__DEVOLATILE(void *, unset), M_TEMP);
}
SYSINIT(made_use, SI_SUB_KLD, SI_ORDER_ANY, made_use, NULL);
"""


def without_the_commit(made: MadeHistory) -> bytes:
    return find_mutant("drop-commit").apply(made.original(UMA))


@pytest.fixture
def made(freebsd_tree: Path, tmp_path: Path) -> MadeHistory:
    return MadeHistory(tmp_path / "history", freebsd_tree, uuid.uuid4().hex[:8])


@pytest.fixture
def made_newer(newer_tree: Path, tmp_path: Path) -> MadeHistory:
    return MadeHistory(tmp_path / "history", newer_tree, uuid.uuid4().hex[:8])


@pytest.fixture
def cold(made: MadeHistory, tmp_path: Path) -> Iterator[Path]:
    """The slim configuration under a name of its own, so that no object of it is there."""
    path = tmp_path / f"cold-{made.salt}"
    path.write_text(data_file("images", "kernconf", GUEST.name, "slim").read_text())
    yield path
    home = open_tree(str(made.tree), Workspace.of_user(), HostRunner()).home
    for left in home.glob(f"obj-*/**/HARNESS-{path.name}*"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()


def bisect(made: MadeHistory, good: str, bad: str, out: Path, *more: str | Path) -> Answer:
    return harness(
        "bisect", "--source", made.tree, "--good", good, "--bad", bad, "--numa", "2", *more,
        out=out,
    )  # fmt: skip


def found(answer: Answer) -> dict[str, Any]:
    document: dict[str, Any] = answer.document["bisect"]
    return document


def test_a_culprit_among_idle_and_unbuildable_revisions(made: MadeHistory, tmp_path: Path) -> None:
    first = made.change()
    made.idle()
    made.unbuildable()
    culprit = made.commit("Simplify keg_fetch_slab()", {UMA: without_the_commit(made)})
    made.idle()
    made.change()
    lend(made)
    answer = bisect(made, first, made.head, tmp_path, "--kasan")
    assert answer.code == 0, answer.told
    assert found(answer)["answer"]["commits"] == [culprit]
    assert found(answer)["failure"]["title"] == PANIC
    assert [step["holds"] for step in found(answer)["proof"]] == [True, True, True]
    assert found(answer)["candidates"] <= 5


@pytest.mark.long
def test_two_hundred_revisions_in_seven_steps(
    made: MadeHistory, cold: Path, tmp_path: Path
) -> None:
    first = made.change()
    culprit = long_history(made, without_the_commit(made))
    lend(made)
    answer = bisect(made, first, made.head, tmp_path, "--kasan", "--kernconf", cold)
    assert answer.code == 0, answer.told
    assert found(answer)["answer"]["commits"] == [culprit]
    assert found(answer)["steps"] <= 7
    assert [step["holds"] for step in found(answer)["proof"]] == [True, True, True]


@pytest.mark.long
def test_killed_at_five_random_moments_it_finds_the_same(made: MadeHistory, tmp_path: Path) -> None:
    first = made.change()
    culprit = long_history(made, without_the_commit(made), size=60)
    lend(made)
    words = (
        "bisect", "--source", str(made.tree), "--good", first, "--bad", made.head,
        "--numa", "2", "--kasan", "--out", str(tmp_path),
    )  # fmt: skip
    chances = random.Random(made.salt)
    for _ in range(5):
        program = [sys.executable, "-c", "from harness.cli.main import main; main()", *words]
        running = subprocess.Popen(
            program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            running.wait(chances.uniform(5, 60))
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
        running.wait()
    answer = bisect(made, first, made.head, tmp_path, "--kasan")
    assert answer.code == 0, answer.told
    assert found(answer)["answer"]["commits"] == [culprit]


@pytest.mark.long
def test_the_revision_that_puts_the_change_back(made: MadeHistory, tmp_path: Path) -> None:
    broken = made.commit("Simplify keg_fetch_slab()", {UMA: without_the_commit(made)})
    for _ in range(4):
        made.change()
        made.idle()
    mended = made.commit("Look into all domains again", {UMA: made.original(UMA)})
    for _ in range(4):
        made.change()
    lend(made)
    answer = bisect(made, made.head, broken, tmp_path, "--kasan", "--fixed")
    assert answer.code == 0, answer.told
    assert found(answer)["answer"]["commits"] == [mended]
    assert [step["holds"] for step in found(answer)["proof"]] == [True, True, True]


@pytest.mark.long
def test_a_failure_that_shows_in_one_boot_of_three(made: MadeHistory, tmp_path: Path) -> None:
    first = made.change()
    for _ in range(5):
        made.change()
    culprit = made.change(NOW_AND_THEN, "Be careful now and then")
    for _ in range(5):
        made.change()
    lend(made)
    answer = bisect(made, first, made.head, tmp_path, "--repeat", "60")
    assert answer.code == 0, answer.told
    assert found(answer)["answer"]["commits"] == [culprit]
    assert found(answer)["failure"]["title"] == "made to fail now and then"
    assert 0.1 < found(answer)["failure"]["rate"] < 0.7


@pytest.mark.long
def test_a_wrong_allocator_that_boots_is_found_by_the_check(
    made_newer: MadeHistory, tmp_path: Path
) -> None:
    made = made_newer
    first = made.change()
    made.change()
    culprit = made.commit("Simplify keg_fetch_slab()", {UMA: without_the_commit(made)})
    for _ in range(3):
        made.change()
    lend(made)
    answer = bisect(made, first, made.head, tmp_path, "--kasan", "--with", "check")
    assert answer.code == 0, answer.told
    assert found(answer)["answer"]["commits"] == [culprit]
    # Some of its kernels die at boot, others are only caught by the check.
    bad = [test["titles"][0] for test in found(answer)["tests"] if test["mark"] == "bad"]
    assert set(bad) <= {PANIC, "check: the guest differs from the model"}


@pytest.mark.long
def test_the_revision_that_broke_the_compilation_and_the_one_that_mended_it(
    made: MadeHistory, tmp_path: Path
) -> None:
    """The base's kernel is built already, and one that does not compile costs no link."""
    for _ in range(3):
        made.idle()
        made.commit("A constant", {UMA: made.grown(UMA, f"static int made_{made.count} __used;\n")})
    before = made.appended[UMA]
    broken = "static int made_broken(void) { return (made_missing); }\n"
    culprit = made.commit("Count what is missing", {UMA: made.grown(UMA, broken)})
    for _ in range(3):
        made.idle()
        made.change()
    bad = made.head
    made.appended[UMA] = before
    mended = made.commit("Count no more", {UMA: made.text_of(UMA)})
    made.change()
    lend(made)
    answer = bisect(made, made.base, bad, tmp_path, "--kasan", "--with", "build")
    assert answer.code == 0, answer.told
    assert found(answer)["answer"]["commits"] == [culprit]
    assert "sys/vm/uma_core.c:" in found(answer)["error"]
    assert "made_missing" in found(answer)["error"]
    assert [step["holds"] for step in found(answer)["proof"][:2]] == [True, True]
    assert answer.document["cells"] == []
    answer = bisect(made, made.head, bad, tmp_path, "--kasan", "--with", "build", "--fixed")
    assert answer.code == 0, answer.told
    assert found(answer)["answer"]["commits"] == [mended]


@pytest.mark.long
def test_wrong_iterators_that_boot_are_found_by_their_own_check(
    made: MadeHistory, tmp_path: Path
) -> None:
    mutant = find_mutant("vm_domainset_iter_rr.miss-last-domain")
    path = str(mutant.path)
    first = made.change()
    culprit = made.commit("Simplify the iterators", {path: mutant.apply(made.original(path))})
    made.change()
    lend(made)
    answer = bisect(
        made, first, made.head, tmp_path, "--kasan", "--with", "check", "--subsystem", "domainset"
    )
    assert answer.code == 0, answer.told
    assert found(answer)["answer"]["commits"] == [culprit]


@pytest.mark.long
def test_a_report_of_kmsans_is_found_among_the_trees_own(
    made_newer: MadeHistory, tmp_path: Path
) -> None:
    made = made_newer
    first = made.change()
    made.change()
    culprit = made.change(UNSET, "Use what nobody has set")
    for _ in range(3):
        made.change()
    lend(made)
    answer = bisect(made, first, made.head, tmp_path, "--kmsan")
    assert answer.code == 0, answer.told
    assert found(answer)["answer"]["commits"] == [culprit]
    assert "made_use" in found(answer)["failure"]["title"]
    told = json.dumps(found(answer)["tests"])
    assert "statclock" in told or not found(answer)["failure"]["own"]
