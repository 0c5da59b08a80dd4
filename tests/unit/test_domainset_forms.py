"""Which form of ``vm_domainset.c`` a text has."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.subsystems.domainset.codeforms import (
    facts_of,
    find_form,
    form_of,
    likely_form,
    read_form,
)
from harness.subsystems.domainset.model.form import Form

#: A function as 13.x and main have it, and nothing else of theirs.
ROUND_ROBIN = b"""
static void
vm_domainset_iter_rr(struct vm_domainset_iter *di, int *domain)
{

	*domain = di->di_domain->ds_order[++(*di->di_iter) % di->di_domain->ds_cnt];
}
"""


@pytest.mark.parametrize("form", list(Form))
def test_facts_name_one_form(form: Form) -> None:
    assert form_of(facts_of(form)) is form
    assert find_form(form.value) is form


def test_a_text_of_which_most_is_missing_has_no_form_and_tells_what_is_missing() -> None:
    reading = read_form(ROUND_ROBIN)
    assert reading.values is None
    assert "vm_domainset_iter_rr" not in reading.unknown
    assert "vm_domainset_iter_policy" in reading.unknown


def test_the_likely_form_is_the_one_that_it_resembles_and_else_that_of_the_version() -> None:
    assert form_of(likely_form(ROUND_ROBIN, 1501000)[0]) is Form.COUNTED
    assert form_of(likely_form(b"", 1501000)[0]) is Form.PHASED
    assert form_of(likely_form(b"", 1302000)[0]) is Form.COUNTED


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"no form '14\.9'"):
        find_form("14.9")
