"""The coverage of the followed functions, over all host programs of a run."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from harness.errors import InfraError
from harness.host.workspace import make_directory, write_atomic
from harness.kernel.toolchain import Llvm, installed_llvms
from harness.onhost.coveragetools import CoverageTools
from harness.onhost.objects import plain_file
from harness.onhost.profile import COUNTERS, added

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.onhost.coverage import Coverage
    from harness.onhost.part import HostPart
    from harness.onhost.programs import HostProgram
    from harness.runs.environment import Environment


@dataclass(slots=True)
class HostCoverage:
    """Collects what the programs of a run have counted.

    Args:
        env: the host.
        parts: whose functions are followed.
    """

    env: Environment
    parts: Sequence[HostPart]
    _counters: bytes = field(default=b"")

    def collect(self, scratch: Path) -> None:
        """Add what programs that have ended have counted in their working directory.

        Raises:
            InfraError: something else is in the place of the file.
        """
        if os.path.lexists(scratch / COUNTERS):
            self._counters = added(self._counters, plain_file(scratch / COUNTERS).read_bytes())

    @property
    def has_counted(self) -> bool:
        """Whether any program has started to count."""
        return bool(self._counters)

    def measured(self, program: HostProgram, directory: Path | None = None) -> Coverage:
        """Return what was executed of the followed functions, if anything was counted.

        Args:
            program: that has counted.
            directory: where to write it as text, JSON and HTML, if anywhere.

        Raises:
            InfraError: LLVM's tools are missing or fail, or the directory cannot be written to.
        """
        paths = {PurePosixPath(path).name: path for part in self.parts for path in part.functions}
        with self.env.workspace.scratch("coverage") as scratch:
            tools = CoverageTools(
                program, paths, _llvm_of(program), self.env.runner, scratch, self.env.sandboxed
            )
            coverage = tools.coverage(self._counters, self._is_followed)
            if directory is not None:
                make_directory(directory)
                tools.html(coverage, directory / "html")
                write_atomic(directory / "coverage.txt", coverage.text())
                document = json.dumps(coverage.document(), indent=1)
                write_atomic(directory / "coverage.json", f"{document}\n")
        return coverage

    def _is_followed(self, path: str, function: str) -> bool:
        return any(part.has_function(path, function) for part in self.parts)


def _llvm_of(program: HostProgram) -> Llvm:
    """Return the LLVM that has compiled a program."""
    found = re.search(r"version (\d+)", program.identity.compiler)
    major = int(found[1]) if found else 0
    for llvm in installed_llvms():
        if llvm.major == major:
            return llvm
    raise InfraError(
        f"LLVM {major}, which has compiled the host program, is no longer installed",
        remedy=f"install: apt-get install llvm-{major}",
    )
