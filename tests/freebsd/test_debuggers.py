"""gdb, DDB and memory dumps of real kernels."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness_command import Answer, harness

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(1200)]

KASAN = ("--kasan", "--numa", "2", "--boot", "direct")
BEFORE = (*KASAN, "--mutant", "drop-commit")

CALLERS = ["vm_map_entry_create", "vm_map_insert", "kmem_init", "vm_mem_init", "mi_startup"]


def boot(tree: Path, out: Path, *words: str) -> dict[str, Any]:
    (cell,) = harness("boot", "--source", tree, *words, out=out).document["cells"]
    return dict(cell)


def gdb(out: Path, *commands: str) -> str:
    """Run gdb on the newest run's guest or dump; return what it prints."""
    words = [word for command in commands for word in ("-ex", command)]
    program = [sys.executable, "-c", "from harness.cli.main import main; main()"]
    finished = subprocess.run(
        [*program, "gdb", "--json", "--out", str(out), "latest", "--", *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    return str(json.loads(finished.stdout)["output"])


def functions_in(text: str) -> list[str]:
    """The functions of gdb's backtraces, innermost first."""
    lines = (line.split() for line in text.splitlines() if line.startswith("#"))
    return [words[3] if words[1].startswith("0x") else words[1] for words in lines]


def test_without_the_commit_gdb_ddb_and_dump_show_where_it_panicked(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    plain = boot(freebsd_tree, tmp_path, *BEFORE)["verdict"]
    cell = boot(
        freebsd_tree, tmp_path, *BEFORE, "--gdb-on-panic", "--ddb", "bt; help; show frame", "--dump"
    )
    for key in ("outcome", "title", "titles", "symbolized", "warnings"):
        assert cell["verdict"][key] == plain[key]

    at_panic = cell["debug"]["gdb"]["output"]
    assert functions_in(at_panic)[:7] == ["vpanic", "panic", *CALLERS]
    assert "at sys/vm/vm_map.c:" in at_panic

    answers = {each["command"]: each for each in cell["debug"]["ddb"]["answers"]}
    assert list(answers) == ["bt", "help", "show frame"]
    assert "Tracing pid 0" in answers["bt"]["output"]
    assert "alltrace" in answers["help"]["output"]
    assert [each["note"] for each in answers.values()] == ["", "", ""]

    dump = cell["debug"]["dump"]
    assert dump["note"] == ""
    assert dump["disk"] < dump["bytes"] // 4
    shown = gdb(tmp_path, "bt", "frame function vm_map_entry_create", "list")
    found = functions_in(shown)
    start = found.index("vpanic")
    assert "calltrap" in found[:start], "DDB was entered by a trap"
    assert found[start : start + 7] == ["vpanic", "panic", *CALLERS]
    assert "KASSERT(new_entry != NULL," in shown, "the sources of this kernel"


WALK = (
    "set $keg = uma_kegs.lh_first",
    "set $kegs = 0",
    "set $named = 0",
    "while $keg != 0",
    "set $kegs = $kegs + 1",
    "set $keg = $keg->uk_link.le_next",
    "end",
    'printf "walked %d kegs, the next is %p\\n", $kegs, $keg',
)


@pytest.mark.long
def test_a_dump_has_all_kegs(freebsd_tree: Path, tmp_path: Path) -> None:
    """A panic after all of the kernel is up: its init is killed."""
    cell = boot(freebsd_tree, tmp_path, *KASAN, "--tunable", "init_path=/nowhere",
                "--ddb", "--dump")  # fmt: skip
    assert cell["verdict"]["outcome"] == "panic"
    outputs = {each["command"]: each["output"] for each in cell["debug"]["ddb"]["answers"]}
    assert "KMAP ENTRY" in outputs["show uma"]
    assert "pq_free" in outputs["show pageq"]
    assert "Tracing command" in outputs["alltrace"]
    script = tmp_path / "walk"
    script.write_text("\n".join(WALK) + "\n")
    shown = gdb(tmp_path, f"source {script}")
    (line,) = (line for line in shown.splitlines() if line.startswith("walked "))
    words = line.split()
    assert int(words[1]) > 50
    assert words[-1] in ("(nil)", "0x0")


def panicking_patch(tree: Path, directory: Path) -> Path:
    """A patch that panics inside of the function that fetches slabs, once all CPUs are up."""
    lines = (tree / "sys/vm/uma_core.c").read_text().split("\n")
    start = next(n for n, line in enumerate(lines) if line.startswith("keg_fetch_slab("))
    body = lines.index("{", start)
    at = next(n for n in range(body, len(lines)) if lines[n] == "")
    old, new = directory / "old", directory / "new"
    for side, added in ((old, []), (new, ["\tif (smp_started)", '\t\tpanic("made");'])):
        file = side / "sys/vm/uma_core.c"
        file.parent.mkdir(parents=True)
        file.write_text("\n".join([*lines[:at], *added, *lines[at:]]))
    diff = subprocess.run(
        ["diff", "-u", "--label", "a/sys/vm/uma_core.c", "--label", "b/sys/vm/uma_core.c",
         old / "sys/vm/uma_core.c", new / "sys/vm/uma_core.c"],
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    patch = directory / "panic.patch"
    patch.write_text(diff)
    return patch


@pytest.mark.long
def test_a_panic_inside_the_function_shows_its_frame(freebsd_tree: Path, tmp_path: Path) -> None:
    patch = panicking_patch(freebsd_tree, tmp_path)
    answer: Answer = harness("boot", "--source", freebsd_tree, *KASAN, "--patch", patch,
                             "--gdb-on-panic", "--dump", out=tmp_path / "runs")  # fmt: skip
    (cell,) = answer.document["cells"]
    assert cell["verdict"]["title"].startswith("made in "), "whoever asked the allocator"
    assert "keg_fetch_slab" in functions_in(cell["debug"]["gdb"]["output"])[:4]
    assert "keg_fetch_slab" in functions_in(gdb(tmp_path / "runs", "bt"))
