"""The tree's own C as a host program: the same answers as a guest's, and clear ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from changed_code import HARMLESS, WRONG, Edit
from harness_command import Answer, harness

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(3000)]

#: As many as every wrong change below needs, and few enough for each to take seconds.
OPERATIONS = "2000"


def on_host(tree: Path, out: Path, *words: str | Path, subsystem: str = "uma") -> Answer:
    return harness(
        "check", "--source", tree, "--on", "host", "--numa", "2", "--ops", OPERATIONS,
        "--subsystem", subsystem, *words, out=out,
    )  # fmt: skip


def cell_of(answer: Answer) -> dict[str, Any]:
    (cell,) = answer.document["cells"]
    return dict(cell)


def patched(tree: Path, out: Path, edit: Edit, *words: str, subsystem: str = "uma") -> Answer:
    patch = out / "change.diff"
    patch.write_text(edit.patch(tree), "utf-8", "surrogateescape")
    return on_host(tree, out, "--patch", patch, *words, subsystem=subsystem)


def planted(statement: str) -> Edit:
    """A statement at the end of what takes an item out of a slab, for the zones of traces."""
    guarded = f'if (strcmp(keg->uk_name, "harness check") == 0) {{\n{statement}\n\t}}'
    return Edit(
        "slab_alloc_item", r"(\n\treturn \(item\);)", lambda found: f"\n\t{guarded}{found[1]}"
    )


@pytest.mark.parametrize("subsystem", ["uma", "domainset"])
def test_an_untouched_tree_agrees_and_the_record_tells_what_ran(
    freebsd_tree: Path, tmp_path: Path, subsystem: str
) -> None:
    answer = on_host(freebsd_tree, tmp_path, subsystem=subsystem)
    cell = cell_of(answer)
    assert (answer.code, cell["check"]["conclusion"]) == (0, "agreed"), answer.told
    assert (cell["on"], cell["verdict"], cell["kernel"]) == ("host", None, None)
    program = cell["check"]["host"]
    assert len(program["program"]) == len(program["sources"]) == 64
    assert any("sleeping" in words for words in program["shimmed"])
    assert not list(tmp_path.glob("**/console.log"))


def test_coverage_tells_what_the_traces_execute_of_the_followed_functions(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    target = tmp_path / "coverage"
    answer = on_host(freebsd_tree, tmp_path / "out", "--coverage", target)
    assert answer.code == 0, answer.told
    document = json.loads((target / "coverage.json").read_text())
    functions = {each["function"]: each for each in document["functions"]}
    assert functions["keg_fetch_slab"]["calls"] > int(OPERATIONS) / 10
    assert functions["keg_fetch_slab"]["lines"]["executed"] > 20
    assert functions["cache_shrink"]["calls"] == 0  # of zones with buckets
    for each in functions.values():
        lines, branches = each["lines"], each["branches"]
        assert lines["executed"] <= lines["total"]
        assert len(each["untaken_branches"]) == branches["total"] - branches["executed"]
    assert "keg_fetch_slab" in (target / "coverage.txt").read_text()
    pages = {path.name for path in target.rglob("*.html")}
    assert {"index.html", "uma_core.c.html", "vm_domainset.c.html"} <= pages


def test_the_same_again_is_compared_with_what_is_kept_of_the_model(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    first = cell_of(on_host(freebsd_tree, tmp_path))["check"]
    again = cell_of(on_host(freebsd_tree, tmp_path))["check"]
    assert again["operations"] == first["operations"] >= int(OPERATIONS)
    assert again["conclusion"] == "agreed"


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_change_is_found_shrunk_and_found_again(
    freebsd_tree: Path, tmp_path: Path, kind: str
) -> None:
    subsystem = "domainset" if kind == "iterator" else "uma"
    answer = patched(freebsd_tree, tmp_path, WRONG[kind], subsystem=subsystem)
    assert answer.code == 1, answer.told
    check = cell_of(answer)["check"]
    assert check["conclusion"] in ("differs", "found")
    assert WRONG[kind].function in check["changed"]
    traces = list(tmp_path.glob("*/*/difference.trace"))
    if not traces:  # the allocator has not even started
        assert check["host"]["kind"] == "panic"
        return
    (trace,) = traces
    again = patched(
        freebsd_tree, tmp_path, WRONG[kind], "--replay", str(trace), subsystem=subsystem
    )
    assert again.code == 1, again.told


@pytest.mark.parametrize("kind", HARMLESS)
def test_a_harmless_change_agrees(freebsd_tree: Path, tmp_path: Path, kind: str) -> None:
    answer = patched(freebsd_tree, tmp_path, HARMLESS[kind])
    assert answer.code == 0, answer.told


#: What a change does, the exit code, the end, and a word that tells of it.
ENDS = {
    "an assertion": ('KASSERT(keg == NULL, ("planted %d", 1));', 1, "panic", "planted 1"),
    "a lock that is kept": ("KEG_LOCK(keg, 0); KEG_LOCK(keg, 0);", 1, "panic", "recursed"),
    "a sleep with a lock held": ('tsleep(keg, 0, "planted", 0);', 1, "invariant", "planted"),
    "a trap": ("kthread_exit();", 3, "trap", "kthread_exit"),
    "a loop that takes locks": (
        "for (;;) { KEG_UNLOCK(keg, slab->us_domain); KEG_LOCK(keg, slab->us_domain); }",
        1,
        "invariant",
        "does not end",
    ),
    "a loop": ("for (;;) continue;", 3, "loop", "CPU time"),
    "a write to nowhere": ("*(volatile char *)16 = 1;", 3, "signal", "SIGSEGV"),
    "a slab's header overwritten": ("memset(slab, 0x5a, sizeof(*slab));", None, None, ""),
}


@pytest.mark.parametrize("kind", ENDS)
def test_a_program_that_ends_is_told_by_what_ended_it_and_where(
    freebsd_tree: Path, tmp_path: Path, kind: str
) -> None:
    statement, code, end, word = ENDS[kind]
    answer = patched(freebsd_tree, tmp_path, planted(statement))
    check = cell_of(answer)["check"]
    if end is None:
        assert answer.code in (1, 3), answer.told
        return
    assert (answer.code, check["host"]["kind"]) == (code, end), answer.told
    assert word in check["host"]["text"]
    assert "slab_alloc_item" in check["host"]["frames"][:3]
    assert check["trace"]


#: What a change does, and a word of the compiler's or ours.
UNBUILT = {
    "what does not compile": (planted("this is no statement;"), "error:"),
    "another prototype": (
        Edit("uma_zone_set_allocf", r"uma_alloc allocf", "uma_free allocf"), "uma_zone_set_allocf",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNBUILT)
def test_what_does_not_become_a_program_is_told_in_the_compilers_words(
    freebsd_tree: Path, tmp_path: Path, kind: str
) -> None:
    edit, word = UNBUILT[kind]
    answer = patched(freebsd_tree, tmp_path, edit)
    assert answer.code == 3
    assert "uma_core.c" in cell_of(answer)["error"]
    assert word in cell_of(answer)["error"]


def test_a_file_that_is_missing_is_named(freebsd_tree: Path, tmp_path: Path) -> None:
    path = "sys/vm/uma_dbg.c"
    lines = (freebsd_tree / path).read_text("utf-8").splitlines()
    patch = tmp_path / "gone.diff"
    patch.write_text(
        f"diff --git a/{path} b/{path}\ndeleted file mode 100644\n--- a/{path}\n+++ /dev/null\n"
        f"@@ -1,{len(lines)} +0,0 @@\n" + "".join(f"-{line}\n" for line in lines)
    )
    answer = on_host(freebsd_tree, tmp_path, "--patch", patch)
    assert answer.code == 3
    assert path in cell_of(answer)["error"]


def both(tree: Path, out: Path, edit: Edit) -> Answer:
    patch = out / "change.diff"
    patch.write_text(edit.patch(tree), "utf-8", "surrogateescape")
    return harness(
        "check", "--source", tree, "--numa", "2", "--ops", "60", "--subsystem", "uma",
        "--patch", patch, out=out,
    )  # fmt: skip


def test_the_guest_is_told_what_the_host_found_and_judges(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    answer = both(freebsd_tree, tmp_path, WRONG["lost last look"])
    cell = cell_of(answer)
    assert (answer.code, cell["on"], cell["verdict"]["outcome"]) == (1, "guest", "booted")
    assert cell["host"]["conclusion"] == cell["check"]["conclusion"] == "differs"
    assert cell["check"]["difference"]["trace"] == cell["host"]["difference"]["trace"]


@pytest.mark.long
def test_what_the_guest_does_not_repeat_is_unconfirmed(freebsd_tree: Path, tmp_path: Path) -> None:
    """``MUTEX_NOINLINE`` is the host program's alone."""
    edit = planted('#ifdef MUTEX_NOINLINE\npanic("planted");\n#endif')
    answer = both(freebsd_tree, tmp_path, edit)
    cell = cell_of(answer)
    assert (answer.code, cell["verdict"]["outcome"]) == (3, "unconfirmed"), answer.told
    assert "planted" in cell["verdict"]["title"]
    assert not cell["host_failed"]


@pytest.mark.long
def test_a_limit_of_the_hosts_is_a_warning_and_the_guest_goes_on(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    edit = planted("#ifdef MUTEX_NOINLINE\nkthread_exit();\n#endif")
    answer = both(freebsd_tree, tmp_path, edit)
    cell = cell_of(answer)
    assert (answer.code, cell["check"]["conclusion"]) == (0, "agreed"), answer.told
    assert "kthread_exit" in answer.told
