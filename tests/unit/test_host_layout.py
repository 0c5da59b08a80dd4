"""Machines of host programs: where code is checked beside the guest's domains."""

from __future__ import annotations

from harness.onhost.layout import HostLayout, others


def test_code_is_checked_with_one_domain_three_and_an_empty_one_besides() -> None:
    found = others(HostLayout(2, (0, 1)))
    assert {layout.domains for layout in found} == {1, 3, 4}
    assert any(layout.empty for layout in found)


def test_each_cpu_has_a_domain_and_some_domain_has_memory() -> None:
    for layout in others(HostLayout(2, (0, 1))):
        assert set(layout.cpus) == set(range(layout.domains))
        assert layout.empty != (1 << layout.domains) - 1


def test_a_machine_like_the_guest_s_is_no_other_one() -> None:
    assert all(layout.domains != 3 for layout in others(HostLayout(3, (0, 1, 2))))
