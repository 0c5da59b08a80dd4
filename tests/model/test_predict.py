"""Which boots come through. What real kernels did stands first: the model must agree."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from harness.guest.topology import Node, Topology
from harness.kernel.artifact import KernelIdentity
from harness.outcome import Outcome
from harness.sanitizers import KASAN, Sanitizers
from harness.source.codefacts import Facts
from harness.subsystems.uma.codeforms import NAME
from harness.subsystems.uma.expectation import expected_of
from harness.subsystems.uma.model.variants import VARIANTS, Variant, find_variant
from harness.subsystems.uma.prediction import predict_boot


def panics(variant: Variant, *memory: bool) -> bool:
    return predict_boot(variant, memory, reserve_at_boot=True).panics


@pytest.mark.parametrize(
    ("name", "domains", "panicked"),
    [
        ("13-before", 1, False),
        ("13-before", 2, True),
        ("13-before", 4, True),
        ("13-after", 2, False),
        ("13-after", 4, False),
        ("15-before", 2, False),
        ("15-before", 3, False),
        ("15-before", 4, False),
        ("15-after", 4, False),
    ],
)
def test_prediction_is_what_real_kernels_did(name: str, domains: int, panicked: bool) -> None:
    assert panics(VARIANTS[name], *[True] * domains) == panicked


@pytest.mark.parametrize(
    ("name", "slabs"),
    [
        ("13-after", (1,)),
        ("13-after", (1, 1)),
        ("13-after", (0, 1, 4)),
        ("13-after", (0, 1, 5, 0)),
        ("13-after", (0, 1, 5, 0, 0, 0, 0, 0)),
    ],
)
def test_a_boot_may_end_with_the_slabs_that_real_kernels_had(
    name: str, slabs: tuple[int, ...]
) -> None:
    found = predict_boot(VARIANTS[name], [True] * len(slabs), reserve_at_boot=True)
    assert slabs in found.later
    assert found.slabs in found.later


def test_what_slabs_a_boot_may_end_with_is_not_left_to_chance() -> None:
    found = predict_boot(VARIANTS["13-after"], [True] * 4, reserve_at_boot=True)
    assert found.slabs == (0, 1, 1, 0)
    assert found.later == {(0, 1, more, 0) for more in range(1, 10)}


def test_15_without_the_commit_may_die_or_spin_late_on_a_cpu_of_another_domain() -> None:
    found = predict_boot(VARIANTS["15-before"], (True, True, True), reserve_at_boot=True)
    assert found.late == (1, 2)
    assert found.in_words == "booted or panic or hang"
    kernel = identity("15-before")
    assert expected_of(kernel, Topology.even(2)).outcomes == (
        Outcome.BOOTED,
        Outcome.PANIC,
        Outcome.HANG,
    )


def test_a_guest_of_one_thread_does_not_die_late() -> None:
    found = predict_boot(VARIANTS["15-before"], (True, True), reserve_at_boot=True, threads=False)
    assert found.in_words == "booted"


@pytest.mark.parametrize("name", ["13-after", "15-after"])
def test_with_the_commit_no_cpu_is_out_of_reach(name: str) -> None:
    assert predict_boot(VARIANTS[name], (True,) * 4, reserve_at_boot=True).late == ()


def test_with_the_direct_map_every_kernel_boots() -> None:
    found = predict_boot(VARIANTS["13-before"], (True,) * 4, reserve_at_boot=False)
    assert not found.panics


def test_the_order_of_reading_and_advancing_decides_without_the_commit() -> None:
    reads_first = Variant(False, False, False, False)
    advances_first = Variant(True, True, False, False)
    assert not panics(reads_first, True, True)
    assert panics(advances_first, True, True)
    assert (reads_first.proof, advances_first.proof) == ("13.2", "15.1")


def test_a_form_that_was_never_booted_is_unproven() -> None:
    assert Variant(True, False, False, True).proof == "13.2"
    assert Variant(False, False, False, True).proof == "unproven"


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
def test_an_empty_first_domain_saves_the_boot(variant: Variant) -> None:
    assert not panics(variant, False, True, True)


def test_an_empty_second_domain_leaves_the_reserve_in_the_first_of_two() -> None:
    assert not panics(VARIANTS["13-before"], True, False)


def test_an_empty_second_domain_of_three_puts_the_reserve_into_the_third() -> None:
    assert panics(VARIANTS["13-before"], True, False, True)


def test_the_allocation_that_fails_is_named() -> None:
    found = predict_boot(VARIANTS["13-before"], (True, True), reserve_at_boot=True)
    assert "kernel's image" in found.allocation
    assert "domain 1" in found.why


def identity(form: str | None) -> KernelIdentity:
    facts = {NAME: Facts(asdict(VARIANTS[form]))} if form else {}
    return KernelIdentity(
        key="k", source="tree", label="", commit=None, tree="", dirty=False, patch=None,
        mutant=None, release="13.2-RELEASE", kernconf="", compiler="",
        sanitizer=Sanitizers({KASAN}), facts=facts,
    )  # fmt: skip


def test_a_boot_is_expected_to_end_as_predicted() -> None:
    kernel = identity("13-before")
    assert expected_of(kernel, Topology.even(2)).outcomes == (Outcome.PANIC,)
    assert expected_of(kernel, Topology.even(1)).outcomes == (Outcome.BOOTED,)


def test_nodes_without_cpus_make_one_domain_of_all() -> None:
    topology = Topology.of([Node(2, 1024), Node(0, 1024)])
    kernel = identity("13-before")
    assert expected_of(kernel, topology).outcomes == (Outcome.BOOTED,)


def test_a_node_without_memory_is_an_empty_domain() -> None:
    topology = Topology.of([Node(1, 1024), Node(1, 0)])
    kernel = identity("13-before")
    assert expected_of(kernel, topology).outcomes == (Outcome.BOOTED,)


def test_what_could_not_be_read_is_expected_of_nobody_where_it_matters() -> None:
    unread = identity(None)
    assert expected_of(unread, Topology.even(2)).outcomes == ()
    assert expected_of(unread, Topology.even(1)).outcomes == (Outcome.BOOTED,)


def test_a_variant_is_found_by_its_release() -> None:
    assert find_variant("13.2") == VARIANTS["13-after"]
    assert find_variant("15.1") == VARIANTS["15-after"]


def test_a_variant_is_found_by_its_name() -> None:
    assert find_variant("15-after").proof == "15.1"
