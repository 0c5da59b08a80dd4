"""The built-in guest for tests: each of its builds made once, booted as often as needed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from backend_guests import MakeBackend, daemons, plenty, until
from embedded_guest import Boot, Kernels, Machine

from harness.guest.backend import Backend
from harness.guest.libvirt import LibvirtBackend
from harness.guest.qemu import QemuBackend
from harness.host.clock import HostClock
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.image.embedded import CommitSide, EmbeddedBuild, build_embedded
from harness.sanitizers import NONE, Sanitizers

SECONDS = 60.0
"""Longer than any boot of the built-in guest takes, on whatever host."""


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    """The builds of the guest, each compiled when it is first asked for."""
    made: dict[EmbeddedBuild, Path] = {}

    def kernel(variant: CommitSide, sanitizer: Sanitizers = NONE) -> Path:
        build = EmbeddedBuild(variant, sanitizer)
        if build not in made:
            directory = tmp_path_factory.mktemp(f"{variant}-{sanitizer}")
            made[build] = build_embedded(build, HostRunner(), directory)
        return made[build]

    return kernel


@pytest.fixture
def boot(tmp_path: Path) -> Callable[..., Boot]:
    """Boots a kernel and waits for the end, or for ``silent_after`` and a second of silence."""

    def run(kernel: Path, machine: Machine, append: str = "", silent_after: str = "") -> Boot:
        console = tmp_path / "console"
        console.write_bytes(b"")
        argv: Sequence[str | Path] = [
            "qemu-system-x86_64", "-accel", "tcg", "-nodefaults", "-display", "none",
            "-no-reboot", "-serial", f"file:{console}", *machine.argv(),
            "-kernel", kernel, "-append", append,
        ]  # fmt: skip
        process = HostRunner().spawn(argv)
        try:
            if silent_after:
                return _until_silent(process.wait, console, silent_after)
            ended = process.wait(SECONDS) is not None
            return Boot(console.read_bytes(), ended)
        finally:
            process.kill()

    return run


def _until_silent(wait: Callable[[float], int | None], console: Path, text: str) -> Boot:
    while text.encode() not in console.read_bytes() and wait(0.1) is None:
        pass
    before = console.read_bytes()
    while True:
        ended = wait(1.0) is not None
        after = console.read_bytes()
        if ended or after == before:
            return Boot(after, ended)
        before = after


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    """A workspace of its own whose libvirtd goes away soon; unix sockets need a short path."""
    with tempfile.TemporaryDirectory(prefix="hb-", ignore_cleanup_errors=True) as name:
        root = Path(name)
        yield Workspace(root / "cache", root / "state", root / "run")
        until(lambda: not daemons(root))


@pytest.fixture
def make_backend(workspace: Workspace) -> MakeBackend:
    def make(name: str) -> Backend:
        if name == "qemu":
            return QemuBackend(HostRunner(), HostClock(), available=plenty)
        return LibvirtBackend(
            HostRunner(), HostClock(), workspace, available=plenty, idle_seconds=2
        )

    return make


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hb-") as name:
        yield Path(name)
