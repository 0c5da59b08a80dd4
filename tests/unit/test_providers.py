"""What is known of kernels by where they come from, before any is built."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_tree import plain_tree

from harness.errors import UsageError
from harness.host.clock import HostClock
from harness.host.process import HostRunner
from harness.host.progress import Recorded
from harness.host.workspace import Workspace
from harness.image.media import BootMethod
from harness.provide.kernels import Kernels
from harness.provide.sources import BUILT_IN
from harness.sanitizers import NONE
from harness.source.change import Change
from harness.source.request import BEFORE_MUTANT, KernelRequest
from harness.subsystems.specifications import AS_BUILT, AUTO
from harness.subsystems.table import SUBSYSTEMS
from harness.subsystems.uma.subsystem import UMA

EMBEDDED = KernelRequest(BUILT_IN)


@pytest.fixture
def kernels(tmp_path: Path) -> Kernels:
    workspace = Workspace(tmp_path / "cache", tmp_path / "state", tmp_path / "run")
    return Kernels(workspace, HostRunner(), HostClock())


def test_the_built_in_guest_is_started_directly_and_has_one_pair_and_one_mutant(
    kernels: Kernels,
) -> None:
    provider = kernels.provider(EMBEDDED)
    assert provider.boot_methods == (BootMethod.DIRECT,)
    assert provider.pair(EMBEDDED) == (
        KernelRequest(BUILT_IN, Change(mutant=BEFORE_MUTANT)),
        EMBEDDED,
    )
    assert list(provider.mutants) == [BEFORE_MUTANT]
    assert provider.subsystems == (UMA,)


def test_the_built_in_guest_is_held_to_the_commit_whatever_is_built(kernels: Kernels) -> None:
    before, after = kernels.provider(EMBEDDED).pair(EMBEDDED) or (EMBEDDED, EMBEDDED)
    provider = kernels.provider(before)
    held = [provider.specification(UMA, what, AUTO).values for what in (before, after)]
    assert held[0] == held[1]
    own = [provider.specification(UMA, what, AS_BUILT).values for what in (before, after)]
    assert own[0] != own[1] == held[1]
    assert not provider.code(UMA, before, None).is_freebsd


@pytest.mark.parametrize(
    "what",
    [
        KernelRequest(BUILT_IN, Change("HEAD")),
        KernelRequest(BUILT_IN, Change(mutant="no-such")),
        KernelRequest(BUILT_IN, kernconf="GENERIC"),
    ],
)
def test_what_the_built_in_guest_does_not_have_is_refused(
    kernels: Kernels, what: KernelRequest
) -> None:
    provider = kernels.provider(what)
    with pytest.raises(UsageError, match="the built-in guest has no"):
        provider.kernel(what, NONE, Recorded())
    with pytest.raises(UsageError, match="the built-in guest has no"):
        provider.code(UMA, what, None)
    with pytest.raises(UsageError, match="has no history"):
        provider.history(what)


def test_a_tree_has_all_parts_and_is_compared_as_the_user_says(
    kernels: Kernels, tmp_path: Path
) -> None:
    what = KernelRequest(str(plain_tree(tmp_path / "tree")))
    provider = kernels.provider(what)
    assert provider.boot_methods == tuple(BootMethod)
    assert provider.subsystems == SUBSYSTEMS
    assert provider.pair(what) is None
    with pytest.raises(UsageError, match="plain directory"):
        provider.history(what)


def test_of_a_file_nothing_is_known_but_what_is_in_it(kernels: Kernels, tmp_path: Path) -> None:
    what = KernelRequest(BUILT_IN, kernel=tmp_path / "kernel")
    provider = kernels.provider(what)
    assert not provider.subsystems
    assert not provider.mutants
    assert provider.pair(what) is None
    for ask in (
        lambda: provider.history(what),
        lambda: provider.code(UMA, what, None),
        lambda: provider.specification(UMA, what, AUTO),
    ):
        with pytest.raises(UsageError, match="is not known"):
            ask()
    with pytest.raises(UsageError, match="not a FreeBSD kernel"):
        provider.kernel(what, NONE, Recorded())


def test_a_kernel_file_is_no_tree_whatever_the_source_is(kernels: Kernels, tmp_path: Path) -> None:
    """``$HARNESS_SOURCE`` may name any; the file alone counts."""
    for source in (BUILT_IN, "/src"):
        what = KernelRequest(source, kernel=tmp_path / "kernel")
        assert kernels.provider(what) == kernels.provider(
            KernelRequest("", kernel=tmp_path / "kernel")
        )
