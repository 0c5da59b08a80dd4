"""Reads ``nightly.toml``; the JSON schema of its keys, and a first plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from harness.errors import UsageError, did_you_mean
from harness.host.jsontoml import parse_toml
from harness.host.tables import Complaint, Table, read_table
from harness.nightly.plan import (
    CELL_KINDS,
    BootCells,
    CheckCells,
    CommandCells,
    ControlCells,
    GuestPlan,
    NightlyPlan,
    TreePlan,
    seconds_of,
)
from harness.nightly.tellplan import ChatPlan, SmtpPlan, TellPlan, check_tell

PLAN: Final = "nightly.toml"
"""The file's usual name."""
_TABLES: Final[dict[str, type[Table]]] = {
    "tree": TreePlan,
    "boot": BootCells,
    "check": CheckCells,
    "command": CommandCells,
    "control": ControlCells,
    "tell": TellPlan,
    "tell.smtp": SmtpPlan,
    "tell.chat": ChatPlan,
}

#: Seconds between nights at most.
_LONGEST: Final = 10 * 365 * 86400.0

FIRST_PLAN: Final = """\
# A plan of nightly runs; "harness nightly plan" shows what it comes to.
# Keys: harness nightly schema
name = "first"
every = "24h"
budget = "6h"

# Boots of each cell at the tips of branches, as the budget allows. One boot shows what fails in
# 60 % of boots with a chance of 60 %, one of four with 97 %.
# tip_boots = 4

# Where the pages of the nights go; begin with pages/index.html.
pages = "pages"

# A FreeBSD tree, a git URL, or "embedded", the built-in guest.
# A tree has branches:
#   branches = ["main", "stable/14"]
[[tree]]
name = "built-in"
source = "embedded"

# Cells that boot: each of these sanitizers on each of these numbers of nodes.
[[boot]]
sanitizers = ["none", "kasan"]
numa = "1,2"

# Cells that compare the kernel's allocator with its model, step by step.
[[check]]
subsystem = "uma"
numa = "2"

# Cells that run a command in guests of FreeBSD trees, with userland, at the tips of branches:
# [[command]]
# command = "kyua test -k /usr/tests/sys/vm/Kyuafile"
# world = "tests"
# numa = "2"

# A mutant that must fail in this way: it shows that the harness finds failures.
[[control]]
mutant = "drop-commit"
numa = "2"
sanitizers = ["kasan"]
title = "kernel resources exhausted"

# Who gets the news, by mail and in chats: "harness nightly tell --dry-run" prints it.
# [tell]
# mail = ["me@example.org"]
# sender = "harness@example.org"
"""


def read_plan(path: Path) -> NightlyPlan:
    """Return the plan in a file.

    Raises:
        UsageError: the file cannot be read, has an unknown key or a wrong value, or names a tree
            that it does not have.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise UsageError(
            f"there is no plan {path}",
            remedy="name another, or write a first one: harness nightly init",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read {path}: {cause}", remedy="correct the file") from error
    try:
        plan = read_table(parse_toml(text), NightlyPlan)
        _check(plan)
    except Complaint as complaint:
        raise _refused(path, complaint) from complaint
    except ValueError as error:
        raise UsageError(f"{path} is not TOML: {error}", remedy="correct the line") from error
    return plan


def plan_schema() -> dict[str, Any]:
    """Return the JSON schema of the plan, for editors."""
    schema = msgspec.json.schema(NightlyPlan)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _check(plan: NightlyPlan) -> None:
    """Check what one key says of another.

    Raises:
        Complaint: a key is wrong.
    """
    if seconds_of(plan.every) > _LONGEST:
        raise Complaint("every", f"{plan.every} is longer than ten years")
    names = [tree.name for tree in plan.tree]
    for number, tree in enumerate(plan.tree):
        if names.index(tree.name) != number:
            raise Complaint(f"tree[{number}].name", f"two trees are named {tree.name!r}")
        if not tree.branches:
            raise Complaint(f"tree[{number}].branches", "it names no branch")
    for kind in CELL_KINDS:
        for number, cells in enumerate(getattr(plan, kind)):
            _check_cells(f"{kind}[{number}]", cells, names)
    if plan.tell is not None:
        check_tell(plan.tell)
    if not (plan.boot or plan.check or plan.command):
        raise Complaint("boot", "the plan has no cells: add [[boot]], [[check]] or [[command]]")


def _check_cells(key: str, cells: GuestPlan, trees: Sequence[str]) -> None:
    for name in cells.trees:
        if name not in trees:
            hint = did_you_mean(name, trees) or f"the trees are {', '.join(trees)}"
            raise Complaint(f"{key}.trees", f"there is no tree {name!r}: {hint.strip()}")
    if not cells.sanitizers:
        raise Complaint(f"{key}.sanitizers", 'it names none; write "none" for no sanitizer')
    if cells.numa is None and not cells.vms:
        raise Complaint(f"{key}.numa", "neither numa nor vms names a guest")


def _refused(path: Path, complaint: Complaint) -> UsageError:
    if complaint.unknown:
        table, _, name = complaint.key.rpartition(".")
        kind = _TABLES.get(table.partition("[")[0], NightlyPlan)
        known = kind.__struct_fields__
        hint = did_you_mean(name, known).rstrip() or f"known keys: {', '.join(known)}"
        return UsageError(f"{path}: there is no key {complaint.key}", remedy=hint)
    if complaint.missing:
        name = complaint.key.rpartition(".")[2]
        return UsageError(f"{path}: {complaint.key} is missing", remedy=f"add the key {name}")
    if "regex" in complaint.what:
        what = f"{complaint.value!r} has another form"
        return UsageError(f"{path}: {complaint.key}: {what}", remedy=_form(complaint.key))
    return UsageError(f"{path}: {complaint.key}: {complaint.what}", remedy="correct the value")


def _form(key: str) -> str:
    """Return the form that a key's value must have."""
    field = key.rpartition(".")[2].partition("[")[0]
    if field in ("every", "budget", "timeout", "deadline"):
        return "write a number above 0 with s, m, h or d"
    if field == "branches":
        return "write the name of a branch"
    if field in ("mail", "sender"):
        return "write an address without a name: me@example.org"
    return "use letters, digits and ._+-"
