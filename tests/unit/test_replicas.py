"""Kernels and worlds of other hosts: what is refused, and what is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fake_environment import fake_environment
from fake_guests import boots

from harness.errors import InfraError, UsageError
from harness.group.files import WrongFileError
from harness.host.progress import Recorded
from harness.host.seal import Seal, seal_file
from harness.host.tables import read_table
from harness.host.workspace import Workspace
from harness.kernel.artifact import KernelArtifact
from harness.provide.embedded import control_kernels
from harness.runs.replicas import KernelReplica, Replicas, WorldReplica, replica_key
from harness.world.image import WorldIdentity

WORLD = WorldIdentity(
    "k" * 40, "/tree", "label", None, "t", False, (), "13.2-RELEASE", "slim", (), "few", ""
)  # fmt: skip


def workspace(directory: Path) -> Workspace:
    return Workspace(directory / "cache", directory / "state", directory / "run")


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> KernelArtifact:
    """A built-in kernel in the cache of another host."""
    directory = tmp_path_factory.mktemp("other")
    with fake_environment(directory, boots) as env:
        return next(control_kernels(workspace(directory), env.runner, Recorded()))


def sent(kernel: KernelArtifact) -> KernelReplica:
    """The kernel, as it is told in JSON."""
    document = json.loads(json.dumps(msgspec.to_builtins(KernelReplica.of(kernel))))
    return read_table(document, KernelReplica)


def fetching(
    kernel: KernelArtifact, replicas: Replicas, content: bytes | None = None
) -> Callable[[Seal], Path]:
    def fetch(seal: Seal) -> Path:
        replicas.directory.mkdir(parents=True, exist_ok=True)
        target = replicas.directory / f".{seal.sha256}"
        own = kernel.paths()[seal.name].read_bytes()
        target.write_bytes(own if content is None else content)
        return target

    return fetch


def test_a_kernel_of_another_host_is_kept_apart_and_found_by_its_content(
    kernel: KernelArtifact, tmp_path: Path
) -> None:
    replicas, wanted = Replicas(workspace(tmp_path)), sent(kernel)
    assert replicas.kernel(wanted) is None
    assert replicas.files(wanted) is None
    replicas.receive(wanted, fetching(kernel, replicas))
    found = replicas.kernel(wanted)
    assert found is not None
    assert replace(found.identity, files=()) == replace(kernel.identity, files=())
    assert found.kernel.read_bytes() == kernel.kernel.read_bytes()
    assert not (tmp_path / "cache" / "kernels").exists(), "a cache of own builds gets nothing"
    assert replicas.keys() == [replica_key(wanted.files)]
    assert [path.name for path, _ in replicas.files(wanted) or []] == ["kernel"]
    assert not list(replicas.directory.glob(".*"))

    def unused(seal: Seal) -> Path:
        raise AssertionError(seal)

    replicas.receive(wanted, unused)


def test_a_host_takes_its_own_build_if_code_and_data_are_the_same(kernel: KernelArtifact) -> None:
    own = Replicas(workspace(kernel.kernel.parents[3]))
    wanted = sent(kernel)
    found = own.kernel(wanted)
    assert found is not None
    assert found.kernel == kernel.kernel
    assert own.kernel(msgspec.structs.replace(wanted, artifact="0" * 40)) is None


def test_a_damaged_copy_is_not_found_and_fetched_again(
    kernel: KernelArtifact, tmp_path: Path
) -> None:
    replicas, wanted = Replicas(workspace(tmp_path)), sent(kernel)
    replicas.receive(wanted, fetching(kernel, replicas))
    (replicas.directory / replica_key(wanted.files) / "kernel").write_bytes(b"damage")
    again = Replicas(workspace(tmp_path))
    assert again.kernel(wanted) is None
    again.receive(wanted, fetching(kernel, again))
    assert again.kernel(wanted) is not None


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF\x02\x01" + bytes(58)])
def test_a_file_that_is_no_kernel_is_not_kept(
    kernel: KernelArtifact, tmp_path: Path, content: bytes
) -> None:
    replicas = Replicas(workspace(tmp_path))
    seal = Seal("kernel", len(content) or 1, hashlib.sha256(content).hexdigest())
    wanted = msgspec.structs.replace(sent(kernel), files=(seal,))
    with pytest.raises(WrongFileError, match=r"kernel is not an ELF file|of another type"):
        replicas.receive(wanted, fetching(kernel, replicas, content))
    assert not list(replicas.directory.glob("*"))
    assert not list(replicas.directory.glob(".*"))


def test_a_fetch_that_fails_leaves_nothing_that_is_taken_for_a_kernel(
    kernel: KernelArtifact, tmp_path: Path
) -> None:
    replicas, wanted = Replicas(workspace(tmp_path)), sent(kernel)

    def fails(seal: Seal) -> Path:
        raise InfraError(f"{seal.name} is lost")

    with pytest.raises(InfraError, match="lost"):
        replicas.receive(wanted, fails)
    assert replicas.keys() == []


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ([], "not those of one kernel"),
        ([("kernel", 5), ("kernel", 5)], "not those of one kernel"),
        ([("kernel", 5), ("../../.bashrc", 5)], "not the name of one of its files"),
        ([("kernel", 5), ("identity.json", 5)], "not the name of one of its files"),
        ([("kernel", 5), ("harness_check-uma-000000000000.ko", 5)], "not the name"),
        ([("kernel", 0)], "has 0 bytes"),
        ([("kernel", -5)], "has -5 bytes"),
        ([("kernel", 1 << 40)], "bytes"),
        ([("kernel", 5), ("tree+dummynet+dummynet.ko", 1 << 30)], "bytes"),
    ],
)
def test_files_that_no_kernel_has_are_refused(
    kernel: KernelArtifact, files: list[tuple[str, int]], why: str
) -> None:
    seals = tuple(Seal(name, size, "a" * 64) for name, size in files)
    with pytest.raises(UsageError, match=why):
        msgspec.structs.replace(sent(kernel), files=seals).checked()


@pytest.mark.parametrize("sha256", ["", "A" * 64, "../" + "a" * 61, "a" * 64 + "\n"])
def test_what_is_no_hash_is_refused(kernel: KernelArtifact, sha256: str) -> None:
    wanted = msgspec.structs.replace(sent(kernel), files=(Seal("kernel", 5, sha256),))
    with pytest.raises(UsageError, match="not the SHA-256"):
        wanted.checked()


@pytest.mark.parametrize(
    "change",
    [
        {"key": "../../kernels"}, {"key": 7}, {"label": "a\x1b[2J"}, {"release": "x" * 5000},
        {"more": 1}, {"sanitizer": "shell"}, {"facts": {"uma": {"values": {"a": "b"}}}},
        {"source_roots": "/usr/src"}, {"dirty": "no"},
    ],
)  # fmt: skip
def test_an_identity_that_no_kernel_has_is_refused(
    kernel: KernelArtifact, change: dict[str, Any]
) -> None:
    wanted = sent(kernel)
    with pytest.raises(UsageError):
        msgspec.structs.replace(wanted, identity={**wanted.identity, **change}).checked()
    missing = {name: value for name, value in wanted.identity.items() if name != "commit"}
    with pytest.raises(UsageError):
        msgspec.structs.replace(wanted, identity=missing).checked()


def test_a_world_of_another_host_has_a_private_key_that_only_its_user_reads(
    tmp_path: Path,
) -> None:
    replicas = Replicas(workspace(tmp_path))
    contents = {"disk.qcow2": b"QFI\xfbdisk", "host_key.pub": b"ssh-ed25519 A\n", "key": b"secret"}
    given = tmp_path / "given"
    given.mkdir()
    for name, content in contents.items():
        (given / name).write_bytes(content)
    seals = tuple(seal_file(given / name, name) for name in contents)
    wanted = WorldReplica(identity=WORLD, files=seals)

    def fetch(seal: Seal) -> Path:
        target = replicas.directory / f".{seal.sha256}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(contents[seal.name])
        return target

    replicas.receive(wanted, fetch)
    world = replicas.world(wanted)
    assert world is not None
    assert (world.identity, world.host_key) == (WORLD, "ssh-ed25519 A")
    assert world.key.stat().st_mode & 0o077 == 0
    assert {path.name for path, _ in replicas.files(wanted) or []} == set(contents)
    contents["disk.qcow2"] = b"QCOW"
    other = replace(seals[0], sha256="b" * 64)
    with pytest.raises(WrongFileError, match="another type"):
        replicas.receive(msgspec.structs.replace(wanted, files=(other, *seals[1:])), fetch)
