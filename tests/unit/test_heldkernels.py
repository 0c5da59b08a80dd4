"""The kernel of a cell on a host without a tree: it is the order's, and no tree is opened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_environment import fake_environment
from fake_guests import boots

from harness.errors import InfraError
from harness.host.progress import Recorded
from harness.nightly.cells import NightCell, PlannedBranch
from harness.nightly.night import BranchNight
from harness.nightly.result import Slot
from harness.runs.nights.heldkernels import HeldKernels
from harness.runs.nights.orders import SpecificationOrder
from harness.runs.nights.sources import NightSources
from harness.runs.view import Unseen
from harness.sanitizers import NONE
from harness.source.request import KernelRequest
from harness.subsystems.table import SUBSYSTEMS

SOURCE = "/no/such/tree"
CELL = NightCell(
    Slot("tree:main", "check"), "check", "none", numa="2", subsystem=SUBSYSTEMS[0].name,
    mutant="drop-commit",
)  # fmt: skip
COMMIT = "c" * 40


@pytest.fixture
def kernels(tmp_path: Path) -> Iterator[HeldKernels]:
    with fake_environment(tmp_path, boots) as env:
        yield HeldKernels.of(
            env, Unseen(), NightSources(env, Unseen()),
            [PlannedBranch("tree:main", SOURCE, "main", "GENERIC")],
            [BranchNight("tree:main", SOURCE, COMMIT, "")],
        )  # fmt: skip


def test_a_host_without_the_kernel_or_the_specification_says_so(kernels: HeldKernels) -> None:
    with pytest.raises(InfraError, match="is not on this host"):
        kernels.kernel(CELL, COMMIT, Recorded())
    with pytest.raises(InfraError, match="held to"):
        kernels.specification(CELL, COMMIT)


@pytest.mark.parametrize("commit", [None, COMMIT])
def test_the_kernel_is_the_orders_and_its_revision_that_of_a_history(
    kernels: HeldKernels, commit: str | None
) -> None:
    made = kernels.env.kernels().provide(KernelRequest("embedded"), NONE, Recorded())
    held = replace(made, identity=replace(made.identity, commit=commit))
    kernels = replace(kernels, held=held)
    assert kernels.kernel(CELL, COMMIT, Recorded()) is held
    request = kernels.request(CELL, COMMIT)
    assert (request.source, request.kernconf) == (SOURCE, "GENERIC")
    assert (request.change.revision, request.change.mutant) == (commit, "drop-commit")


def test_a_check_is_held_to_what_the_asker_read_in_the_tree(kernels: HeldKernels) -> None:
    own = SUBSYSTEMS[0].of_built_in(None).values
    told = SpecificationOrder(values=dict(own), why="its base", asked="auto")
    found = replace(kernels, told=told).specification(CELL, COMMIT)
    expected = SUBSYSTEMS[0].held_to(own)
    assert (found.name, found.values, found.why) == (expected.name, own, "its base")
