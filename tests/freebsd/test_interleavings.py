"""Threads of a trace by schedules: what one thread does to another is found from nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from bucket_cache import MISSING_LOCK, PUT, SECTION, without_lock
from changed_code import Edit
from harness_command import Answer, harness

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(3000)]

#: Two threads of one CPU, of which one loses the race for the CPU's cache.
RACE = """\
zones domains=2 cpus=0,1
zone1 size=500
thread1: alloc zone1 item=1 cpu=0 M_NOWAIT
thread2: alloc zone1 item=2 cpu=0 M_NOWAIT
"""
#: Two wait at a limit; what is cached comes back to the zone at once, with one wakeup.
WAIT = f"""\
zones domains=2 cpus=0,1
zone1 size=500 limit=10 maxcache=100
{"".join(f"alloc zone1 item={item} cpu=0 M_NOWAIT" + chr(10) for item in range(1, 11))}\
{"".join(f"free item={item} cpu=0" + chr(10) for item in range(1, 11))}\
thread1: alloc zone1 item=21 cpu=1 M_WAITOK
thread2: alloc zone1 item=22 cpu=1 M_WAITOK
thread3: reclaim zone1 cpu=0 drain-cpu
"""


def without_lock_but_asserted(found: re.Match[str]) -> str:
    counted = "zdom->uzd_nitems += bucket->ub_cnt;"
    section = without_lock(found).replace(counted, f"{counted}\nlong n = zdom->uzd_nitems;", 1)
    empty = "if (STAILQ_EMPTY(&zdom->uzd_buckets))"
    return section.replace(empty, f'KASSERT(zdom->uzd_nitems == n, ("planted"));\n{empty}', 1)


#: A fault of one function, the program of threads that shows it, and a word of what ends it.
PLANTED: dict[str, tuple[Edit, str, str]] = {
    "a lost last look": (
        Edit("cache_alloc", r"if \(cache->uc_allocbucket\.ucb_bucket == NULL.*?\)\)\)", "if (1)"),
        RACE, "ucb_bucket == NULL failed",
    ),
    "a double insertion": (
        Edit("cache_alloc", r"(zone_put_bucket\([^;]*;)", r"\1 \1"), RACE, "item-twice",
    ),
    "a missing lock with an assertion in its section": (
        Edit("zone_put_bucket", SECTION, without_lock_but_asserted), PUT, "planted",
    ),
    "a missing lock": (MISSING_LOCK, PUT, "cache-count"),
    "a second wakeup that is missing": (
        Edit("zone_alloc_limit_hard", r"(UZ_ITEMS_SLEEPERS\(old\) != 0)\)\s*wakeup_one\([^;]*;",
             r"\1) (void)0;"),
        WAIT, "wakeup-lost",
    ),
}  # fmt: skip


def replayed(tree: Path, out: Path, text: str, *words: str | Path) -> Answer:
    trace = out / "given.trace"
    trace.write_text(text)
    return harness(
        "check", "--source", tree, "--on", "host", "--numa", "2", "--replay", trace, *words, out=out
    )


def check_of(answer: Answer) -> dict[str, Any]:
    (cell,) = answer.document["cells"]
    assert cell["check"], cell["error"]
    return dict(cell["check"])


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_fault_is_found_systematically_and_shown_again_by_its_trace_alone(
    freebsd_tree: Path, tmp_path: Path, kind: str
) -> None:
    edit, program, word = PLANTED[kind]
    patch = tmp_path / "change.diff"
    patch.write_text(edit.patch(freebsd_tree), "utf-8", "surrogateescape")
    answer = replayed(freebsd_tree, tmp_path, program, "--patch", patch, "--schedules", "4000")
    assert answer.code == 1, answer.told
    found = check_of(answer)
    assert word in found["host"]["text"]
    assert found["interleavings"]["schedules"] < 1000  # random priorities come later
    again = check_of(replayed(freebsd_tree, tmp_path, found["trace"], "--patch", patch))
    assert again["host"]["text"] == found["host"]["text"]
    assert not again["interleavings"]


@pytest.mark.long
def test_a_missing_lock_is_found_by_random_priorities_in_a_long_program(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    edit, program, _ = PLANTED["a missing lock"]
    patch = tmp_path / "change.diff"
    patch.write_text(edit.patch(freebsd_tree), "utf-8", "surrogateescape")
    more = "thread2: free item=20 cpu=0\nthread2: alloc zone1 item=21 cpu=0 domain=0 M_NOWAIT\n"
    answer = replayed(
        freebsd_tree, tmp_path, program + more, "--patch", patch, "--schedules", "30000"
    )
    assert answer.code == 1, answer.told
    found = check_of(answer)
    assert found["interleavings"]["exhausted"] == 0
    assert "schedule accesses" in found["trace"]


def test_an_untouched_tree_runs_all_schedules_of_two_threads_on_two_cpus(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    program = RACE.replace("item=2 cpu=0", "item=2 cpu=1")
    answer = replayed(freebsd_tree, tmp_path, program, "--schedules", "2000")
    assert answer.code == 0, answer.told
    counts = check_of(answer)["interleavings"]
    assert (counts["programs"], counts["exhausted"], counts["threads"]) == (1, 1, 2)
    assert counts["operations"] == 2 * counts["schedules"]


def test_threads_that_take_two_locks_in_two_orders_are_a_deadlock(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    """Planted: who drains holds the keg's lock of another domain while it takes its own."""
    order = "int d = curcpu; KEG_LOCK(keg, d); KEG_LOCK(keg, 1 - d);"
    edit = Edit(
        "keg_drain_domain",
        r"(KEG_LOCK\(keg, domain\);)",
        rf'if (strcmp(keg->uk_name, "harness zones") == 0) {{ {order} '
        r"KEG_UNLOCK(keg, 1 - d); KEG_UNLOCK(keg, d); } \1",
    )
    patch = tmp_path / "change.diff"
    patch.write_text(edit.patch(freebsd_tree), "utf-8", "surrogateescape")
    program = (
        "zones domains=2 cpus=0,1\nzone1 size=500\nzone2 size=500 secondary=zone1\n"
        "thread1: reclaim zone1 cpu=0 drain\nthread2: reclaim zone2 cpu=1 drain\n"
    )
    answer = replayed(freebsd_tree, tmp_path, program, "--patch", patch, "--schedules", "2000")
    assert answer.code == 1, answer.told
    host = check_of(answer)["host"]
    assert host["kind"] == "deadlock", answer.told
    assert "thread 1 waits for" in host["text"]


