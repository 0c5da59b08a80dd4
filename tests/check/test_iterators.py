"""Checks of guests whose iterators do what the model says, or something else."""

from __future__ import annotations

import pytest
from iterator_guest import IteratorGuest
from model_guest import report
from wrong_iterators import RestartsWithTheShort, VisitsTwice

from harness.boot.worldguest import Login
from harness.check.checker import Checker, CheckPlan
from harness.check.result import CheckResult, Conclusion
from harness.errors import UsageError
from harness.guest.contact import Contact
from harness.host.clock import HostClock
from harness.host.progress import Recorded
from harness.subsystems.domainset.check.trace import Trace, parse_trace
from harness.subsystems.domainset.codeforms import facts_of
from harness.subsystems.domainset.model.form import Form
from harness.subsystems.domainset.model.iteratorforms import ITERATORS
from harness.subsystems.domainset.model.player import Layout
from harness.subsystems.domainset.model.sets import domains_of
from harness.subsystems.domainset.subsystem import ITERATORS_OF_DOMAINS

FORMS = pytest.mark.parametrize("form", list(Form))


def guest_of(form: Form, domains: int = 2, empty: int = 0) -> IteratorGuest:
    layout = Layout(domains, empty, 0xFFFFF80001234500, 264, 9, 0)
    return IteratorGuest(form, ITERATORS[form], layout)


def checked(
    guest: IteratorGuest, form: Form, operations: int = 600, replay: Trace | None = None
) -> CheckResult:
    plan = CheckPlan(
        ITERATORS_OF_DOMAINS.held_to(facts_of(form)), operations, 1, replay, slowness=0.02
    )
    checker = Checker(plan, HostClock())
    layout = guest.layout
    checker.work(
        Contact(guest, Login(None)),
        report(layout.domains, domains_of(layout.empty)),
        Recorded(),
        HostClock(),
    )
    return checker.result


@FORMS
@pytest.mark.parametrize(("domains", "empty"), [(1, 0), (2, 0), (4, 0), (3, 0b010)])
def test_a_guest_that_does_what_the_model_says_agrees(form: Form, domains: int, empty: int) -> None:
    result = checked(guest_of(form, domains, empty), form)
    assert result.conclusion is Conclusion.AGREED, result
    assert result.operations >= 600


@FORMS
def test_a_check_tells_that_every_branch_was_taken(form: Form) -> None:
    result = checked(guest_of(form), form, operations=6000)
    total = len(ITERATORS[form].BRANCHES)
    assert result.notes == (f"{total} of {total} branches of the iterators' code taken",)


@pytest.mark.parametrize("wrong", [RestartsWithTheShort, VisitsTwice])
def test_wrong_code_is_found_and_its_trace_shrunk_to_what_shows_it(
    wrong: type[RestartsWithTheShort],
) -> None:
    guest = guest_of(Form.PHASED)
    guest.code = wrong
    found = checked(guest, Form.PHASED).difference
    assert found is not None
    assert found.length <= 8
    again = guest_of(Form.PHASED)
    again.code = wrong
    replayed = checked(again, Form.PHASED, replay=parse_trace(found.trace)).difference
    assert replayed is not None
    assert replayed.lines == found.lines
    assert checked(guest_of(Form.PHASED), Form.PHASED, replay=parse_trace(found.trace)).agreed


def test_a_guest_of_the_other_form_with_masks_is_named_as_that() -> None:
    result = checked(guest_of(Form.RESTART), Form.PHASED)
    assert result.conclusion is Conclusion.DIFFERS
    assert result.alike == "the masked-with-restart form"


def test_what_a_dying_guest_was_asked_last_is_kept_as_a_trace() -> None:
    guest = guest_of(Form.COUNTED)
    guest.dies_after = 40
    result = checked(guest, Form.COUNTED)
    assert result.conclusion is Conclusion.GONE
    assert len(parse_trace(result.trace)) > 1


def test_a_trace_of_more_domains_than_the_guest_has_is_refused() -> None:
    trace = Trace(Form.PHASED, Layout(4), ())
    with pytest.raises(UsageError, match="the guest has 2 domains"):
        checked(guest_of(Form.PHASED), Form.PHASED, replay=trace)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "does not begin with iterators"),
        ("iterators form=no domains=2 empty=none", "does not begin with iterators"),
        ("iterators form=phased domains=2 empty=none\nstep cpu=0 wake=none", "invalid call"),
        ("iterators form=phased domains=9 empty=none", "does not begin with iterators"),
        ("# a comment\niterators form=phased domains=2 empty=x", "no list of domains"),
    ],
)
def test_a_text_that_is_no_trace_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_trace(text)
