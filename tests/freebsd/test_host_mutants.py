"""Mutants that host programs judge: named and generated ones, on the tree's own C."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness_command import Answer, harness

from harness.cedit.definitions import definitions
from harness.host.progress import Recorded
from harness.mutation.generated import GeneratedChange, changes_of, function_digest
from harness.mutation.reasons import read_reasons
from harness.onhost.part import HostPart, owner_of
from harness.runs.environment import Environment
from harness.source.request import KernelRequest
from harness.subsystems.table import SUBSYSTEMS

PARTS = [part for each in SUBSYSTEMS if (part := each.on_host) is not None]

pytestmark = [pytest.mark.freebsd, pytest.mark.timeout(3000)]


def mutants(tree: Path, out: Path, *words: str) -> Answer:
    return harness("mutants", "--source", tree, "--ops", "4000", *words, out=out)


def fates(answer: Answer) -> dict[str, Any]:
    return {each["mutant"]: each for each in answer.document["mutants"]}


def test_named_mutants_are_killed_without_a_kernel(freebsd_tree: Path, tmp_path: Path) -> None:
    answer = mutants(freebsd_tree, tmp_path, "--on", "host", "--mutant", "drop-*")
    found = fates(answer)
    assert answer.code == 0, answer.told
    assert {"drop-commit", "drop-reserve-fallback"} <= found.keys()
    assert {each["fate"] for each in found.values()} == {"caught"}
    assert answer.document["cells"] == []
    assert not list(tmp_path.glob("**/console.log"))


def test_generated_mutants_of_a_function_are_killed_and_checked_again_by_name(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    answer = mutants(freebsd_tree, tmp_path, "--generated", "--function", "keg_fetch_free_slab")
    found = fates(answer)
    assert answer.code == 0, answer.told
    assert len(found) > 15
    killed = [name for name, each in found.items() if each["fate"] == "caught"]
    assert len(killed) >= 0.9 * len(found)
    again = harness(
        "check", "--source", freebsd_tree, "--on", "host", "--ops", "4000", "--subsystem", "uma",
        "--mutant", killed[0], out=tmp_path,
    )  # fmt: skip
    assert again.code == 1, again.told
    assert again.document["cells"][0]["check"]["changed"] == ["keg_fetch_free_slab"]


def test_a_survivor_of_a_function_that_nothing_calls_is_not_reached(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    answer = mutants(freebsd_tree, tmp_path, "--generated", "--function", "uma_zone_get_frees")
    found = fates(answer)
    assert answer.code == 0, answer.told
    assert found
    for each in found.values():
        assert (each["fate"], each["survival"]) == ("survived", "not reached")
        assert all(len(digest) == 16 for digest in each["digests"])


def test_zones_with_buckets_kill_what_the_model_cannot_see(
    freebsd_tree: Path, tmp_path: Path
) -> None:
    answer = mutants(freebsd_tree, tmp_path, "--generated", "--function", "cache_bucket_pop")
    found = fates(answer)
    assert answer.code == 0, answer.told
    oracles = {each["oracle"] for each in found.values() if each["fate"] == "caught"}
    assert oracles & {"invariant", "assertion", "fault"}
    assert "model" not in oracles
    reached = [each for each in found.values() if each["fate"] == "survived"]
    assert not any(each["survival"] == "not reached" for each in reached)


def _changes(tree: Path, part: HostPart) -> Iterator[tuple[str, GeneratedChange]]:
    for path in part.functions:
        text = (tree / path).read_bytes()
        for name in definitions(text):
            if owner_of(PARTS, path, name) is part:
                found = changes_of(text, name, part.exchanges)
                for number, (_, change) in enumerate(found, start=1):
                    yield f"{name}#{number}", change


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_every_recorded_reason_of_this_tree_is_of_the_change_that_it_names(
    freebsd_tree: Path, part: HostPart
) -> None:
    changes = dict(_changes(freebsd_tree, part))
    texts = {name.partition("#")[0]: change.function for name, change in changes.items()}
    of_this_tree = [
        each
        for each in read_reasons(part.reasons).all
        if texts.get(each.mutant.partition("#")[0]) == each.function
    ]
    for each in of_this_tree:
        assert changes[each.mutant].change == each.change, each.mutant
        for path in part.functions:
            text = (freebsd_tree / path).read_bytes()
            given = {name: function_digest(text, name) for name in each.given}
            assert given == each.given, f"{each.mutant}: what it depends on has changed"
    assert 20 * len(of_this_tree) <= len(changes), "more than 5 % survive by argument"


def test_mutants_with_a_recorded_reason_survive(freebsd_tree: Path, tmp_path: Path) -> None:
    """A reason that is wrong would fail the run."""
    answer = mutants(freebsd_tree, tmp_path, "--generated", "--function", "keg_first_slab")
    found = fates(answer)
    assert answer.code == 0, answer.told
    argued = [name for name, each in found.items() if each["survival"] == "by argument"]
    assert len(argued) >= 5
    others = [each for name, each in found.items() if name not in argued]
    killed = sum(each["fate"] == "caught" for each in others if not each["equivalent"])
    assert killed >= 0.9 * len(others)


def test_code_that_only_looks_changed_compiles_to_the_same(freebsd_tree: Path) -> None:
    what = KernelRequest(str(freebsd_tree))
    provider = Environment.of_user().kernels(print).provider(what)
    path = "sys/vm/uma_core.c"
    with provider.host_variations(what, Recorded()) as variations:
        text = variations.text(path)
        assert variations.program(path, text) is None
        assert variations.program(path, text + b"/* the end */\n") is None
        longer = text.replace(b"return (NULL);", b"{ int i = 0; i++; return (NULL); }", 1)
        other = text.replace(b"return (NULL);", b"return ((void *)1);", 1)
        program = variations.program(path, longer)
        assert program is not None
        variations.discard(program)
        assert variations.has_same_code(path, longer)
        assert not variations.has_same_code(path, other)
