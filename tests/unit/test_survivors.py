"""Generated mutants that survive: each with the reason why, as far as it is known."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from harness.mutation.generated import (
    change_of,
    function_digest,
    generated_mutant,
    generated_mutants,
)
from harness.mutation.judgement import Judgement, MutantOutcome, Survival
from harness.mutation.reasons import (
    ReasonKind,
    SurvivalReason,
    SurvivalReasons,
    read_reasons,
)
from harness.results.record import Run, to_document
from harness.results.text import print_document
from harness.subsystems.table import SUBSYSTEMS

TEXT = b"""\
static int
take(shelf_t shelf)
{
	if (shelf->left == 0)
		return (0);
	shelf->left--;
	return (1);
}
"""
REWRITTEN = TEXT.replace(b"\t", b"    ").replace(b"shelf->left--;", b"/* One. */ shelf->left--;")
CHANGED = TEXT.replace(b"shelf->left--;", b"shelf->left -= 1;")


def reason_for(ordinal: int, text: bytes) -> SurvivalReason:
    mutant = generated_mutant("a.c", "take", ordinal, {})
    change = change_of(mutant, text)
    assert change is not None
    return SurvivalReason(
        mutant.name, change.function, change.change, ReasonKind.UNREACHABLE, "nobody takes"
    )


def reasons_of(text: bytes, reasons: SurvivalReasons) -> dict[str, str]:
    found = generated_mutants("a.c", text, "take", {}, reasons)
    return {each.name: each.equivalent for each in found if each.equivalent}


def test_the_place_of_a_change_is_its_first_byte() -> None:
    for each in generated_mutants("a.c", TEXT, "take", {}):
        change = change_of(each, TEXT)
        assert change is not None
        lines = TEXT.decode().splitlines()
        before = each.description.rpartition(" in the place of ")[2].removeprefix(
            "without the statement "
        )
        assert lines[change.line - 1][change.column - 1 :].startswith(before)


def test_a_reason_holds_for_the_same_tokens_only() -> None:
    reasons = SurvivalReasons([reason_for(2, TEXT)])
    held = {"take#2": "unreachable: nobody takes"}
    assert reasons_of(TEXT, reasons) == held
    assert reasons_of(REWRITTEN, reasons) == held
    assert reasons_of(CHANGED, reasons) == {}


def test_a_reason_holds_for_one_change_only() -> None:
    other = dataclasses.replace(reason_for(2, TEXT), mutant="take#3")
    assert reasons_of(TEXT, SurvivalReasons([other])) == {}
    with pytest.raises(ValueError, match="two reasons"):
        SurvivalReasons([reason_for(2, TEXT), reason_for(2, TEXT)])


def test_a_reason_that_depends_on_a_caller_holds_for_that_caller_only() -> None:
    caller = b"\nint\nserve(shelf_t shelf)\n{\n\treturn (shelf->left > 0 && take(shelf));\n}\n"
    given = {"serve": function_digest(TEXT + caller, "serve")}
    reasons = SurvivalReasons([dataclasses.replace(reason_for(2, TEXT), given=given)])
    assert reasons_of(TEXT + caller, reasons) == {"take#2": "unreachable: nobody takes"}
    assert reasons_of(TEXT + caller.replace(b"> 0", b">= 0"), reasons) == {}
    assert reasons_of(TEXT, reasons) == {}


def test_reasons_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "reasons.json"
    reason = reason_for(4, TEXT)
    path.write_text(json.dumps({"reasons": [dataclasses.asdict(reason)]}))
    assert read_reasons(path).all == (reason,)
    path.write_text(json.dumps({"reasons": [{**dataclasses.asdict(reason), "kind": "unlikely"}]}))
    with pytest.raises(ValueError, match="unlikely"):
        read_reasons(path)


def test_every_recorded_reason_is_of_a_followed_function_and_is_an_argument() -> None:
    parts = [part for each in SUBSYSTEMS if (part := each.on_host) is not None]
    for part in parts:
        for reason in read_reasons(part.reasons).all:
            function, _, ordinal = reason.mutant.partition("#")
            assert ordinal.isdecimal()
            assert any(part.has_function(path, function) for path in part.functions)
            assert len(reason.function) == len(reason.change) == 16
            assert len(reason.why.split()) >= 5


@pytest.mark.parametrize(
    ("fate", "equivalent", "code"),
    [
        (MutantOutcome.SURVIVED, "", 0),
        (MutantOutcome.SURVIVED, "unreachable: nobody takes", 0),
        (MutantOutcome.CAUGHT, "", 0),
        (MutantOutcome.CAUGHT, "unreachable: nobody takes", 1),
    ],
)
def test_a_reason_of_a_mutant_that_is_killed_is_wrong(
    fate: MutantOutcome, equivalent: str, code: int
) -> None:
    found = Judgement("take#1", fate, equivalent=equivalent)
    assert Run("r", (), "", "", (), judgements=(found,)).exit_code == code


def test_a_report_counts_survivors_by_reason_and_scores_the_others() -> None:
    def survived(number: int, survival: Survival, equivalent: str = "") -> Judgement:
        return Judgement(f"take#{number}", MutantOutcome.SURVIVED, why="without the statement x;",
                         equivalent=equivalent, survival=survival)  # fmt: skip

    found = [
        Judgement("take#1", MutantOutcome.CAUGHT, "model", why="w"),
        Judgement("take#2", MutantOutcome.CAUGHT, "model", why="w"),
        Judgement("take#3", MutantOutcome.CAUGHT, "invariant", why="w"),
        survived(4, Survival.SAME_CODE, "it compiles to the same object code"),
        survived(5, Survival.BY_ARGUMENT, "unreachable: nobody takes"),
        survived(6, Survival.NOT_REACHED),
    ]
    console = Console(file=io.StringIO(), width=200)
    print_document(to_document(Run("r", (), "", "", (), judgements=tuple(found))), console)
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert "1 same object code, 1 by argument, 1 not reached; score 75.0 % of 4" in said
    assert "not reached: without the statement x;" in said
    assert "by argument: unreachable: nobody takes" in said
