"""Runs llvm-profdata(1) and llvm-cov(1) on what a host program has counted, in the sandbox."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.errors import InfraError
from harness.host.sandbox import Sandbox
from harness.host.workspace import make_directory
from harness.onhost.coverage import Coverage, read_coverage
from harness.onhost.objects import plain_file
from harness.onhost.profile import text_profile

if TYPE_CHECKING:
    from harness.host.process import Runner
    from harness.kernel.toolchain import Llvm
    from harness.onhost.programs import HostProgram

TOOLS: Final = ("llvm-profdata", "llvm-cov")
_SECONDS: Final = 300
_PROFILE: Final = "coverage.profdata"


@dataclass(frozen=True, slots=True)
class CoverageTools:
    """Reads what one program has counted.

    Args:
        program: compiled with ``covered``.
        paths: the files whose coverage it has, by their names in the program's directory.
        llvm: the LLVM that has compiled it.
        runner: starts processes.
        scratch: a directory to write to.
        sandboxed: whether they run in a sandbox.
    """

    program: HostProgram
    paths: dict[str, str]
    llvm: Llvm
    runner: Runner
    scratch: Path
    sandboxed: bool

    def coverage(self, counters: bytes, is_followed: Callable[[str, str], bool]) -> Coverage:
        """Return what was executed of the followed functions.

        Args:
            counters: of all runs.
            is_followed: returns whether a function of a file is followed.

        Raises:
            InfraError: LLVM's tools are missing, or fail.
        """
        for name, path in self.paths.items():
            make_directory((self.scratch / path).parent)
            shutil.copyfile(self.program.directory / name, self.scratch / path)
        profile = self.scratch / "counts.proftext"
        profile.write_bytes(text_profile(self.program.path.read_bytes(), counters))
        self._run("llvm-profdata", "merge", profile.name, "-o", _PROFILE)
        text = self._run("llvm-cov", "export", *self._of_program())
        try:
            export: dict[str, Any] = json.loads(text)
            return read_coverage(export, is_followed)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InfraError(
                f"llvm-cov of LLVM {self.llvm.major} exports another format: {error!r}",
                remedy="use LLVM 14 to 19",
            ) from error

    def html(self, coverage: Coverage, directory: Path) -> None:
        """Write the followed functions' lines with their counts as HTML, after ``coverage``.

        Raises:
            InfraError: llvm-cov fails, or the directory cannot be written to.
        """
        names = "|".join(each.name for each in coverage.functions)
        self._run(
            "llvm-cov", "show", *self._of_program(), "-format=html", "-output-dir=html",
            "-show-branches=count", f"-name-regex=(^|[:;])({names})$",
        )  # fmt: skip
        for path in sorted((self.scratch / "html").rglob("*")):
            if not path.is_dir():
                target = directory / path.relative_to(self.scratch / "html")
                make_directory(target.parent)
                shutil.copyfile(plain_file(path), target)

    def _of_program(self) -> list[str]:
        return [str(self.program.path), f"-instr-profile={_PROFILE}"]

    def _run(self, tool: str, *arguments: str) -> str:
        path = self.llvm.bindir / tool
        if not path.is_file():
            raise InfraError(
                f"{tool} of LLVM {self.llvm.major} is not installed, which reads coverage",
                remedy=f"install: apt-get install llvm-{self.llvm.major}",
            )
        words: list[str | Path] = [path, *arguments]
        if self.sandboxed:
            readable = (self.program.directory,)
            words = Sandbox(readable, (self.scratch,)).words(words, self.scratch)
        finished = self.runner.run(
            words, cwd=self.scratch, env={"LC_ALL": "C"}, deadline=_SECONDS, check=False
        )
        if finished.returncode != 0:
            said = finished.stderr.decode("utf-8", "replace")
            raise InfraError(
                f"{tool} fails on what the host program has counted",
                remedy="check without --coverage",
                detail="\n".join(said.splitlines()[:20]),
            )
        return finished.text
