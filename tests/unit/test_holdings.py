"""Where the kernels of a night lie, and which host can send them."""

from __future__ import annotations

import pytest

from harness.group.holdings import Holdings

HELD: dict[str, object] = {"kernel": {"files": []}}
BUILT = {"held": HELD, "keys": ["key", "replica"]}


def built(host: str = "a") -> Holdings:
    found = Holdings()
    assert found.built("k", BUILT, host)
    return found


def test_a_kernel_lies_where_it_was_built_sent_or_is_announced() -> None:
    holdings = built()
    holdings.arrived("k", "b")
    announced = {"a": (), "b": (), "c": ("other", "replica"), "d": ("other",)}
    found = {host: holdings.at(host, keys) for host, keys in announced.items()}
    assert found == {"a": {"k"}, "b": {"k"}, "c": {"k"}, "d": frozenset()}


def test_only_hosts_with_the_very_files_send_a_kernel() -> None:
    holdings = built()
    assert holdings.holder("k", ["b", "c"]) == ""
    assert holdings.holder("k", ["a", "b"]) == "a"
    assert holdings.holder("unknown", ["a"]) == ""


def test_a_host_that_lacks_a_kernel_does_not_have_it_whatever_it_announces() -> None:
    holdings = built()
    holdings.sent("k", "a")
    holdings.lost("k", "a")
    assert holdings.at("a", ["key"]) == frozenset()
    assert (holdings.sender("k"), holdings.holder("k", ["a"])) == ("", "")
    holdings.arrived("k", "a")
    assert holdings.at("a", []) == {"k"}


@pytest.mark.parametrize(("wrong", "holder"), [(False, "a"), (True, "b")])
def test_what_was_sent_wrong_is_fetched_from_another_host(wrong: bool, holder: str) -> None:
    holdings = built()
    holdings.arrived("k", "b")
    holdings.sent("k", "a")
    holdings.not_arrived("k", "c", wrong=wrong)
    assert holdings.sender("k") == ""
    assert holdings.holder("k", ["a", "b"]) == holder


def test_a_host_that_cannot_fetch_a_kernel_gets_no_cell_with_it() -> None:
    holdings = built()
    for _ in range(3):
        assert holdings.barred("k") == frozenset()
        holdings.not_arrived("k", "c", wrong=False)
    assert holdings.barred("k") == {"c"}


def test_a_host_that_builds_another_kernel_of_the_same_sources_is_barred() -> None:
    holdings = built()
    assert holdings.built("k", BUILT, "b")
    assert not holdings.built("k", {**BUILT, "held": {"kernel": {}}}, "c")
    assert holdings.barred("k") == {"c"}
    assert holdings.held("k") == HELD


@pytest.mark.parametrize("answer", [{}, {"held": "x"}, {"held": HELD, "keys": 7}])
def test_an_answer_without_a_kernel_or_keys_is_borne(answer: dict[str, object]) -> None:
    holdings = Holdings()
    assert holdings.built("k", answer, "a")
    assert holdings.at("b", ["key"]) == frozenset()
