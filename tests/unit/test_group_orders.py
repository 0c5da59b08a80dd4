"""Orders and answers of a group, silence, and what a cell leaves on its host."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fake_environment import fake_environment
from fake_guests import boots
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import BuildError, HarnessError, InfraError, UsageError
from harness.group.celldirectory import CellDirectory, done, failed
from harness.group.leases import KnownHost, Lease
from harness.group.placement import HostOffer
from harness.group.silence import gone_leases
from harness.group.version import installed_state
from harness.history.url import DatabaseUrl
from harness.host.progress import Recorded
from harness.host.seal import Seal, seal_file
from harness.nightly.cells import NightCell, PlannedBranch
from harness.nightly.result import Purpose, Result, Slot, Status
from harness.runs.environment import Environment
from harness.runs.nights.groupcell import run_cell
from harness.runs.nights.orders import (
    BranchOrder,
    ErrorAnswer,
    HeldOrder,
    NightAnswer,
    NightOrder,
    read_answer,
    read_order,
    told_result,
)
from harness.runs.replicas import KernelReplica, Replicas
from harness.runs.view import Unseen
from harness.sanitizers import NONE
from harness.source.request import KernelRequest

SLOT = Slot("tree:main", "boot-none-numa2")

ORDER = NightOrder(
    version="v", kind="cell", commands=False, plan="made", night=3, host="asker",
    branch=BranchOrder(
        planned=PlannedBranch("tree:main", "/tree", "main"), tip="a" * 40, base="", rewritten=False
    ),
    cell=NightCell(SLOT, "boot", "none", numa="2", tunables={"a": "b"}, outcomes=("panic",)),
    commit="b" * 40, purpose=Purpose.REPEAT, attempt=2, trusted=True, loader=False, clean=False,
    cores=0.5, memory=1 << 40,
)  # fmt: skip

RESULT = Result(
    SLOT, "b" * 40, Status.FAILED, Purpose.REPEAT, 2, outcome="panic", title="panic: ödd \ud800",
    seed=(1 << 64) - 1, stages={"init": 1.5}, frames=({"function": "f"},), run="run",
)  # fmt: skip


def as_json(document: object) -> Any:
    return json.loads(json.dumps(document))


def test_an_order_is_the_same_after_its_way_as_json() -> None:
    assert read_order(as_json(ORDER.document())) == ORDER
    assert ORDER.task.key == ("tree:main", "boot-none-numa2", "b" * 40, "repeat", 2)
    assert msgspec.json.schema(NightOrder)["$ref"] == "#/$defs/NightOrder"


@pytest.mark.parametrize("change", [
    {"kind": "shell"}, {"argv": ["id"]}, {"attempt": "2"}, {"cell": {"slot": 1}},
    {"purpose": "fun"}, {"branch": None},
])  # fmt: skip
def test_an_order_that_does_not_follow_the_schema_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="the order is invalid"):
        read_order({**as_json(ORDER.document()), **change})


def test_a_result_is_the_same_after_its_way_but_for_what_the_asker_knows() -> None:
    answer = read_answer(as_json(NightAnswer(result=RESULT).document()))
    assert answer.result == RESULT
    forged = replace(
        RESULT, id=7, slot=Slot("other", "cell"), commit="c", purpose=Purpose.PLANNED, attempt=9,
        shared=3, host="liar", seed=1, console="d" * 64,
    )  # fmt: skip
    planned = replace(RESULT, status=Status.NOT_RUN, title="", outcome="")
    told = told_result(forged, planned, "honest")
    assert told == replace(RESULT, host="honest")


@pytest.mark.parametrize("change", [
    {"stages": {"init": "long"}}, {"frames": [{"function": 7}, 7]}, {"opinions": {"a": 1}},
    {"slot": {"branch": ["x"]}},
])  # fmt: skip
def test_a_result_with_wrong_values_deep_inside_is_refused(change: dict[str, Any]) -> None:
    document = as_json(NightAnswer(result=RESULT).document())
    with pytest.raises(UsageError, match="its answer is invalid"):
        read_answer({**document, "result": {**document["result"], **change}})


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_what_is_no_answer_is_refused_or_empty(document: object) -> None:
    try:
        answer = read_answer(document)
    except UsageError as error:
        assert "its answer is invalid" in error.message  # noqa: PT017
    else:
        assert answer.result is None


@pytest.mark.parametrize("kind", [BuildError, UsageError, InfraError])
def test_an_error_is_of_the_same_kind_after_its_way(kind: type[HarnessError]) -> None:
    error = kind("it fails", remedy="mend it", detail="line")
    document = as_json(NightAnswer(error=ErrorAnswer.of(error)).document())
    told = read_answer(document).error
    assert told is not None
    assert (type(told.error), str(told.error)) == (kind, str(error))


def host(name: str, silent: float) -> KnownHost:
    return KnownHost(HostOffer(name, 1.0, 1), "v", frozenset(), silent, leaving=False)


def lease(number: int, name: str, state: str, silent: float | None) -> Lease:
    return Lease(number, f"job{number}", 0, name, state, silent, 1.0, 1, own=True)


@pytest.mark.parametrize(("worker", "leases", "lost"), [
    (10.0, [("queued", None), ("running", 500.0)], []),
    # The worker was killed, and its cells go on.
    (500.0, [("running", 3.0), ("running", 130.0), ("queued", None)], [3]),
    (500.0, [("running", 121.0), ("queued", None)], [1, 2]),
    # A cell that is frozen for long is lost, although its host is there.
    (3.0, [("running", 601.0), ("running", 599.0)], [1]),
])  # fmt: skip
def test_a_host_is_gone_when_neither_worker_nor_cells_report(
    worker: float, leases: list[tuple[str, float | None]], lost: list[int]
) -> None:
    made = [lease(number, "a", *each) for number, each in enumerate(leases, start=1)]
    found = gone_leases([host("a", worker), host("b", 0.0)], made, 120.0)
    assert [each.id for each in found] == lost
    unknown = [lease(9, "never seen", "queued", None)]
    assert gone_leases([host("a", worker)], unknown, 120.0) == unknown


def test_a_cell_directory_is_one_processs_and_has_its_result_when_it_is_whole(
    tmp_path: Path,
) -> None:
    cell = CellDirectory(tmp_path / "17")
    assert (cell.lease, cell.order(), cell.result()) == (17, None, None)
    cell.write_order({"order": {"a": 1}})
    assert not cell.was_started
    with cell.starting() as first:
        assert first is not None
        assert cell.is_running
        with cell.starting() as second:
            assert second is None
    assert (cell.was_started, cell.is_running) == (True, False)
    cell.write_result(done({"x": 1}, host_failed=False), b"console")
    assert cell.result() == ({"kind": "done", "host_failed": False, "document": {"x": 1}},
                             b"console")  # fmt: skip
    (tmp_path / "17" / "result.json").write_text("{")
    assert cell.result() is None
    (tmp_path / "other").mkdir()
    CellDirectory(tmp_path / "9").write_order({})
    assert [each.lease for each in CellDirectory.all_in(tmp_path)] == [9, 17]
    assert failed("why")["why"] == "why"
    cell.remove()
    assert CellDirectory.all_in(tmp_path) == [CellDirectory(tmp_path / "9")]


@pytest.mark.parametrize(("change", "why"), [
    ({"installed": "older"}, "has changed since its worker was started"),
    ({"order": {"kind": "shell"}}, "the order is invalid"),
    ({"order": {**as_json(ORDER.document()), "kind": "kernel"}}, "there is no /tree on this host"),
        ({"order": as_json(ORDER.document())}, "the kernel is not on this host"),
])  # fmt: skip
def test_what_a_host_cannot_carry_out_is_said_and_kept_when_the_server_is_away(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    cell = CellDirectory(tmp_path / "1")
    order = {"installed": installed_state(), "most": {"cores": 1, "memory": 1}, "host": "a"}
    cell.write_order({**order, **change})
    nowhere = DatabaseUrl("127.0.0.1", 1, "a", "b")
    with fake_environment(tmp_path, boots) as env:
        run_cell(cell, nowhere, env, Unseen())
    found = cell.result()
    assert found is not None
    assert why in found[0]["why"]


def received(kernel: KernelReplica, env: Environment) -> KernelReplica:
    """Put the kernel that the environment provides into its cache, as if it had been sent."""
    replicas = Replicas(env.workspace)
    paths = env.kernels().provide(KernelRequest("embedded"), NONE, Recorded()).paths()

    def fetch(seal: Seal) -> Path:
        replicas.directory.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copyfile(paths[seal.name], replicas.directory / f".{seal.sha256}"))

    seals = tuple(seal_file(path, name) for name, path in paths.items() if name == "kernel")
    kernel = msgspec.structs.replace(kernel, files=seals)
    replicas.receive(kernel, fetch)
    return kernel


def test_a_cell_that_was_ordered_is_run_and_answered(tmp_path: Path) -> None:
    planned = PlannedBranch("tree:main", "embedded", "main")
    order = NightOrder(
        **{
            **{name: getattr(ORDER, name) for name in ORDER.__struct_fields__},
            "branch": BranchOrder(planned=planned, tip="", base="", rewritten=False),
            "cell": NightCell(SLOT, "boot", "none", numa="2", accelerator="tcg"),
        }
    )
    cell = CellDirectory(tmp_path / "1")
    held = None
    with fake_environment(tmp_path, boots) as env:
        for kind in ("kernel", "cell"):
            document = {**as_json(order.document()), "kind": kind, "held": held}
            cell.write_order(
                {
                    "installed": installed_state(), "most": {"cores": 1, "memory": 1}, "host": "a",
                    "order": document, "allowed": False,
                }
            )  # fmt: skip
            run_cell(cell, DatabaseUrl("127.0.0.1", 1, "a", "b"), env, Unseen())
            report, console = cell.result() or ({}, b"")
            assert (report["kind"], report["host_failed"]) == ("done", False), report
            answer = read_answer(report["document"])
            if kind == "kernel":
                assert (answer.result, answer.error) == (None, None)
                assert answer.held is not None
                made = received(answer.held.kernel, env)
                held = as_json(msgspec.to_builtins(HeldOrder(kernel=made)))
    assert answer.result is not None
    assert (answer.result.status, answer.result.outcome) == (Status.PASSED, "booted")
    assert (answer.result.kernel, answer.result.artifact) == (made.key, made.artifact)
    assert b"---<<BOOT>>---" in console
