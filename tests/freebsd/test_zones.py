"""Zones with buckets as a host program: named cases, searches, and each invariant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from changed_code import Edit
from harness_command import Answer, harness

from harness.cases import NamedCase
from harness.subsystems.zones.cases import ZONES_CASES
from harness.subsystems.zones.invariants import INVARIANTS

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(3000)]


def on_host(tree: Path, out: Path, *words: str | Path) -> Answer:
    return harness("check", "--source", tree, "--on", "host", *words, out=out)


def check_of(answer: Answer) -> dict[str, Any]:
    (cell,) = answer.document["cells"]
    assert cell["check"], cell["error"]
    return dict(cell["check"])


#: Those of another release, which the pinned tree does not have.
NEWER = [case for case in ZONES_CASES if case.shown]
#: Shown by each run, one of each kind; the others by the long tier.
SHORT_CASES = (
    "bucket-domain", "cross-bucket-entries", "kva-domains", "smr-waiter", "init-forever",
    "smr-context", "smr-empty-bucket",
)  # fmt: skip
CASES = [
    pytest.param(case, id=case.name, marks=() if case.name in SHORT_CASES else pytest.mark.long)
    for case in ZONES_CASES
    if not case.shown
]
MENDED = [
    pytest.param(case, id=case.name, marks=() if case.name == "kva-pages" else pytest.mark.long)
    for case in ZONES_CASES
    if case.fix is not None
]


@pytest.mark.parametrize("case", CASES)
def test_a_named_case_is_still_found_and_counted_but_fails_nothing(
    freebsd_tree: Path, tmp_path: Path, case: NamedCase
) -> None:
    words = [word for word in case.command[1:] if word not in ("--on", "host")]
    known = on_host(freebsd_tree, tmp_path, *words)
    (finding,) = check_of(known)["findings"]
    assert (finding["case"], finding["counts"]) == (case.name, True), finding["words"]
    assert known.code == 0, known.told


@pytest.mark.parametrize("case", MENDED)
def test_with_its_fix_a_named_case_is_not_found(
    freebsd_tree: Path, tmp_path: Path, case: NamedCase
) -> None:
    words = [word for word in case.command[1:] if word not in ("--on", "host")]
    check = check_of(on_host(freebsd_tree, tmp_path, *words, "--assume", case.name))
    # Without the panic that ends the trace, another named case may show.
    named = {each["case"] for each in check["findings"]}
    assert not named & {case.name, ""}, check["findings"]
    assert f"with the fix of {case.name}" in " ".join(check["notes"])


def test_a_named_case_fails_where_that_is_asked_for(freebsd_tree: Path, tmp_path: Path) -> None:
    asked = on_host(
        freebsd_tree, tmp_path, "--numa", "2", "--case", "bucket-domain", "--fail-on-known"
    )
    assert asked.code == 1, asked.told
    assert "wrong domain" in check_of(asked)["host"]["text"]


@pytest.mark.parametrize("case", [*CASES, *NEWER], ids=lambda case: case.name)
@pytest.mark.long
def test_a_named_case_is_found_in_a_newer_release(
    newer_tree: Path, tmp_path: Path, case: NamedCase
) -> None:
    words = [word for word in case.command[1:] if word not in ("--on", "host")]
    (finding,) = check_of(on_host(newer_tree, tmp_path, *words))["findings"]
    assert finding["case"] == case.name, finding["words"]


def test_a_search_finds_from_nothing_what_is_known_and_goes_on(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    answer = on_host(
        freebsd_tree, tmp_path, "--numa", "3", "--subsystem", "zones", "--ops", "20000",
        "--seed", "2",
    )  # fmt: skip
    check = check_of(answer)
    assert check["operations"] >= 20000
    found = {finding["case"] for finding in check["findings"]}
    assert {"smr-context", "zcache-zinit", "ctor-current"} <= found, answer.told
    assert any(name.startswith("bucket-domain") for name in found), answer.told
    for finding in check["findings"]:
        assert len(finding["trace"].splitlines()) < 20, finding["trace"]


ALLOCATE = """\
zones domains=2 cpus=0,1
zone1 size=500
alloc zone1 item=1 cpu=0 M_NOWAIT
alloc zone1 item=2 cpu=0 M_NOWAIT
alloc zone1 item=3 cpu=1 M_NOWAIT
free item=1 cpu=0
free item=3 cpu=0
reclaim zone1 drain cpu=0
"""
SINGLY = ALLOCATE.replace("size=500", "size=500 nobucket")
LIMITED = SINGLY.replace("nobucket", "limit=2 nobucket")
FREED_AND_USED = """\
zones domains=2 cpus=0,1
zone1 size=1000 nobucket
alloc zone1 item=1 cpu=0 M_NOWAIT
reclaim zone1 drain-cpu
alloc zone1 item=2 cpu=0 M_NOWAIT
"""
OURS = 'strcmp(zone->uz_name, "harness zones") == 0'

SMR_FULL = "\n".join((
    "zones domains=2 cpus=0,1 without=own-items,smr-drain-leaves",
    "zone1 size=96 maxcache=10 smr",
    *(f"alloc zone1 item={item} cpu=0 M_NOWAIT" for item in range(6)),
    "enter zone1 cpu=1",
    *(f"free item={item} cpu=0" for item in range(6)),
    *(f"alloc zone1 item={item} cpu=0 M_NOWAIT" for item in range(6)),
))  # fmt: skip

#: Of each invariant: a change of the tree's code that breaks it, and a trace that shows it.
PLANTED: dict[str, tuple[Edit, str]] = {
    "item-twice": (
        Edit(
            "cache_alloc_item", r"(item = cache_bucket_pop[^;]*;)",
            r"\1 { static void *first; if (" + OURS + ") "
            "{ if (first == NULL) first = item; else item = first; } }",
        ),
        "zones domains=2 cpus=0,1\nzone1 size=96 cache\n"
        "alloc zone1 item=1 cpu=0 M_NOWAIT\nalloc zone1 item=2 cpu=0 M_NOWAIT\n",
    ),
    "items-lost": (
        Edit("zone_free_item", r"zone->uz_release\(", f"if (!({OURS})) zone->uz_release("), SINGLY,
    ),
    "slab-lists": (
        Edit("slab_alloc_item", r"(slab->us_freecount--;)",
             r'if (strcmp(keg->uk_name, "harness zones") != 0) \1'),
        SINGLY,
    ),
    "keg-counters": (Edit("slab_free_item", r"dom->ud_free_items\+\+;", ""), SINGLY),
    "cache-count": (
        Edit("zone_put_bucket", r"zdom->uzd_nitems \+= bucket->ub_cnt;",
             "zdom->uzd_nitems += bucket->ub_cnt + 1;"),
        "zones domains=2 cpus=0,1\nzone1 size=500\nalloc zone1 item=1 cpu=0 M_NOWAIT\n"
        "reclaim zone1 trim\nalloc zone1 item=2 cpu=0 domain=0 M_NOWAIT\n"
        "alloc zone1 item=3 cpu=0 M_NOWAIT meanwhile free item=1 cpu=0\n"
        "reclaim zone1 drain-cpu cpu=0\n",
    ),
    "bucket-size": (
        Edit("zone_ctor", r"zone->uz_bucket_size_min = zone->uz_bucket_size;",
             f"if ({OURS}) zone->uz_bucket_size = 500; "
             "zone->uz_bucket_size_min = zone->uz_bucket_size;"),
        ALLOCATE,
    ),
    "current-count": (
        Edit("zone_free_item", r"counter_u64_add\(zone->uz_frees, 1\);", ""), SINGLY,
    ),
    "limit-count": (
        Edit("zone_free_item", r"if \(zone->uz_max_items > 0\)\s*zone_free_limit\(zone, 1\);", ""),
        LIMITED,
    ),
    "over-limit": (
        Edit("zone_alloc_limit", r"if \(__predict_true\(old \+ count <= max\)\)", "if (1)"),
        LIMITED,
    ),
    "reserve-taken": (
        Edit("keg_fetch_free_slab", r"\? 0 : keg->uk_reserve", "? 0 : 0"),
        "zones domains=2 cpus=0,1\nzone1 size=1000 reserve=4 nobucket\n"
        "prealloc zone1 items=8 cpu=0\nrefuse domain=0\nrefuse domain=1\n"
        "alloc zone1 item=1 cpu=0 M_NOWAIT\n",
    ),
    "bucket-not-filled": (
        Edit("zone_import", r"if \(keg->uk_reserve > 0 &&\s*", "if ("),
        "zones domains=2 cpus=0,1\nzone1 size=1000\nalloc zone1 item=1 cpu=0 M_NOWAIT\n",
    ),
    "waitok-null": (
        Edit("keg_fetch_slab", r"vm_wait_domain\(domain\);", "break;"),
        "zones domains=2 cpus=0,1\nzone1 size=1000 nobucket\nrefuse domain=0\n"
        "alloc zone1 item=1 cpu=0 M_WAITOK\n",
    ),
    "not-zeroed": (
        Edit("item_ctor", r"if \(__predict_false\(flags & M_ZERO\)\)", "if (0)"),
        "zones domains=2 cpus=0,1\nzone1 size=96\nalloc zone1 item=1 cpu=0 M_NOWAIT|M_ZERO\n",
    ),
    "init-count": (
        Edit("bucket_drain", r"if \(zone->uz_fini\)", "if (0)"),
        "zones domains=2 cpus=0,1\nzone1 size=96 zinit\nalloc zone1 item=1 cpu=0 M_NOWAIT\n"
        "reclaim zone1 drain-cpu\n",
    ),
    "keg-init-count": (
        Edit("keg_free_slab", r"start - 1; i > -1", "start - 2; i > -1"),
        "zones domains=2 cpus=0,1\nzone1 size=96 init nobucket\n"
        "alloc zone1 item=1 cpu=0 M_NOWAIT\nfree item=1 cpu=0\nreclaim zone1 drain\n",
    ),
    "ctor-count": (
        Edit("item_dtor", r"if \(zone->uz_dtor != NULL\)", "if (0)"),
        "zones domains=2 cpus=0,1\nzone1 size=96 ctor\nalloc zone1 item=1 cpu=0 M_NOWAIT\n"
        "free item=1 cpu=0\n",
    ),
    "drain-leaves": (
        Edit("keg_drain_domain", r"stofree = dom->ud_free_slabs - stokeep;",
             "stokeep = dom->ud_free_slabs; stofree = 0;"),
        SINGLY,
    ),
    "destroy-leaves": (
        Edit("zone_dtor", r"keg->uk_reserve = 0;", "keg->uk_reserve = 1;"),
        "zones domains=2 cpus=0,1\nzone1 size=1000 reserve=1 nobucket\n"
        "alloc zone1 item=1 cpu=0 M_NOWAIT\n",
    ),
    "headers-lost": (
        Edit("keg_alloc_slab",
             r"zone_free_item\(slabzone\(keg->uk_ipers\),\s*slab_tohashslab\(slab\)[^;]*;", ";"),
        "zones domains=2 cpus=0,1\nzone1 size=1000 offpage nobucket\nrefuse domain=0\n"
        "alloc zone1 item=1 cpu=0 M_NOWAIT\n",
    ),
    "own-argument": (
        Edit(
            "bucket_free",
            r"\(zone->uz_flags & UMA_ZFLAG_BUCKET\) == 0",
            "(zone->uz_flags & UMA_ZFLAG_BUCKET) != 0",
        ),
        "zones domains=2 cpus=0,1\nzone1 size=2000 limit=10\n"
        "alloc zone1 item=1 cpu=0 M_NOWAIT\n"
        "alloc zone1 item=2 cpu=1 M_NOWAIT|M_NOVM|M_USE_RESERVE\n"
        "alloc zone1 item=3 cpu=1 domain=0 M_NOWAIT\n",
    ),
    "wakeup-lost": (
        Edit("zone_free_limit", r"wakeup_one\(&zone->uz_max_items\);", ""),
        "zones domains=2 cpus=0,1\nzone1 size=96 limit=1 nobucket\n"
        "alloc zone1 item=1 cpu=0 M_NOWAIT\nalloc zone1 item=2 cpu=0 M_WAITOK\n",
    ),
    "memory-grows": (
        Edit("cache_fetch_bucket", r"if \(zdom->uzd_nitems == 0\)", "if (1)"),
        "zones domains=2 cpus=0,1\nzone1 size=4000\nsteady zone1 items=7 cpu=0 M_NOWAIT\n",
    ),
    "item-misaligned": (
        Edit("keg_layout", r"(rsize = roundup2\(rsize, alignsize\);)",
             r'if (strcmp(keg->uk_name, "harness zones") != 0) \1'),
        "zones domains=2 cpus=0,1\nzone1 size=100 align=64\n"
        "alloc zone1 item=1 cpu=0 M_NOWAIT\nalloc zone1 item=2 cpu=0 M_NOWAIT\n",
    ),
    "fails-count": (
        Edit("zone_alloc_item", r"(fail_cnt:\s*)counter_u64_add\(zone->uz_fails, 1\);", r"\1"),
        "zones domains=2 cpus=0,1\nzone1 size=1000 nobucket\nrefuse domain=0\n"
        "alloc zone1 item=1 cpu=0 M_NOWAIT\n",
    ),
    "slab-domain": (
        Edit("cache_alloc_retry", r"domain = PCPU_GET\(domain\);", "domain = 0;"),
        "zones domains=2 cpus=0,1\nzone1 size=1000 nobucket\nalloc zone1 item=1 cpu=1 M_NOWAIT\n",
    ),
    "slab-request": (
        Edit("keg_alloc_slab", r"aflags \|= M_ZERO;",
             'if (strcmp(keg->uk_name, "harness zones") != 0) aflags |= M_ZERO;'),
        SINGLY,
    ),
    "constructor-arguments": (
        Edit("cache_alloc_item", r"size, udata, flags, item", "size, NULL, flags, item"),
        "zones domains=2 cpus=0,1\nzone1 size=96 ctor\nalloc zone1 item=1 cpu=0 M_NOWAIT\n",
    ),
    "destructor-arguments": (
        Edit("uma_zfree_arg", r"cache_uz_size\(cache\), udata, SKIP_NONE",
             "cache_uz_size(cache), NULL, SKIP_NONE"),
        "zones domains=2 cpus=0,1\nzone1 size=96 ctor\nalloc zone1 item=1 cpu=0 M_NOWAIT\n"
        "free item=1 cpu=0\n",
    ),
    "size-count": (Edit("keg_free_slab", r"uma_total_dec\(size\);", ";"), SINGLY),
    "memory-count": (
        Edit("uma_zone_memory", r"return \(sz \* PAGE_SIZE\);", "return (sz * PAGE_SIZE + 1);"),
        SINGLY,
    ),
    "sleepers-count": (
        Edit("zone_alloc_limit_hard", r"atomic_subtract_32\(&zone->uz_sleepers, 1\);", ";"),
        "zones domains=2 cpus=0,1\nzone1 size=96 limit=1 nobucket\n"
        "alloc zone1 item=1 cpu=0 M_NOWAIT\nalloc zone1 item=2 cpu=0 M_WAITOK\n",
    ),
    "smr-reused": (
        Edit("bucket_drain", r"smr_wait\(zone->uz_smr, bucket->ub_seq\);", ""),
        SMR_FULL,
    ),
    "drain-keeps": (
        Edit("bucket_cache_reclaim", r"\(zone->uz_flags & UMA_ZONE_ROUNDROBIN\) == 0", "true"),
        "zones domains=2 cpus=0,1\nzone1 size=2000 round-robin\n"
        "alloc zone1 item=1 cpu=1 M_NOWAIT\nreclaim zone1 domain=1 drain-cpu\n",
    ),
    "cache-of-other": (
        Edit("cache_alloc", r"(critical_enter\(\);\s*)cache = &zone->uz_cpu\[curcpu\];", r"\1"),
        "zones domains=2 cpus=0,1\nzone1 size=256\n"
        "alloc zone1 item=1 cpu=1 M_NOWAIT meanwhile move cpu=0 gap=1\n",
    ),
    "pages-lost": (
        Edit("pcpu_page_free", r"vm_page_free\(m\);", ";"),
        "zones domains=2 cpus=0,1\nzone1 size=96 pcpu stock\nalloc zone1 item=1 cpu=1 M_NOWAIT\n",
    ),
    "lock-in-allocf": (
        Edit("keg_alloc_slab", r"(mem = keg->uk_allocf[^;]*;)",
             r"KEG_LOCK(keg, domain); \1 KEG_UNLOCK(keg, domain);"),
        SINGLY,
    ),
}  # fmt: skip

#: Shown by each run; the others by the long tier.
SHORT = ("smr-reused", "items-lost", "bucket-not-filled", "lock-in-allocf")
EACH = [
    pytest.param(name, marks=() if name in SHORT else pytest.mark.long, id=name) for name in PLANTED
]


@pytest.mark.parametrize("name", EACH)
def test_an_invariant_is_found_broken_where_a_change_breaks_it(
    freebsd_tree: Path, tmp_path: Path, name: str
) -> None:
    edit, text = PLANTED[name]
    patch, trace = tmp_path / "change.diff", tmp_path / "shown.trace"
    patch.write_text(edit.patch(freebsd_tree), "utf-8", "surrogateescape")
    trace.write_text(text)
    words = ("--numa", "2", "--subsystem", "zones", "--replay", trace)
    answer = on_host(freebsd_tree, tmp_path, "--patch", patch, *words)
    assert answer.code == 1, answer.told
    assert check_of(answer)["host"]["text"].startswith(f"{name}: "), answer.told
    assert on_host(freebsd_tree, tmp_path, *words).code == 0


def test_planted_changes_are_of_invariants() -> None:
    assert set(PLANTED) <= set(INVARIANTS)
