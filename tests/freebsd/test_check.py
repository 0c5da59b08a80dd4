"""Real kernels held to the model, operation by operation; the newer tree is the long tier's."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pytest
from harness_command import Answer, harness

from harness.subsystems.uma.model.explore import Bounds, explore
from harness.subsystems.uma.model.variants import VARIANTS

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(3000)]

LOST = "drop-reserve-fallback"
SEEDS = "1-10"


def check(tree: Path, out: Path, *words: str | Path) -> Answer:
    return harness(
        "check", "--source", tree, "--subsystem", "uma", "--on", "guest", *words, out=out
    )


def results(answer: Answer) -> list[dict[str, Any]]:
    assert all(cell["check"] for cell in answer.cells().values()), answer.told
    return [cell["check"] for cell in answer.cells().values()]


def test_a_kernel_with_the_commit_does_what_the_model_says_and_sleeps_for_memory(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    answer = check(freebsd_tree, tmp_path, "--numa", "2", "--kasan", "--ops", "300")
    (result,) = results(answer)
    assert result["conclusion"] == "agreed", answer.told
    assert result["operations"] >= 300
    assert result["measured"]["asleep"]
    assert result["measured"]["calls"] < 100
    assert answer.code == 0


def test_a_kernel_that_boots_without_half_the_commit_is_caught_shrunk_and_caught_again(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    answer = check(freebsd_tree, tmp_path, "--numa", "2", "--mutant", LOST, "--ops", "200")
    (cell,) = answer.document["cells"]
    assert cell["verdict"]["outcome"] == "booted"
    found = cell["check"]["difference"]
    assert found["first"] <= 200, answer.told
    assert found["length"] <= 10
    assert answer.code == 1
    (trace,) = tmp_path.glob("*/*/difference.trace")
    again = check(freebsd_tree, tmp_path, "--numa", "2", "--mutant", LOST, "--replay", trace)
    assert results(again)[0]["difference"]["lines"] == found["lines"]
    good = check(freebsd_tree, tmp_path, "--numa", "2", "--replay", trace)
    assert results(good)[0]["conclusion"] == "agreed"


@pytest.mark.long
def test_without_the_wait_a_thread_spins_a_hundred_times_as_often(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    words = ("--numa", "2", "--kasan", "--ops", "1")
    sleeping, spinning = (
        results(check(freebsd_tree, tmp_path, *words, *more))[0]["measured"]
        for more in ((), ("--mutant", "drop-domain-wait", "--spec", "as-built"))
    )
    assert sleeping["asleep"]
    assert not spinning["asleep"]
    assert spinning["calls"] >= 100 * sleeping["calls"]


@pytest.mark.long
@pytest.mark.parametrize("nodes", ["2", "4"])
@pytest.mark.parametrize("release", ["configured", "newer"])
def test_20_000_operations_over_ten_seeds_show_no_difference(
    release: str, nodes: str, freebsd_tree: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    tree = freebsd_tree if release == "configured" else request.getfixturevalue("newer_tree")
    answer = check(tree, tmp_path, "--numa", nodes, "--kasan", "--ops", "2000", "--seed", SEEDS)
    assert {result["conclusion"] for result in results(answer)} == {"agreed"}, answer.told
    assert sum(result["operations"] for result in results(answer)) >= 20_000


@pytest.mark.long
def test_every_seed_catches_half_the_commits_loss(freebsd_tree: Path, tmp_path: Path) -> None:
    answer = check(
        freebsd_tree, tmp_path, "--numa", "2", "--mutant", LOST, "--ops", "200", "--seed", SEEDS
    )
    found = [result["difference"] for result in results(answer)]
    assert len(found) == 10
    assert all(each and each["first"] <= 200 and each["length"] <= 10 for each in found)


@pytest.mark.long
def test_under_kmsan_too(newer_tree: Path, tmp_path: Path) -> None:
    words = ("--numa", "2", "--kmsan", "--ops", "200")
    assert results(check(newer_tree, tmp_path, *words))[0]["conclusion"] == "agreed"
    # With several CPUs that kernel mostly dies late in its boot, when the page daemon starts.
    alone = ("--tunable", "kern.smp.disabled=1")
    lost = results(check(newer_tree, tmp_path, *words, *alone, "--mutant", LOST))[0]
    assert lost["conclusion"] == "differs"


def counterexamples(variant: str) -> list[str]:
    found = [explore(VARIANTS[variant], Bounds(3, 2, 8, hashed)) for hashed in (False, True)]
    return [str(trace) for each in found for trace in each.broken.values()]


@pytest.mark.long
@pytest.mark.parametrize("release", ["13", "15"])
def test_what_explore_says_is_broken_before_the_commit_is_so_on_a_real_kernel(
    release: str, freebsd_tree: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    tree = freebsd_tree if release == "13" else request.getfixturevalue("newer_tree")
    traces = counterexamples(f"{release}-before")
    assert len(traces) == 3
    for number, text in enumerate(traces):
        file = tmp_path / f"{number}.trace"
        file.write_text(text)
        words = ("--numa", "3", "--replay", file)
        before = check(tree, tmp_path, *words, "--mutant", "drop-commit")
        assert results(before)[0]["conclusion"] == "differs", before.told
        built = check(tree, tmp_path, *words, "--mutant", "drop-commit", "--spec", "as-built")
        assert results(built)[0]["conclusion"] == "agreed", built.told
        assert results(check(tree, tmp_path, *words))[0]["conclusion"] == "agreed"


TROUBLE = {
    "panic": ('panic("planted");', "panic", "gone"),
    "hang": ("for (;;) continue;", "hang", "silent"),
}


@pytest.mark.long
@pytest.mark.parametrize("kind", TROUBLE)
def test_a_guest_that_is_lost_in_the_middle_has_its_verdict_and_the_trace_so_far(
    kind: str, freebsd_tree: Path, tmp_path: Path
) -> None:
    statement, outcome, conclusion = TROUBLE[kind]
    file = Path("sys/vm/uma_core.c")
    text = (freebsd_tree / file).read_text("utf-8", "replace")
    start = text.index("{", text.index("\nkeg_fetch_slab(")) + 1
    planted = f'\n\tif (strcmp(zone->uz_name, "harness check") == 0 && rdomain == 1) {statement}\n'
    # After the declarations: the first statement is the assertion on the flags.
    at = text.index("\tKASSERT", start)
    changed = text[:at] + planted + text[at:]
    patch = tmp_path / "planted.patch"
    patch.write_text(
        "".join(
            difflib.unified_diff(
                text.splitlines(keepends=True), changed.splitlines(keepends=True),
                f"a/{file}", f"b/{file}",
            )
        )
    )  # fmt: skip
    answer = check(freebsd_tree, tmp_path, "--numa", "2", "--patch", patch, "--spec", "13-after")
    (cell,) = answer.document["cells"]
    assert cell["verdict"]["outcome"] == outcome, answer.told
    assert cell["check"]["conclusion"] == conclusion
    assert "=1 " in cell["check"]["trace"].splitlines()[-1]
    assert answer.code == 1
