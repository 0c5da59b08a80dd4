"""Small source trees that attack who looks at them; what an attack reaches is told by a file."""

from __future__ import annotations

from pathlib import Path

from small_tree import git

#: What git runs for a repository, with what names it in the repository's configuration.
PROGRAMS = (
    "core.alternateRefsCommand", "core.askPass", "core.editor", "core.fsmonitor", "core.gitProxy",
    "core.pager", "core.sshCommand", "credential.helper", "diff.evil.command",
    "diff.evil.textconv", "diff.external", "filter.evil.clean", "filter.evil.smudge",
    "gpg.program", "merge.evil.driver", "pager.log", "remote.origin.uploadpack", "sequence.editor",
    "uploadpack.packObjectsHook",
)  # fmt: skip

#: All that makes content and files differ, and git run something.
ATTRIBUTES = (
    "* text eol=crlf ident filter=evil diff=evil merge=evil\n*.u working-tree-encoding=UTF-16\n"
)


def program(directory: Path) -> tuple[Path, Path]:
    """A program that leaves a trace; gives it, and the file that is there once it has run."""
    directory.mkdir(exist_ok=True)
    ran, path = directory / "ran", directory / "evil"
    path.write_text(f'#!/bin/sh\necho "$0" "$@" >>{ran}\nexit 1\n')
    path.chmod(0o755)
    return path, ran


def arm(tree: Path, evil: Path) -> None:
    """Name the program wherever git may look: configuration, hooks, attributes, a submodule."""
    _submodule(tree / "sys/sub", evil)
    own = tree / ".git"
    included = evil.with_name("included")
    for name in PROGRAMS:
        git(tree, "config", name, str(evil))
        git(tree, "config", "--file", str(included), name, str(evil))
        git(tree, "config", "--file", str(own / "config.worktree"), name, str(evil))
    git(tree, "config", "filter.evil.required", "true")
    git(tree, "config", "include.path", str(included))
    git(tree, "config", "includeIf.gitdir:/.path", str(included))
    git(tree, "config", "extensions.worktreeConfig", "true")
    git(tree, "config", "core.hooksPath", str(_hooks(own / "hooks", evil)))
    (own / "info").mkdir(exist_ok=True)
    for path in (tree / ".gitattributes", own / "info/attributes"):
        path.write_text(ATTRIBUTES)


def _hooks(directory: Path, evil: Path) -> Path:
    directory.mkdir(exist_ok=True)
    for name in ("post-checkout", "post-index-change", "reference-transaction", "pre-auto-gc"):
        (directory / name).symlink_to(evil)
    return directory


def _submodule(directory: Path, evil: Path) -> None:
    """git-diff(1) asks a git in each submodule whether it has changed."""
    directory.mkdir(parents=True)
    git(directory, "init", "--quiet")
    git(directory, "commit", "--quiet", "--allow-empty", "--message", "sub")
    top = directory.parents[1]
    (top / ".gitmodules").write_text('[submodule "s"]\n\tpath = sys/sub\n\tignore = none\n')
    name = git(directory, "rev-parse", "HEAD")
    git(top, "update-index", "--add", "--cacheinfo", f"160000,{name},sys/sub")
    git(directory, "config", "core.fsmonitor", str(evil))
