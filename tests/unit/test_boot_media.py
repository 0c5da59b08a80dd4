"""The least memory of a guest, by how it boots, and the way that a kernel boots."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_guests import made_kernel

from harness.boot.media import check_guest_memory, make_media, method_of
from harness.errors import UsageError
from harness.guest.topology import Topology
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.image.media import BootMethod, DirectKernel
from harness.image.recipe import Payload

LOADER, DIRECT = BootMethod.LOADER, BootMethod.DIRECT


@pytest.mark.parametrize(
    ("is_freebsd", "method", "least", "way"),
    [
        (True, LOADER, 224, "a boot through UEFI and the loader"),
        (True, DIRECT, 24, "a direct start"),
        (False, LOADER, 4, "the built-in guest"),
        (False, DIRECT, 4, "the built-in guest"),
    ],
)
def test_a_guest_with_less_than_any_kernel_needs_is_refused(
    tmp_path: Path, is_freebsd: bool, method: BootMethod, least: int, way: str
) -> None:
    identity = made_kernel(tmp_path, is_freebsd=is_freebsd).identity
    check_guest_memory(identity, method, Topology.even(1, memory_mib_per_node=least))
    with pytest.raises(UsageError, match=way):
        check_guest_memory(identity, method, Topology.even(1, memory_mib_per_node=least - 1))


@pytest.mark.parametrize("asked", BootMethod)
def test_the_built_in_guest_starts_directly_whatever_is_asked(
    tmp_path: Path, asked: BootMethod
) -> None:
    assert method_of(made_kernel(tmp_path).identity, asked) is DIRECT
    assert method_of(made_kernel(tmp_path, is_freebsd=True).identity, asked) is asked


def media(directory: Path, method: BootMethod, *, is_freebsd: bool) -> object:
    kernel = made_kernel(directory, is_freebsd=is_freebsd)
    workspace = Workspace(directory / "cache", directory / "state", directory / "run")
    payload = Payload({"a.b": "1"}, "0" * 16, None, root=False)
    return make_media(kernel, method, payload, directory, workspace, HostRunner())


def test_the_built_in_guest_gets_its_tunables_on_the_command_line(tmp_path: Path) -> None:
    made = media(tmp_path, LOADER, is_freebsd=False)
    assert isinstance(made, DirectKernel)
    assert "a.b=1" in made.append
    assert f"harness.nonce={'0' * 16}" in made.append


def test_without_a_loader_the_direct_start_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no loader is cached") as refused:
        media(tmp_path, LOADER, is_freebsd=True)
    assert "--boot direct" in refused.value.remedy
