"""Operations on iterators as text."""

from __future__ import annotations

import random

import pytest

from harness.errors import UsageError
from harness.subsystems.domainset.check.generate import random_operations
from harness.subsystems.domainset.model.form import Form
from harness.subsystems.domainset.model.operations import operation_text, parse_operation
from harness.subsystems.domainset.model.player import Layout, is_taken


@pytest.mark.parametrize("form", list(Form))
def test_random_operations_are_taken_and_read_back_from_their_text(form: Form) -> None:
    layout = Layout(4, empty=8)
    operations = random_operations(random.Random(3), form, layout, 400)
    assert is_taken(form, layout, operations)
    assert tuple(parse_operation(operation_text(each)) for each in operations) == operations


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "no operation ''"),
        ("stop", "no operation 'stop'"),
        ("step cpu=0", "lacks a value"),
        ("step cpu=8 wake=none", "no number below 8"),
        ("step cpu=0 wake=0,x", "no list of domains"),
        ("step cpu=0 wake=64", "no list of domains"),
        ("ignore domain=-1", "no number below 8"),
        (
            "start call=no policy=round-robin domains=0 iter=0 wait=nowait cpu=0",
            "is not a valid Call",
        ),
        (
            "start call=page policy=round-robin domains=0 iter=4294967296 wait=nowait cpu=0",
            "no number below 4294967296",
        ),
        ("start call=page policy=prefer domains=0 iter=0 wait=nowait cpu=0", "prefer"),
    ],
)
def test_a_line_that_is_no_operation_is_refused(line: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_operation(line)
