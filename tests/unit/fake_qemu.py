"""A program in QEMU's place that behaves under each accelerator as it is told."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.arch import GUEST

WORKS = "printf '<mprcsfito>'; exit 0"
WORKS_SLOWLY = "printf '<'; sleep 0.2; printf 'mprcsfito>'; exit 0"
HANGS = "exec sleep 1000"
REPORTS_AND_HANGS = "echo 'KVM internal error. Suberror: 1' >&2; printf '<'; exec sleep 1000"
REFUSES = f"echo '{GUEST.program}: failed to initialize kvm: Invalid argument' >&2; exit 1"
DIES = "kill -SEGV $$"

SCRIPT = """#!/bin/sh
echo "$@" >>{log}
case "$*" in
*--version*) echo "QEMU emulator version {version}"; echo "Copyright";;
*"-accel kvm"*) . "$0.kvm";;
*"-accel tcg"*) . "$0.tcg";;
esac
"""


@dataclass(frozen=True)
class FakeQemu:
    """Stands first in PATH."""

    directory: Path

    @classmethod
    def installed(cls, directory: Path, monkeypatch: pytest.MonkeyPatch) -> FakeQemu:
        directory.mkdir()
        monkeypatch.setenv("PATH", str(directory), prepend=os.pathsep)
        return cls(directory)

    def behaves(
        self, *, kvm: str = WORKS, tcg: str = WORKS_SLOWLY, version: str = "7.2.22"
    ) -> None:
        """Another behaviour is the same program's; another version is another program."""
        (self.directory / f"{GUEST.program}.kvm").write_text(kvm)
        (self.directory / f"{GUEST.program}.tcg").write_text(tcg)
        program = self.directory / GUEST.program
        text = SCRIPT.format(log=self._log, version=version)
        if not program.exists() or program.read_text() != text:
            program.write_text(text)
            program.chmod(0o755)

    def guests(self) -> list[str]:
        """The accelerators of the guests since it was last asked."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        self._log.unlink(missing_ok=True)
        return [line.split()[1].partition(",")[0] for line in lines if line.startswith("-accel")]

    @property
    def _log(self) -> Path:
        return self.directory / "log"
