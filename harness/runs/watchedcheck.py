"""Checks of a tree's files on the host, each time that one of them is saved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError, UsageError
from harness.host.saves import watched
from harness.provide.sources import NAMED_SOURCES
from harness.runs.check import CheckRunResult, check
from harness.runs.checkplans import checked_subsystems
from harness.runs.checkrequest import CheckRequest, On
from harness.source.location import is_url

if TYPE_CHECKING:
    from harness.runs.environment import Environment
    from harness.runs.view import View


@dataclass(frozen=True, slots=True)
class FollowedFiles:
    """The files of a tree whose saves are judged: those that the program follows, and the headers
    beside them.

    Args:
        top: of the tree.
        paths: of the files, below it.
    """

    top: Path
    paths: tuple[str, ...]

    @property
    def directories(self) -> list[Path]:
        """Their directories."""
        return sorted({(self.top / path).parent for path in self.paths})

    def holds(self, path: Path) -> bool:
        """Whether a file in one of the directories is one of them."""
        return path.suffix == ".h" or path in {self.top / each for each in self.paths}


def followed_files(request: CheckRequest, env: Environment) -> FollowedFiles:
    """Return the files that a check on the host follows.

    Raises:
        UsageError: the check follows no file that can be saved.
    """
    what = request.what
    if request.on is not On.HOST:
        raise UsageError(
            "--watch checks host programs: a guest takes too long for each save",
            remedy="add --on host",
        )
    if what.change.revision is not None:
        raise UsageError(
            f"--watch judges files as they are saved, and {what.change.option} "
            f"{what.change.revision} names a revision, which does not change",
            remedy=f"leave {what.change.option} out, and name its work tree with --source",
        )
    top = None
    if what.kernel is None and what.source not in NAMED_SOURCES and not is_url(what.source):
        top = env.open_tree(what.source).files
    if top is None:
        raise UsageError(
            f"--watch judges files as they are saved, and {what.kernel or what.source} has none "
            "that are compiled as a host program",
            remedy="name the work tree of a FreeBSD tree: --source DIR",
        )
    subsystems, _ = checked_subsystems(request, env.kernels().provider(what))
    parts = [part for each in subsystems if (part := each.on_host) is not None]
    paths = tuple(dict.fromkeys(path for part in parts for path in part.follows))
    files = FollowedFiles(top, paths)
    _require(files)
    return files


def _require(files: FollowedFiles) -> None:
    for directory in files.directories:
        if not directory.is_dir():
            raise UsageError(
                f"{directory} is gone, whose files were to be followed",
                remedy="begin anew once the tree is complete",
            )


def judgements(
    request: CheckRequest, env: Environment, view: View
) -> Iterator[CheckRunResult | HarnessError]:
    """Generate the results of a check of the files as they are, and of one after each save.

    Files that are saved during a check are judged together once it is done, in their newest state.
    It does not end by itself.

    Raises:
        UsageError: see ``followed_files``; or the files' directory has gone.
        InfraError: the host cannot watch the files.
    """
    files = followed_files(request, env)
    with watched(files.directories, files.holds) as saves:
        while True:
            try:
                yield check(request, env, view)
            except HarnessError as error:
                yield error
            view.note(f"waiting for {' or '.join(files.paths)} to be saved; Ctrl-C ends")
            saved = saves.wait()
            _require(files)
            names = sorted(str(path.relative_to(files.top)) for path in saved)
            view.note(f"saved: {', '.join(names)}")
