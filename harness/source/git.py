"""git, as the harness uses it: plumbing only, and never a change in the user's repository.

Every command reads the user's objects and writes to an index, an object store and a
work tree of our own (see git(1), ENVIRONMENT VARIABLES).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfraError, UsageError
from harness.host.process import Finished, Runner, failure

#: Settings of the user's that would change what we read or write.
_SETTINGS = (
    "core.autocrlf=false",
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.sparseCheckout=false",
    "core.quotePath=false",
    "gc.auto=0",
    "safe.directory=*",
    "advice.detachedHead=false",
)


@dataclass(frozen=True, slots=True)
class Repository:
    """A git directory that is read, and a store of our own for what is written.

    Args:
        git_dir: the repository.
        objects: our object store; the repository's is its alternate.
        runner: starts git.
    """

    git_dir: Path
    objects: Path
    runner: Runner

    def git(
        self,
        *arguments: str | Path,
        index: Path | None = None,
        work_tree: Path | None = None,
        stdin: bytes = b"",
        check: bool = True,
    ) -> Finished:
        """Run git.

        Args:
            arguments: the command and its arguments.
            index: the index file to use.
            work_tree: the files; without one the command must not need any.
            stdin: given on standard input.
            check: raise if git fails.

        Raises:
            InfraError: git is missing or (``check``) failed.
        """
        env = {
            "GIT_DIR": str(self.git_dir),
            "GIT_OBJECT_DIRECTORY": str(self.objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self._common_dir() / "objects"),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "LC_ALL": "C",
        }
        if index is not None:
            env["GIT_INDEX_FILE"] = str(index)
        if work_tree is not None:
            env["GIT_WORK_TREE"] = str(work_tree)
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        return self.runner.run(
            ["git", *settings, *arguments], cwd=work_tree, env=env, stdin=stdin, check=check
        )

    def lines(self, *arguments: str | Path, index: Path | None = None) -> list[str]:
        """The NUL-separated records that a ``-z`` command prints."""
        output = self.git(*arguments, index=index).stdout
        return [record.decode("utf-8", "surrogateescape") for record in output.split(b"\0")[:-1]]

    def commit(self, revision: str) -> str:
        """The full hash of a commit.

        Raises:
            UsageError: there is no such revision.
        """
        found = self.git(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}",
            check=False,
        )  # fmt: skip
        if found.returncode != 0:
            raise UsageError(
                f"there is no revision {revision!r} in {self.git_dir}",
                remedy="name a commit, tag or branch of that clone; git fetch brings newer ones",
            )
        return found.text.strip()

    def parent(self, revision: str) -> str:
        """The first parent of a commit.

        Raises:
            UsageError: it has none.
        """
        commit = self.commit(revision)
        found = self.git("rev-parse", "--verify", "--quiet", f"{commit}^1", check=False)
        if found.returncode != 0:
            raise UsageError(
                f"{commit[:12]} has no parent, so there is no kernel before it",
                remedy="name a later commit, or both ends with --before and --after",
            )
        return found.text.strip()

    def is_partial(self) -> bool:
        """Whether missing objects can be fetched from a promisor remote."""
        found = self.git("config", "--get-regexp", r"^remote\..*\.promisor$", check=False)
        return b"true" in found.stdout

    def _common_dir(self) -> Path:
        """The directory that linked work trees share; see gitrepository-layout(5)."""
        link = self.git_dir / "commondir"
        if link.is_file():
            return (self.git_dir / link.read_text().strip()).resolve()
        return self.git_dir


def git_directory(folder: Path, runner: Runner) -> Path | None:
    """The git directory whose work tree starts at ``folder``; None for a plain folder."""
    found = runner.run(
        ["git", "-c", "safe.directory=*", "-C", folder, "rev-parse",
         "--absolute-git-dir", "--show-toplevel"],
        check=False,
    )  # fmt: skip
    if found.returncode != 0:
        return None
    git_dir, _, top = found.text.strip().partition("\n")
    return Path(git_dir) if top and Path(top).resolve() == folder.resolve() else None


def clone(url: str, target: Path, runner: Runner) -> None:
    """Clone ``url`` without work tree and, where the server can, without file contents.

    Raises:
        InfraError: the network or the server failed.
        UsageError: there is no repository at the URL.
    """
    finished = runner.run(
        ["git", "clone", "--quiet", "--no-checkout", "--filter=blob:none", "--", url, target],
        env={"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        check=False,
    )
    if finished.returncode == 0:
        return
    error = finished.stderr.decode("utf-8", "replace").strip()
    if any(word in error for word in ("not found", "does not exist", "not appear to be a git")):
        raise UsageError(
            f"there is no git repository at {url}", remedy="correct --source", detail=error
        )
    raise InfraError(
        f"cannot clone {url}", remedy="see the cause below, then run it again", detail=error
    ) from failure(finished)
