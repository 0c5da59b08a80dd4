"""The guests that a test's markers and the options name."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import UsageError
from harness.plugin.variants import GuestVariant, variants_of

Markers = list[dict[str, Any]]


def variants(*markers: dict[str, Any], **options: Any) -> list[GuestVariant]:
    return variants_of([((), marker) for marker in markers], options)


def ids(*markers: dict[str, Any], **options: Any) -> list[str]:
    return [variant.id for variant in variants(*markers, **options)]


@pytest.mark.parametrize(
    ("markers", "options", "expected"),
    [
        ([], {}, ["none-numa1"]),
        ([{"numa": 4}], {}, ["none-numa4"]),
        ([{"numa": [1, 2, 2]}], {}, ["none-numa1", "none-numa2"]),
        ([{"numa": "1,4-5"}], {}, ["none-numa1", "none-numa4", "none-numa5"]),
        ([{}], {"numa": "2", "kasan": True}, ["kasan-numa2"]),
        ([{"numa": 1}], {"numa": "2"}, ["none-numa1"]),
        ([{"sanitizer": "KASAN,kubsan"}], {}, ["kasan+kubsan-numa1"]),
        ([{"sanitizer": ["none", "kasan"]}], {}, ["none-numa1", "kasan-numa1"]),
        ([{"sanitizer": None}], {"kasan": True}, ["none-numa1"]),
        ([{}], {"sanitizer": "kubsan", "kasan": True}, ["kasan+kubsan-numa1"]),
        ([{"before_after": True}], {}, ["before-none-numa1", "after-none-numa1"]),
        ([{"vm": "numa2-kasan"}], {"numa": "4"}, ["numa2-kasan"]),
        ([{}], {"vm": "numa2-kasan"}, ["numa2-kasan"]),
        ([{"vm": ["a", "b"], "sanitizer": "kasan"}], {}, ["kasan-a", "kasan-b"]),
        ([{"numa": 2}, {"numa": 4, "sanitizer": "kasan"}], {}, ["kasan-numa2"]),
    ],
)  # fmt: skip
def test_each_combination_is_a_guest(
    markers: Markers, options: dict[str, Any], expected: list[str]
) -> None:
    assert ids(*markers, **options) == expected


def test_guests_of_the_same_kernel_are_beside_each_other() -> None:
    marker = {"numa": [1, 2], "before_after": True, "sanitizer": ["none", "kasan"]}
    kernels = [one.rpartition("-")[0] for one in ids(marker)]
    assert len(kernels) == 8
    assert kernels == sorted(kernels, key=kernels.index)


def test_what_a_marker_does_not_give_the_options_do() -> None:
    (variant,) = variants({"mutant": "m"}, source="embedded", mutant="n", cpus="3", backend="qemu")
    named = {name: variant.setting(name) for name in ("source", "mutant", "cpus", "backend", "rev")}
    assert named == {
        "source": "embedded", "mutant": "m", "cpus": 3, "backend": "qemu", "rev": None,
    }  # fmt: skip


def test_the_same_guest_is_equal() -> None:
    marker = {"numa": 2, "tunables": {"a": "1", "b": "2"}}
    (one,), (other,) = variants(marker), variants({**marker, "tunables": {"b": "2", "a": "1"}})
    assert one == other
    assert hash(one) == hash(other)
    assert [one] != variants({**marker, "fresh": True})


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ({"nmua": 4}, "no argument 'nmua'\ndid you mean numa?"),
        ({"numa": 0}, "numa: "), ({"numa": "x"}, "numa: "), ({"numa": 99}, "numa: "),
        ({"numa": []}, "numa takes a number"), ({"numa": True, "vm": "a"}, "numa and vm both"),
        ({"sanitizer": "kazan"}, "sanitizer: there is no sanitizer 'kazan'"),
        ({"sanitizer": "kasan,kmsan"}, "sanitizer: "), ({"sanitizer": 1}, "takes a text or a list"),
        ({"memory": "big"}, "memory takes a positive number"), ({"cpus": 0}, "cpus takes"),
        ({"before_after": 1}, "True or False"), ({"mutant": ""}, "mutant takes a text"),
        ({"tunables": {"a": 1}}, "a dictionary of texts"), ({"vm": None}, "vm takes"),
    ],
)  # fmt: skip
def test_an_invalid_argument_is_named(marker: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as raised:
        variants(marker)
    assert words in str(raised.value)


def test_an_argument_without_a_name_and_an_invalid_option_are_errors() -> None:
    with pytest.raises(UsageError, match="4 without a name"):
        variants_of([((4,), {})], {})
    with pytest.raises(UsageError, match="memory: big"):
        variants({}, memory="big")
