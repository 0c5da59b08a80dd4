"""A history of the built-in guest for tests, in which a revision breaks it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from small_tree import git

from harness.host.resources import checkout_path
from harness.image.embedded import OWN, SHARED

Edit = Callable[[Path], None]


def night_plan(source: object, *, history: object = "", control: str = "2") -> str:
    """A plan of nights: boots on one and two nodes, and a control on ``control`` of them."""
    kept = f'history = "{history}"\n' if str(history) else ""
    return f"""
name = "made"
{kept}
[[tree]]
name = "made"
source = "{source}"
branches = ["main"]

[[boot]]
numa = "1,2"
accelerator = "tcg"

[[control]]
mutant = "drop-commit"
numa = "{control}"
accelerator = "tcg"
title = "kernel resources exhausted"
"""


@dataclass(slots=True)
class EmbeddedHistory:
    """A repository with the guest's sources, tagged ``first`` and, later, others."""

    directory: Path
    number: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        for directory in (OWN, *SHARED):
            target = self.directory / directory.removeprefix("images/")
            shutil.copytree(checkout_path(directory), target, dirs_exist_ok=True)
        git(self.directory, "init", "--quiet", "--initial-branch=main")
        self.commit("The built-in guest as it came", "first")

    def commit(self, subject: str, tag: str = "") -> str:
        git(self.directory, "add", "--all")
        git(self.directory, "commit", "--quiet", "--allow-empty", "--message", subject)
        if tag:
            git(self.directory, "tag", tag)
        return git(self.directory, "rev-parse", "HEAD")

    def document(self) -> str:
        """Add a commit that does not change the sources."""
        self.number += 1
        (self.directory / "NOTES.md").write_text(f"Note {self.number}.\n")
        return self.commit(f"Notes, part {self.number}")

    def comment(self) -> str:
        """Add a commit that changes sources, but not the compiled kernel."""
        self.number += 1
        self.append("pool.c", f"/* Remark {self.number}. */\n")
        return self.commit(f"Remark {self.number} on pages")

    def change(self) -> str:
        """Add a commit that changes the kernel without an effect on tests."""
        self.number += 1
        self.replace("init_main.c", "---\\n", f"---\\nbuild {self.number}\\n", count=1)
        return self.commit(f"Say build {self.number} in the banner")

    def unbuildable(self) -> str:
        """Add two commits; the first does not compile."""
        self.append("plant.c", "broken!\n")
        broken = self.commit("A new plant, not quite there")
        self.replace("plant.c", "broken!\n", "")
        self.commit("A new plant, taken back")
        return broken

    def dies_of_something_else(self) -> str:
        """Add two commits; with the first, the guest traps before it allocates anything."""
        trap = "\tboot_read(start_info);\n\t*(volatile uint32_t *)0x30 = 1;\n"
        self.replace("init_main.c", "\tboot_read(start_info);\n", trap)
        strange = self.commit("Look at the first page")
        self.replace("init_main.c", trap, "\tboot_read(start_info);\n")
        self.commit("Do not look at the first page")
        return strange

    def break_it(self) -> str:
        """Revert the commit's effect: the kernel panics on more than one node."""
        self.replace("keg.c", "#if HARNESS_COMMIT", "#if HARNESS_COMMIT && 0")
        return self.commit("Simplify keg_fetch_slab()\n\nIt reads better without the reserve.")

    def mend_it(self) -> str:
        self.replace("keg.c", "#if HARNESS_COMMIT && 0", "#if HARNESS_COMMIT")
        return self.commit("Look into all domains again")

    def tag(self, name: str) -> None:
        git(self.directory, "tag", name)

    def append(self, name: str, text: str) -> None:
        with (self.directory / "embedded" / name).open("a") as file:
            file.write(text)

    def replace(self, name: str, old: str, new: str, count: int = -1) -> None:
        path = self.directory / "embedded" / name
        text = path.read_text()
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new, count))


def usual_history(directory: Path) -> tuple[EmbeddedHistory, str]:
    """Return ``first`` to ``last``, a third of it without changes, and the breaking revision."""
    made = EmbeddedHistory(directory)
    for _ in range(3):
        made.document()
        made.change()
        made.comment()
    made.unbuildable()
    made.change()
    git(directory, "checkout", "--quiet", "-b", "side", "first")
    made.append("vm_map.c", "/* A side branch. */\n")
    made.commit("A remark on a side branch")
    git(directory, "checkout", "--quiet", "main")
    git(directory, "merge", "--quiet", "--no-ff", "--message", "Merge the side branch", "side")
    culprit = made.break_it()
    made.document()
    made.dies_of_something_else()
    for _ in range(3):
        made.change()
        made.document()
    made.tag("last")
    return made, culprit
