"""The harness's git directory for each tree, and the environment of git commands.

A repository's configuration, attributes and hooks can name programs that git runs. Therefore git is
never started in the user's repository, but in a directory (gitrepository-layout(5)) with its own
configuration and attributes. The user's object store is its alternate, the user's references are
links in it, and a few values of the user's configuration are copied.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.errors import UsageError
from harness.host.process import Runner, failure
from harness.host.workspace import host_error, host_refused, make_directory, unique
from harness.source.gitconfig import copied_configuration, quoted
from harness.source.gitfiles import COMMITS, refuse_special_files

#: For every git command: no repository is searched for in the current directory; configuration and
#: attributes of the host are ignored; objects are not replaced (git-replace(1)), which would build
#: other content under the same hash; protocols that run commands (git-remote-ext(1)) are disabled.
ENVIRONMENT: Final = {
    "GIT_ALLOW_PROTOCOL": "https:ssh:git:file",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_DIR": os.devnull,
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}

#: Variables that transfers inherit: git's configuration, proxies, keys, certificates.
_OF_TRANSFERS: Final = (
    "GIT_CONFIG_GLOBAL", "XDG_CONFIG_HOME",
    "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
    "SSH_AUTH_SOCK", "GIT_SSH", "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip

#: Files are hashed and checked out without conversion, so that the hashed content is built.
_ATTRIBUTES: Final = (
    "* -text !eol !crlf !ident !filter !working-tree-encoding !merge !diff !conflict-marker-size\n"
)

#: References that each work tree has for itself (git-worktree(1), REFS).
_PER_WORK_TREE: Final = ("bisect", "rewritten", "worktree")

_MOST_COPIED: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class UserRepository:
    """A repository of the user.

    Args:
        top: the top directory of its work tree.
        git_dir: the git directory of the work tree.
        common_dir: the git directory that all its work trees share, often ``git_dir``.
    """

    top: Path
    git_dir: Path
    common_dir: Path

    @property
    def alternate(self) -> str:
        """Its object store, in the format of ``GIT_ALTERNATE_OBJECT_DIRECTORIES`` (git(1))."""
        path = str(self.common_dir / "objects")
        return quoted(path) if any(mark in path for mark in ':"\n') else path


def transfer_environment() -> dict[str, str]:
    """Return the environment of a git command that clones or fetches."""
    env = {
        name: value
        for name, value in ENVIRONMENT.items()
        if name not in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_NO_LAZY_FETCH")
    }
    return env | {name: os.environ[name] for name in _OF_TRANSFERS if name in os.environ}


def find_repository(directory: Path) -> UserRepository | None:
    """Return the repository whose work tree is ``directory``; None for a plain directory.

    ``.git`` may be a link, or a file that names the directory (gitrepository-layout(5)).

    Raises:
        UsageError: the git directory contains special files.
    """
    git_dir = directory / ".git"
    if git_dir.is_file():
        named = _first_line(git_dir)
        if not named.startswith("gitdir: "):
            return None
        git_dir = directory / named.removeprefix("gitdir: ")
    if not (git_dir / "HEAD").exists():
        return None
    git_dir = git_dir.resolve()
    refuse_special_files(git_dir)
    common_dir = git_dir
    if (git_dir / "commondir").is_file():
        common_dir = (git_dir / _first_line(git_dir / "commondir")).resolve()
    if not (common_dir / "objects").is_dir():
        return None
    if common_dir != git_dir:
        refuse_special_files(common_dir)
    return UserRepository(directory, git_dir, common_dir)


def refuse_foreign(repository: UserRepository, trusted: Sequence[Path]) -> None:
    """Refuse a repository of another user, as git does (safe.directory, git-config(1)).

    Args:
        repository: the user's repository.
        trusted: work trees that are accepted from any owner.

    Raises:
        UsageError: its work tree, ``.git`` or git directory belongs to another user.
    """
    if repository.top in (path.expanduser().resolve() for path in trusted):
        return
    for path in (repository.top / ".git", repository.top, repository.git_dir):
        owner = path.lstat().st_uid
        if owner not in _our_ids():
            raise UsageError(
                f"the repository is refused: {path} belongs to {_user_name(owner)}",
                remedy="if you trust its owner, add it to the settings: "
                f'[source] trust = ["{repository.top}"]',
            )


def _our_ids() -> Iterator[int]:
    """Generate this user's ID, and under sudo(8) that of the invoking user."""
    own = os.geteuid()
    yield own
    sudo = os.environ.get("SUDO_UID", "")
    if own == 0 and sudo.isdecimal():
        yield int(sudo)


