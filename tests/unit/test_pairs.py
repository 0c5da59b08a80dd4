"""ci/pairs: what makes two boots equal, and which pair is next."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).parents[2] / "ci" / "pairs"


def script() -> Any:
    loader = SourceFileLoader("pairs", str(PATH))
    spec = spec_from_loader("pairs", loader)
    assert spec is not None
    module = module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pairs", module)
        loader.exec_module(module)
    return module


pairs = script()


def booted(**changes: Any) -> dict[str, Any]:
    """A document of ``harness boot --json``, as far as a pair reads it."""
    cell = {
        "verdict": {"outcome": "booted", "title": "booted to init", "stage": "init"},
        "report": {
            "domains": 2,
            "memory": {"0": {"pages": 260_000, "page_size": 4096}},
            "subsystems": {"uma": {"zones": {"A": {"reserve": 2, "domains": {"0": {"pages": 1}}}}}},
        },
        "disagreements": [],
        "verified": True,
        "host_failed": False,
        "error": "",
        "seconds": 5.0,
    }
    return {"cells": [{**cell, **changes}]}


def refused(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"kind": kind, "message": message}}


def judged(loader: Mapping[str, Any], direct: Mapping[str, Any]) -> str:
    result: str = pairs.judge({"loader": loader, "direct": direct})[0]
    return result


def test_boots_with_equal_facts_are_equal() -> None:
    assert judged(booted(), booted(seconds=99.0)) == pairs.EQUAL


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": {"outcome": "panic", "title": "panic: x", "stage": "init"}, "report": None},
        {"report": {"domains": 1}},
        {"disagreements": ["domain 0 has CPU 1, not CPU 0"]},
        {"verified": False},
    ],
)
def test_another_outcome_or_fact_differs(changes: dict[str, Any]) -> None:
    assert judged(booted(), booted(**changes)) == pairs.DIFFERS


@pytest.mark.parametrize(("lost_mib", "result"), [(31, "equal"), (33, "differs")])
def test_memory_may_differ_by_what_firmware_takes(lost_mib: int, result: str) -> None:
    report = booted()["cells"][0]["report"]
    pages = report["memory"]["0"]["pages"] - lost_mib * 256
    less = {**report, "memory": {"0": {"pages": pages, "page_size": 4096}}}
    assert judged(booted(), booted(report=less)) == result


def test_counters_of_domains_are_of_one_boot() -> None:
    report = booted()["cells"][0]["report"]
    other = {"uma": {"zones": {"A": {"reserve": 2, "domains": {"0": {"pages": 7}}}}}}
    assert judged(booted(), booted(report={**report, "subsystems": other})) == pairs.EQUAL
    other["uma"]["zones"]["A"]["reserve"] = 3
    assert judged(booted(), booted(report={**report, "subsystems": other})) == pairs.DIFFERS


def test_refusals_are_compared_too() -> None:
    one, other = refused("usage", "too many nodes"), refused("usage", "no such vm")
    assert judged(one, one) == pairs.REFUSED
    assert judged(one, other) != pairs.REFUSED
    assert judged(booted(), one) == pairs.DIFFERS


def test_what_the_host_fails_at_proves_nothing() -> None:
    lost = refused("host", "QEMU is missing")
    assert judged(lost, lost) == pairs.HOST
    assert judged(booted(), lost) == pairs.HOST
    assert judged(booted(host_failed=True), booted()) == pairs.HOST


def line(pair: Any, result: str) -> dict[str, Any]:
    return {"source": pair.source, "vm": pair.vm, "backend": pair.backend,
            "sanitizer": pair.sanitizer, "result": result, "loader": {}, "direct": {}}  # fmt: skip


def test_each_pair_gets_its_rounds_and_the_host_failures_are_left_for_the_next_call() -> None:
    cells = [pairs.Pair("tree", vm, "qemu", "none") for vm in ("one", "two", "three")]
    lines = [line(cells[0], pairs.EQUAL), line(cells[1], pairs.HOST)]
    order = []
    for pair in pairs.remaining(cells, lines, 2, 3600):
        order.append(pair.vm)
        lines.append(line(pair, pairs.HOST if pair.vm == "two" else pairs.EQUAL))
    assert order == ["two", "three", "one", "three"]


def test_no_pair_begins_that_would_end_too_late() -> None:
    cells = [pairs.Pair("tree", vm, "qemu", "none") for vm in ("one", "two")]
    lines: list[dict[str, Any]] = []
    begun = []
    for pair in pairs.remaining(cells, lines, 1, 100):
        begun.append(pair.vm)
        lines.append({**line(pair, pairs.EQUAL), "loader": {"seconds": 200.0}})
    assert begun == ["one"]


def test_a_half_written_line_is_no_pair_and_spoils_none(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"result": "equal"}\n{"result": "dif')
    pairs.append(file, {"result": "refused"})
    assert [each["result"] for each in pairs.read(file)] == ["equal", "refused"]


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200)])
def test_times_have_a_unit(text: str, seconds: int) -> None:
    assert pairs.in_seconds(text) == seconds
    with pytest.raises(argparse.ArgumentTypeError):
        pairs.in_seconds(text[:-1])
