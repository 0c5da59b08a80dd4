"""Clones git repositories from a URL."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from harness.errors import InfraError, UsageError
from harness.host.process import failure
from harness.host.workspace import write_atomic
from harness.source.gitdir import transfer_environment

if TYPE_CHECKING:
    from harness.host.process import Runner


def unreachable(url: str, runner: Runner, seconds: float) -> str:
    """Return git's error for a repository that cannot be reached; empty if it can.

    Args:
        url: URL of the repository.
        runner: starts git.
        seconds: the timeout.
    """
    try:
        finished = runner.run(
            ["git", "ls-remote", "--quiet", "--", url, "HEAD"],
            env=transfer_environment(), deadline=seconds, check=False,
        )  # fmt: skip
    except InfraError as error:  # git is not installed, or the timeout expired
        return error.message
    if finished.returncode == 0:
        return ""
    lines = finished.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"git failed with exit status {finished.returncode}"


def clone(url: str, target: Path, runner: Runner) -> None:
    """Clone ``url`` without a work tree and, if the server supports it, without file contents.

    Raises:
        InfraError: the network or the server failed.
        UsageError: there is no repository at the URL, or git refuses it.
    """
    if not _is_url(url):
        raise UsageError(
            f"{url} is not the URL of a repository",
            remedy="write --source as for git clone: https://HOST/PATH, ssh://HOST/PATH or "
            "git@HOST:PATH",
        )
    words = ("clone", "--quiet", "--no-checkout", "--template=", "--filter=blob:none", "--")
    finished = runner.run(
        ["git", "-c", "core.hooksPath=/dev/null", *words, url, target],
        env=transfer_environment(),
        check=False,
    )
    if finished.returncode == 0:
        return
    error = finished.stderr.decode("utf-8", "replace").strip()
    if "dubious ownership" in error:
        raise UsageError(
            f"git refuses the repository at {url}: it belongs to another user",
            remedy="if you trust its owner: git config --global --add safe.directory DIR",
            detail=error,
        )
    if "transport '" in error and "not allowed" in error:
        raise UsageError(
            f"the protocol of {url} is not supported",
            remedy="use an https, ssh, git or file URL",
            detail=error,
        )
    if any(word in error for word in ("not found", "does not exist", "not appear to be a git")):
        raise UsageError(
            f"there is no git repository at {url}",
            remedy=f"check --source: git ls-remote {shlex.quote(url)}",
            detail=error,
        )
    raise InfraError(
        f"cannot clone {url}",
        remedy=f"check the connection: git ls-remote {shlex.quote(url)}",
        detail=error,
    ) from failure(finished)


def fetch(home: Path, runner: Runner) -> None:
    """Fetch all branches of a URL's clone from its server; those that it no longer has are removed.

    Args:
        home: see ``cloned``.
        runner: starts git.

    Raises:
        InfraError: the network or the server failed.
    """
    finished = runner.run(
        ["git", "-c", "core.hooksPath=/dev/null", "fetch", "--quiet", "--prune", "--no-tags",
         "origin", "+refs/heads/*:refs/remotes/origin/*"],
        env={**transfer_environment(), "GIT_DIR": str(cloned(home) / ".git")},
        check=False,
    )  # fmt: skip
    if finished.returncode != 0:
        raise InfraError(
            "cannot fetch new revisions",
            remedy="check the connection: git ls-remote URL",
            detail=finished.stderr.decode("utf-8", "replace").strip(),
        ) from failure(finished)


def _is_url(text: str) -> bool:
    """Return whether a text is the URL of a repository, with a host and a path."""
    if "://" not in text:
        host, colon, path = text.partition(":")
        return bool(host.removeprefix("git@") and colon and path)
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname) and not str(parts.hostname).startswith("-")
    except ValueError:
        return False
    return bool(parts.scheme and parts.path and (named or parts.scheme == "file"))


def cloned(home: Path) -> Path:
    """Return the directory of a URL's clone."""
    return home / "clone"


def clone_once(url: str, home: Path, runner: Runner) -> None:
    """Clone a URL unless a complete clone exists; the file ``cloning`` marks an incomplete one."""
    mark, target = home / "cloning", cloned(home)
    if not (target / ".git/HEAD").is_file() or mark.exists():
        shutil.rmtree(target, ignore_errors=True)
        write_atomic(mark, "")
        clone(url, target, runner)
        mark.unlink()