def _user_name(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"


def serve(own: Path, source: UserRepository | None, runner: Runner) -> None:
    """Create the harness's git directory, or update it from the user's repository.

    Args:
        own: the harness's git directory.
        source: the user's repository; None for a plain directory.
        runner: starts git if the user's configuration has changed.

    Raises:
        InfraError: a file cannot be written.
        UsageError: the user's configuration cannot be read.
    """
    for name in ("objects", "info", "refs", "logs"):
        make_directory(own / name)
    _write(own / "info/attributes", _ATTRIBUTES)
    if source is None:
        _write(own / "config", copied_configuration([], None))
        _write(own / "HEAD", "ref: refs/heads/main\n")
        return
    _configure(own, source, runner)
    try:
        _link_references(own, source)
        _copy_files(own, source)
    except OSError as error:
        raise host_error(error) from error


def _configure(own: Path, source: UserRepository, runner: Runner) -> None:
    """Copy values of the user's configuration, if it has changed."""
    theirs, ours = source.common_dir / "config", own / "config"
    text = theirs.read_bytes() if theirs.is_file() else b""
    end = f"# of {hashlib.sha256(text).hexdigest()}\n"
    if ours.is_file() and ours.read_bytes().endswith(end.encode()):
        return
    pairs: list[tuple[str, str]] = []
    if text:
        # Includes are off for a file that is named (git-config(1), --includes).
        listed = runner.run(
            ["git", "config", "--file", theirs, "--no-includes", "--null", "--list"],
            env=ENVIRONMENT,
            check=False,
        )
        if listed.returncode != 0:
            raise UsageError(
                f"git cannot read {theirs}",
                remedy=f"correct the file: git config --file {shlex.quote(str(theirs))} --list",
                detail=failure(listed).detail,
            )
        records = listed.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
        pairs = [_pair(record) for record in records]
    _write(ours, copied_configuration(pairs, source.top) + end)


def _pair(record: str) -> tuple[str, str]:
    """Return key and value; a key without a value is true (git-config(1), "Values")."""
    key, has_value, value = record.partition("\n")
    return key, value if has_value else "true"


def _link_references(own: Path, source: UserRepository) -> None:
    """Link to every namespace of references, so that their current values are read."""
    links: dict[str, Path] = {
        "packed-refs": source.common_dir / "packed-refs",
        "info/exclude": source.common_dir / "info/exclude",
        "logs/HEAD": source.git_dir / "logs/HEAD",
        "logs/refs": source.common_dir / "logs/refs",
        "reftable": source.common_dir / "reftable",
    }
    for directory in {source.common_dir, source.git_dir}:
        for path in (directory / "refs").iterdir() if (directory / "refs").is_dir() else ():
            if directory == source.git_dir or path.name not in _PER_WORK_TREE:
                links[f"refs/{path.name}"] = path
    for path in (own / "refs").iterdir():
        if f"refs/{path.name}" not in links:
            _remove(path)
    for name, target in links.items():
        _link(own / name, target)


def _link(link: Path, target: Path) -> None:
    """Create a link to ``target``, or remove it if ``target`` does not exist."""
    if not target.exists():
        _remove(link)
    elif not (link.is_symlink() and os.readlink(link) == str(target)):
        _remove(link)
        link.symlink_to(target)


def _copy_files(own: Path, source: UserRepository) -> None:
    """Copy the files for which git does not follow links, or would write through them."""
    for name in COMMITS:
        _copy(source.git_dir / name, own / name)
    _copy(source.common_dir / "shallow", own / "shallow")
    shared = {path.name: path for path in source.git_dir.glob("sharedindex.*")}
    for path in own.glob("sharedindex.*"):
        if path.name not in shared:
            path.unlink()
    for name, path in shared.items():
        if not (own / name).exists():  # the name contains the hash of the content
            shutil.copy2(path, own / name)


def _copy(theirs: Path, ours: Path) -> None:
    if theirs.is_file() and theirs.stat().st_size <= _MOST_COPIED:
        _write(ours, theirs.read_bytes())
    else:
        ours.unlink(missing_ok=True)


def _write(path: Path, data: str | bytes) -> None:
    """Replace a file atomically if its content differs."""
    content = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    if path.is_symlink() or not path.is_file() or path.read_bytes() != content:
        temporary = path.with_name(f".{path.name}.{unique()}")
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise host_refused(path, error) from error


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _first_line(path: Path) -> str:
    with path.open("rb") as file:
        return os.fsdecode(file.readline(4096).rstrip(b"\r\n"))
