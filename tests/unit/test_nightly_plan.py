"""A plan's file, its cells, and its known issues."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import jsonschema
import pytest

from harness.errors import UsageError
from harness.host.jsontoml import parse_toml
from harness.nightly.cells import branches_of, cells_of
from harness.nightly.issues import issue_of, read_issues, unseen
from harness.nightly.plan import seconds_of
from harness.nightly.planfile import FIRST_PLAN, plan_schema, read_plan
from harness.nightly.result import Slot

TREES = """
name = "made"
[[tree]]
name = "one"
source = "/one"
branches = ["main", "stable"]
[[tree]]
name = "two"
source = "/two"
"""
TOLD = TREES + '[[boot]]\nnuma = "1"\n[tell]\n'
MAIL = TOLD + 'mail = ["a@b"]\nsender = "c@d"\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "nightly.toml"
    path.write_text(text)
    return path


def test_first_plan_is_one(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, FIRST_PLAN))
    kinds = {cell.kind for cell in cells_of(plan)}
    assert kinds == {"boot", "check", "control"}
    jsonschema.validate(parse_toml(FIRST_PLAN), plan_schema())
    json.dumps(plan_schema())


@pytest.mark.parametrize(
    ("text", "words", "remedy"),
    [
        ('nmae = "x"', "there is no key nmae", "did you mean name?"),
        (TREES + "[[boot]]\nsanitzers = []", "boot[0].sanitzers", "did you mean sanitizers?"),
        (TREES + '[[control]]\nmutnat = "x"', "control[0].mutnat", "did you mean mutant?"),
        (TREES + '[[boot]]\nnuma = "1"\ntrees = ["tow"]', "there is no tree 'tow'", ""),
        (TREES + "[[boot]]\n", "neither numa nor vms", ""),
        (TREES + '[[boot]]\nnuma = "1"\ntimeout = "5"', "'5' has another form", "s, m, h or d"),
        (TREES + '[[boot]]\nnuma = "1"\nrepeat = 0', "boot[0].repeat", ""),
        (TREES, "the plan has no cells", ""),
        (TREES + '[[command]]\nnuma = "1"', "command[0].command is missing", "add the key"),
        (TREES + '[[command]]\nnuma = "1"\ncommand = ""', "command[0].command", ""),
        (
            TREES + '[[command]]\nnuma = "1"\ncommand = "true"\ndeadline = "9"',
            "'9' has another form",
            "s, m, h or d",
        ),
        (TOLD, "tell: it names nobody", ""),
        (TOLD + 'mail = ["me"]', "tell.mail[0]", "an address without a name"),
        (TOLD + 'mail = ["a@b\\r\\nBcc: c@d"]', "tell.mail[0]", "an address without a name"),
        (TOLD + 'mail = ["a@b"]', "tell.sender", ""),
        (TOLD + 'mial = ["a@b"]', "no key tell.mial", "did you mean mail?"),
        (MAIL + '[tell.smtp]\npasswrd_file = "x"', "tell.smtp.passwrd_file", "password_file?"),
        (MAIL + '[tell.smtp]\nuser = "me"', "password_file or password_env", ""),
        (MAIL + '[tell.smtp]\npassword_env = "X"', "the name to log in with", ""),
        (
            MAIL + '[tell.smtp]\nhost = "mx.b"\nuser = "me"\npassword_env = "X"',
            "sent only encrypted",
            "",
        ),
        (MAIL + '[[tell.chat]]\nname = "x"', "url_file or url_env", ""),
        (MAIL + '[[tell.chat]]\nnmae = "x"', "no key tell.chat[0].nmae", "did you mean name?"),
        (TOLD + 'mail = ["a@b"]\nsender = "c@d"\npage = "javascript:x"', "tell.page", ""),
        ('name = "x"', "tree is missing", "add the key tree"),
        ('every = "0h"\n' + TREES, "'0h' has another form", "above 0"),
        ('every = "9999999d"\n' + TREES, "every: 9999999d is longer than ten years", ""),
        (TREES.replace('"main"', '"--help"'), "'--help' has another form", "name of a branch"),
        (TREES.replace('"main"', '"a\\u0000b"'), "branches[0]", "name of a branch"),
        (TREES.replace('"main"', '""'), "branches[0]", "name of a branch"),
        ("name = ", "is not TOML", ""),
    ],
)
def test_wrong_plan_is_refused_with_the_key(
    tmp_path: Path, text: str, words: str, remedy: str
) -> None:
    with pytest.raises(UsageError) as refused:
        read_plan(written(tmp_path, text))
    assert words in refused.value.message
    assert remedy in refused.value.remedy


def test_a_command_has_a_kernel_and_a_world_of_its_own(tmp_path: Path) -> None:
    text = TREES + '[[boot]]\nnuma = "1"\n[[command]]\nnuma = "1"\ncommand = "true"\n'
    plan = read_plan(written(tmp_path, text + 'world = "tests"\ndeadline = "2m"\n'))
    boot, command = (next(each for each in cells_of(plan) if each.kind == kind)
                     for kind in ("boot", "command"))  # fmt: skip
    assert boot.configuration != command.configuration
    assert (command.command, command.world, command.deadline) == ("true", "tests", 120.0)
    assert (boot.at_tips_only, command.at_tips_only) == (False, True)
    assert command.slot.cell == "command-none-numa1"


def test_cells_are_the_product_of_branches_configurations_and_guests(tmp_path: Path) -> None:
    text = TREES + '[[boot]]\ntrees = ["one"]\nsanitizers = ["none", "kasan"]\nnuma = "1,4"\n'
    plan = read_plan(written(tmp_path, text))
    assert [branch.name for branch in branches_of(plan)] == ["one:main", "one:stable", "two:HEAD"]
    slots = [cell.slot for cell in cells_of(plan)]
    assert len(slots) == 8
    assert Slot("one:stable", "boot-kasan-numa4") in slots


def test_two_cells_of_one_name_are_refused(tmp_path: Path) -> None:
    cells = '[[boot]]\nnuma = "2"\noptions = ["DDB=n"]\n[[boot]]\nnuma = "2"\n'
    with pytest.raises(UsageError, match="boot-none-numa2") as refused:
        cells_of(read_plan(written(tmp_path, TREES + cells)))
    assert "name" in refused.value.remedy


def test_duration_needs_a_unit() -> None:
    assert seconds_of("1.5h") == 5400
    with pytest.raises(ValueError, match="unit"):
        seconds_of("90")


ISSUE = """
[[issue]]
name = "hang"
title = "silent in .*"
cells = ["boot-*"]
owner = "me"
reason = "it is known"
added = 2026-01-01
expires = 2026-06-01
"""


def test_known_issue_matches_its_cells_until_it_expires(tmp_path: Path) -> None:
    path = tmp_path / "issues.toml"
    path.write_text(ISSUE)
    issues = read_issues(path)
    boot, check = Slot("t:main", "boot-none-numa2"), Slot("t:main", "check-uma-none-numa2")
    title, day = "silent in the kernel stage", date(2026, 3, 1)
    assert issue_of(title, [boot], issues, day) == "hang"
    assert issue_of(title, [boot, check], issues, day) == ""
    assert issue_of("panic", [boot], issues, day) == ""
    assert issue_of(title, [boot], issues, date(2026, 6, 1)) == ""
    assert unseen(issues, {}, day) == []
    assert unseen(issues, {}, date(2026, 5, 1)) == list(issues)
    assert unseen(issues, {"hang": date(2026, 4, 1)}, date(2026, 5, 1)) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ISSUE + ISSUE, "two issues are named 'hang'"),
        (ISSUE.replace("silent in .*", "("), "not a regular expression"),
        (ISSUE.replace("owner", "owmer"), "owmer"),
        (ISSUE.replace("2026-06-01", '"soon"'), "expires"),
    ],
)
def test_wrong_issue_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "issues.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        read_issues(path)
    assert words in refused.value.message


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    assert read_issues(tmp_path / "issues.toml") == ()
