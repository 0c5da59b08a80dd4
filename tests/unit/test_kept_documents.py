"""State and records that somebody else has written, cut or damaged."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cells import cell
from command import Home
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inprocess import call
from rich.console import Console

from harness.bisect.evidence import Kind, RevisionTest
from harness.bisect.state import State, StateFile
from harness.check.result import CheckResult, Conclusion, Difference
from harness.errors import UsageError
from harness.guest.registry import KeptGuest, Registry
from harness.host.clock import HostClock
from harness.host.jsontoml import parse_json
from harness.host.processid import ProcessId
from harness.host.workspace import Workspace
from harness.outcome import Outcome
from harness.results.record import Run, to_document
from harness.results.schema import wrong_with
from harness.results.store import Store
from harness.results.text import print_document

DEEP = "[" * 200_000
DEEP_OBJECT = '{"schema": 1, "cells": ' + "[" * 200_000
"""More than the interpreter's limit of recursion."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value of a document."""
    yield path
    if isinstance(document, dict):
        for key, value in document.items():
            yield from places(value, (*path, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from places(value, (*path, index))


def with_value(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The document with another value at a place."""
    if not path:
        return value
    copy = json.loads(json.dumps(document, default=str))
    place = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return copy


def record() -> dict[str, Any]:
    """One with all that a report may tell."""
    difference = Difference("trace", 3, 2, "alloc", ("another item",), 17)
    check = CheckResult(
        "uma", "13-after", "13.2's specification", "13.2", 7,
        conclusion=Conclusion.DIFFERS, difference=difference, notes=("it slept",),
        measured={"calls": 2.0, "asleep": True}, chosen="its base", changed=("f",),
    )  # fmt: skip
    cells = (
        cell(assumed=(Outcome.BOOTED,), why_expected="so", check=check, error=""),
        cell(Outcome.PANIC, warnings=("a warning",), disagreements=("differs",)),
        cell(None, error="no QEMU"),
    )
    document = to_document(Run("r", ("boot",), "2026-01-02", "0", cells))
    return json.loads(json.dumps(document, default=str))  # type: ignore[no-any-return]


@pytest.mark.parametrize("text", [DEEP, DEEP_OBJECT, "{" * 100_000, '{"a":' * 100_000])
def test_deep_nesting_is_a_value_error_like_any_other(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        parse_json(text)


def test_what_was_recorded_can_be_reported() -> None:
    assert wrong_with(record()) == ""


def test_a_record_of_a_check_that_does_not_count_its_traces_can_be_reported() -> None:
    """Records of earlier versions have the number by another name."""
    document = record()
    check = document["cells"][0]["check"]
    check["zones"] = check.pop("setups")
    assert wrong_with(document) == ""
    page = io.StringIO()
    print_document(document, Console(file=page, width=200))
    assert "(0 operations, seed 7)" in page.getvalue()


@given(data=st.data())
def test_a_record_with_a_strange_value_is_reported_or_refused(data: st.DataObject) -> None:
    """What is taken for whole can be printed; nothing else is."""
    document = record()
    path = data.draw(st.sampled_from(list(places(document))[1:]))
    document = with_value(document, path, data.draw(JSON))
    if wrong_with(document) == "":
        with open(os.devnull, "w") as nowhere:
            print_document(document, Console(file=nowhere))


@pytest.mark.parametrize("name", ["../../etc", "/etc/passwd", "..", ".", "", "a/b", "a\0b"])
def test_a_cell_s_name_leads_nowhere_else(name: str) -> None:
    document = with_value(record(), ("cells", 0, "name"), name)
    assert wrong_with(document).startswith("cells[0].name")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", DEEP, DEEP_OBJECT, b"\xff", '{"schema": 1}', '{"schema": 1e999}']
)
def test_a_damaged_record_is_refused_with_its_name(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "run" / "record.json"
    path.parent.mkdir()
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError) as caught:
        Store(tmp_path).load("run")
    assert str(path) in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize("what", ["record.json", "run"])
def test_a_record_that_is_a_link_is_refused(tmp_path: Path, what: str) -> None:
    elsewhere, runs = tmp_path / "elsewhere", tmp_path / "runs"
    elsewhere.mkdir()
    runs.mkdir()
    (elsewhere / "record.json").write_text(json.dumps(record()))
    if what == "run":
        (runs / "run").symlink_to(elsewhere)
    else:
        (runs / "run").mkdir()
        (runs / "run" / "record.json").symlink_to(elsewhere / "record.json")
    store = Store(runs)
    assert store.names() == []
    with pytest.raises(UsageError, match="symbolic link"):
        store.load("run")
    (elsewhere / "record.json").unlink()
    with pytest.raises(UsageError, match="there is no run"):
        store.load("run")


@pytest.mark.parametrize("what", ["cell", "console.log"])
def test_a_console_outside_of_the_run_is_not_printed(tmp_path: Path, what: str) -> None:
    home = Home(tmp_path / "home")
    run = home.runs / "20260102-030405-boot"
    run.mkdir(parents=True)
    (run / "record.json").write_text(json.dumps(record()))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "console.log").write_text("a secret\n")
    if what == "cell":
        (run / "cell").symlink_to(elsewhere)
    else:
        (run / "cell").mkdir()
        (run / "cell" / "console.log").symlink_to(elsewhere / "console.log")
    for words in (("console",), ("console", "latest", "cell"), ("console", "latest", "../cell")):
        said = call(home, *words)
        assert (said.code, "secret" in said.stdout) == (2, False), said


OBSERVED = RevisionTest("c" * 40, Kind.FAILED, ("a title",), "panic", 3.5, 12.25, "01-cccc")
ASKED = {"new": "b" * 40, "old": ("a" * 40,), "fixed": False}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_state_with_a_strange_value_is_read_or_refused(
    workspace: Workspace, data: st.DataObject
) -> None:
    file = StateFile(workspace, ASKED)
    file.save(State(ASKED, "a-run", "2026").with_observation(OBSERVED).with_kernel("c" * 40, "d"))
    document = json.loads(file.path.read_text())
    path = data.draw(st.sampled_from(list(places(document))))
    file.path.write_text(json.dumps(with_value(document, path, data.draw(JSON))))
    try:
        state = file.load()
    except UsageError:
        return
    file.save(state)
    assert file.load() == state


@pytest.mark.parametrize(
    ("path", "value"),
    [(("run",), "../elsewhere"), (("run",), "/etc"), (("observations", 0, "cell"), "../x"),
     (("observations", 0, "cell"), "/etc"), (("asked", "new"), "d" * 40),
     (("kernels",), []), (("observations", 0, "titles"), "abc"), ((), DEEP)],
)  # fmt: skip
def test_a_foreign_state_is_refused(
    workspace: Workspace, path: tuple[Any, ...], value: Any
) -> None:
    file = StateFile(workspace, ASKED)
    file.save(State(ASKED, "a-run", "2026").with_observation(OBSERVED))
    document = json.loads(file.path.read_text())
    text = value if value == DEEP else json.dumps(with_value(document, path, value))
    file.path.write_text(text)
    with pytest.raises(UsageError, match="--restart"):
        file.load()


@pytest.fixture
def guest(workspace: Workspace, tmp_path: Path) -> KeptGuest:
    """A guest that runs: its process is this one."""
    console = tmp_path / "runs" / "a-run" / "a-cell" / "console.log"
    console.parent.mkdir(parents=True)
    console.write_text("login:")
    return KeptGuest(
        "a-guest", "a-run", "a-cell", "FreeBSD", "qemu", 2, {}, "2026-01-02T03:04:05+00:00",
        console, workspace.runtime / "a-cell-0123abcd.console",
    )  # fmt: skip


def in_registry(workspace: Workspace, guest: KeptGuest, **changed: Any) -> Registry:
    me = ProcessId.of(os.getpid())
    assert me is not None
    document = {
        "name": guest.name, "run": guest.run, "cell": guest.cell, "guest": guest.guest,
        "backend": guest.backend, "nodes": guest.nodes, "topology": {}, "started": guest.started,
        "console": str(guest.console), "socket": str(guest.socket), "owner": None,
        "process": {"pid": me.pid, "started": me.started, "boot": me.boot},
        "uri": "", "domain": "", **changed,
    }  # fmt: skip
    path = workspace.state / "guests" / guest.name / "guest.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return Registry(workspace, HostClock())


def test_a_whole_entry_is_a_guest(workspace: Workspace, guest: KeptGuest) -> None:
    (found,) = in_registry(workspace, guest).live()
    assert (found.name, found.console, found.runs) == ("a-guest", guest.console, True)


@pytest.mark.parametrize(
    "changed",
    [{"nodes": "x"}, {"started": 5}, {"started": "yesterday"}, {"console": "/etc/passwd"},
     {"console": 3}, {"socket": "/"}, {"socket": "/usr/bin/python3.console"},
     {"socket": "a-0123abcd.console"}, {"process": {"pid": "1"}}, {"process": 7}, {"uri": None},
     {"console": "/x/../a-run/a-cell/console.log"}, {"name": "another"}, {"topology": []}],
)  # fmt: skip
def test_a_foreign_entry_is_no_guest(
    workspace: Workspace, guest: KeptGuest, changed: dict[str, Any]
) -> None:
    assert in_registry(workspace, guest, **changed).live() == []


@pytest.mark.parametrize("text", ["", "[]", DEEP, b"\xff"])
def test_a_damaged_entry_is_no_guest(
    workspace: Workspace, guest: KeptGuest, text: str | bytes
) -> None:
    registry = in_registry(workspace, guest)
    path = workspace.state / "guests" / guest.name / "guest.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert registry.live() == []


def test_an_entry_that_is_a_link_goes_and_what_it_leads_to_stays(
    workspace: Workspace, guest: KeptGuest, tmp_path: Path
) -> None:
    registry = in_registry(workspace, guest)
    entry = workspace.state / "guests" / guest.name
    entry.rename(tmp_path / "elsewhere")
    entry.symlink_to(tmp_path / "elsewhere")
    assert registry.live() == []
    assert not entry.is_symlink()
    assert (tmp_path / "elsewhere" / "guest.json").exists()
