"""A machine that is a few lines of sh: its programs note in a file that they ran."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.guest.backends import BackendHost, find_backend
from harness.guest.command import CommandBackend
from harness.guest.machinefile import read_machine_file
from harness.guest.serialtap import SerialTap
from harness.guest.spec import GuestSpec
from harness.guest.topology import Topology
from harness.host.accelerator import Accelerator
from harness.host.clock import HostClock
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.image.media import DirectKernel

SCRIPTS = {
    "power_on": "",
    "power_off": "",
    "console": "echo hello; exec cat",
}
"""What each program does after it was noted."""


@dataclass
class ScriptedMachine:
    """Its programs, in a directory with a short path, for sockets."""

    directory: Path
    scripts: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 60.0
    runner: HostRunner = field(default_factory=HostRunner)

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def ran(self) -> list[str]:
        return self.log.read_text().split() if self.log.exists() else []

    def table(self) -> dict[str, object]:
        scripts = {**SCRIPTS, **self.scripts}
        for name, text in scripts.items():
            program = self.directory / name
            program.write_text(f"#!/bin/sh\necho {name} >>{self.log}\n{text}\n")
            program.chmod(0o755)
        return {**{name: [f"./{name}"] for name in scripts}, "seconds": self.seconds}

    def host(self) -> BackendHost:
        fixed = read_machine_file(dict(self.table()), self.directory / "box.toml")
        root = self.directory
        workspace = Workspace(root / "cache", root / "state", root / "run")
        return BackendHost(self.runner, HostClock(), workspace, machine=fixed)

    def backend(self) -> CommandBackend:
        backend = find_backend("command").type.make(self.host())
        assert isinstance(backend, CommandBackend)
        return backend

    def spec(self, *, channel: bool = False) -> GuestSpec:
        kernel = self.directory / "kernel"
        kernel.write_bytes(b"a kernel")
        return GuestSpec(
            "test", Topology.even(2), DirectKernel(kernel, "harness.nonce=0123"), Accelerator.NONE,
            None, self.directory / "com1",
            serial_sockets=(self.directory / "com2",) if channel else (),
        )  # fmt: skip

    @contextmanager
    def port(self) -> Iterator[SerialTap]:
        with SerialTap(self.directory / "com1") as tap:
            yield tap


def until_read(tap: SerialTap, text: bytes) -> bytes:
    """What came from a port up to some text, or to its end."""
    said = b""
    while text not in said:
        data = tap.read(60.0)
        if data == b"":
            break
        said += data or b""
    return said
