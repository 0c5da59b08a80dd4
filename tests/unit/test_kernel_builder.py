"""Kernels of trees: what identifies one, when nothing is built, and what a failure leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from small_tree import UMA, git_tree

from harness.errors import BuildError, UsageError
from harness.host.clock import HostClock
from harness.host.process import HostRunner
from harness.host.progress import Recorded
from harness.host.workspace import Workspace
from harness.kernel.artifact import KernelCache
from harness.kernel.build import Builder
from harness.kernel.identity import identity_of
from harness.kernel.spec import KernelConfig, kernel_config
from harness.kernel.toolchain import best_llvm, compiler_version, installed_llvms
from harness.kerneloptions import parse_options
from harness.sanitizers import KASAN, NONE, Sanitizers
from harness.source.change import Change
from harness.source.opentree import open_tree
from harness.source.revision import Snapshot, combined_hash
from harness.source.tree import SourceTree
from harness.source.treelocks import being_read

SNAPSHOT = Snapshot(
    location="/src", commit="c" * 40, dirty=True, patch=None, mutant="drop-commit", tree="t" * 40,
    kernel="1", toolchain="2", loader="3", config="4", make="5", release="13.2-RELEASE", llvm=14,
    base="c" * 40, facts={},
)  # fmt: skip


def test_a_kernel_is_named_by_its_revision_changes_and_options() -> None:
    config = kernel_config(Sanitizers({KASAN}), options=parse_options(("INVARIANTS=n",)))
    found = identity_of("k", SNAPSHOT, config, "clang version 14", Path("/cache/src"))
    assert found.label.startswith("cccccccccc dirty +mutant drop-commit")
    assert "INVARIANTS" in found.label
    assert (found.key, found.commit, found.dirty) == ("k", "c" * 40, True)
    assert (found.kernconf, found.sanitizer) == (config.name, Sanitizers({KASAN}))
    assert found.source_roots == ("/cache/src", "/usr/src")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return git_tree(tmp_path / "tree")


def opened(directory: Path, workspace: Workspace) -> SourceTree:
    return open_tree(str(directory), workspace, HostRunner())


def builder(workspace: Workspace) -> tuple[Builder, Recorded]:
    progress = Recorded()
    return Builder(workspace, HostRunner(), HostClock(), progress, sandboxed=False), progress


def key_of(tree: SourceTree, workspace: Workspace, config: KernelConfig) -> tuple[str, Snapshot]:
    with being_read(tree, workspace, lambda _: None):
        snapshot = tree.snapshot(Change())
    compiler = compiler_version(best_llvm(snapshot.llvm, installed_llvms()), HostRunner())
    return combined_hash(("1", snapshot.kernel, snapshot.loader, config.digest, compiler)), snapshot


def test_a_cached_kernel_is_not_built_and_has_the_name_of_the_tree_that_asks(
    directory: Path, workspace: Workspace, tmp_path: Path
) -> None:
    tree, config = opened(directory, workspace), kernel_config(NONE)
    key, snapshot = key_of(tree, workspace, config)
    files = {name: tmp_path / name for name in ("kernel", "kernel.debug", "loader.efi", "config")}
    for name, file in files.items():
        file.write_text(name)
    other = replace(
        identity_of(key, snapshot, config, "c", directory), label="another", commit=None
    )
    KernelCache(workspace).store(other, files)
    made, progress = builder(workspace)
    kernel = made.build(tree, Change(), config)
    assert kernel.identity.label == snapshot.label
    assert kernel.kernel.read_text() == "kernel"
    assert progress.stages == ["source"]


def test_a_tree_whose_make_does_not_build_is_the_revisions_failure_and_leaves_no_kernel(
    directory: Path, workspace: Workspace
) -> None:
    made, progress = builder(workspace)
    with pytest.raises(BuildError) as failed:
        made.build(opened(directory, workspace), Change(), kernel_config(NONE))
    assert "this tree has no make" in failed.value.detail
    assert "make" in progress.stages
    assert "kernel" not in progress.stages
    kernels = workspace.cache / "kernels"
    assert not kernels.exists() or not list(kernels.iterdir())


def test_an_option_that_the_tree_does_not_have_is_refused_before_a_build(
    directory: Path, workspace: Workspace
) -> None:
    for name in ("sys/conf/options", "sys/conf/options.amd64"):
        (directory / name).write_text("INVARIANTS opt_global.h\n")
    made, progress = builder(workspace)
    config = kernel_config(NONE, options=parse_options(("INVARIANTZ",)))
    with pytest.raises(UsageError, match="INVARIANTZ"):
        made.build(opened(directory, workspace), Change(), config)
    assert progress.stages == ["source"]
    assert (directory / UMA).is_file()