def test_a_thread_that_spins_for_what_no_other_does_gets_nowhere(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    spin = "while (atomic_load_int(&zone->uz_namecnt) != 77) continue;"
    edit = Edit(
        "zone_alloc_item", r"\n\{",
        lambda found: f'{found[0]}\n\tif (strcmp(zone->uz_name, "harness zones") == 0) {spin}',
    )  # fmt: skip
    patch = tmp_path / "change.diff"
    patch.write_text(edit.patch(freebsd_tree), "utf-8", "surrogateescape")
    program = RACE.replace("size=500", "size=500 nobucket")
    answer = replayed(freebsd_tree, tmp_path, program, "--patch", patch, "--schedules", "10")
    assert answer.code == 1, answer.told
    assert check_of(answer)["host"]["kind"] == "starvation"


def test_a_search_writes_programs_of_threads_and_tells_what_it_ran(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    answer = harness(
        "check", "--source", freebsd_tree, "--on", "host", "--numa", "2", "--subsystem", "zones",
        "--ops", "3000", "--seed", "7", "--schedules", "60", out=tmp_path,
    )  # fmt: skip
    check = check_of(answer)
    assert check["operations"] >= 3000
    counts = check["interleavings"]
    assert counts["programs"] > 1
    assert counts["schedules"] <= 60 * counts["programs"]
    assert 2 <= counts["threads"] <= 4


def test_schedules_are_for_the_host_and_for_what_has_threads(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    words = ("check", "--source", freebsd_tree, "--schedules", "10")
    assert harness(*words, out=tmp_path).code == 2
    assert harness(*words, "--on", "host", "--subsystem", "uma", out=tmp_path).code == 2
    trace = tmp_path / "given.trace"
    trace.write_text(RACE)
    answer = harness("check", "--source", freebsd_tree, "--replay", trace, out=tmp_path)
    assert answer.code == 2
    assert "--on host" in answer.told
