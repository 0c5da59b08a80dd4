"""A git directory of the harness's own for each tree, and the environment of every git command.

A repository's configuration, attributes and hooks can name programs that git runs. So git is never
started in the user's repository. It is started in a directory of ours (gitrepository-layout(5))
whose configuration and attributes are ours, whose object store has the user's as its alternate,
and in which the user's references are links. Of the user's configuration a few values are copied.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.errors import UsageError
from harness.host.process import Runner, failure
from harness.host.workspace import host_error, host_refused, make_folder, unique
from harness.source.gitconfig import copied_configuration, quoted
from harness.source.gitfiles import COMMITS, refuse_special_files

#: For every git command: no repository but one that is named, whatever directory it is run in;
#: none of the host's configuration and attributes; no replacement of objects (git-replace(1)),
#: which would build other content under the same hash; and no protocol that runs a command
#: (git-remote-ext(1)).
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

#: What the user may have set for transfers: git's configuration, proxies, keys, certificates.
_OF_TRANSFERS: Final = (
    "GIT_CONFIG_GLOBAL", "XDG_CONFIG_HOME",
    "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
    "SSH_AUTH_SOCK", "GIT_SSH", "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip

#: Files are hashed and checked out byte by byte: what is hashed is what is built.
_ATTRIBUTES: Final = (
    "* -text !eol !crlf !ident !filter !working-tree-encoding !merge !diff !conflict-marker-size\n"
)

#: References of the work tree alone, and those of all its repository's work trees but these
#: (git-worktree(1), REFS).
_PER_WORK_TREE: Final = ("bisect", "rewritten", "worktree")

_MOST_COPIED: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class UserRepository:
    """A repository of the user's.

    Args:
        top: the directory of its work tree.
        git_dir: of the work tree.
        common_dir: that all its work trees share; ``git_dir`` where there is but one.
    """

    top: Path
    git_dir: Path
    common_dir: Path

    @property
    def alternate(self) -> str:
        """Its object store, as ``GIT_ALTERNATE_OBJECT_DIRECTORIES`` has it (git(1))."""
        path = str(self.common_dir / "objects")
        return quoted(path) if any(mark in path for mark in ':"\n') else path


def transfer_environment() -> dict[str, str]:
    """The environment of a git command that clones or fetches."""
    env = {
        name: value
        for name, value in ENVIRONMENT.items()
        if name not in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_NO_LAZY_FETCH")
    }
    return env | {name: os.environ[name] for name in _OF_TRANSFERS if name in os.environ}


def find_repository(folder: Path) -> UserRepository | None:
    """The repository whose work tree starts at ``folder``; None for a plain directory.

    ``.git`` may be a link, or a file that names the directory (gitrepository-layout(5)).

    Raises:
        UsageError: git would wait for a file of it, or find a directory in the place of one.
    """
    git_dir = folder / ".git"
    if git_dir.is_file():
        named = _first_line(git_dir)
        if not named.startswith("gitdir: "):
            return None
        git_dir = folder / named.removeprefix("gitdir: ")
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
    return UserRepository(folder, git_dir, common_dir)


def refuse_foreign(repository: UserRepository, trusted: Sequence[Path]) -> None:
    """Refuse a repository of another user, as git does (safe.directory, git-config(1)).

    Args:
        repository: the user's.
        trusted: work trees that are accepted whoever owns them.

    Raises:
        UsageError: its work tree, ``.git`` or git directory is another user's.
    """
    if repository.top in (path.expanduser().resolve() for path in trusted):
        return
    for path in (repository.top / ".git", repository.top, repository.git_dir):
        owner = path.lstat().st_uid
        if owner not in _our_ids():
            raise UsageError(
                f"{path} belongs to {_user_name(owner)}, so git would refuse the repository",
                remedy="if you trust its owner, add it to the settings: "
                f'[source] trust = ["{repository.top}"]',
            )


def _our_ids() -> Iterator[int]:
    """Ours, and that of who became root with sudo(8)."""
    own = os.geteuid()
    yield own
    sudo = os.environ.get("SUDO_UID", "")
    if own == 0 and sudo.isdecimal():
        yield int(sudo)


def _user_name(uid: int) -> str:
    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user {uid}"


def serve(own: Path, source: UserRepository | None, runner: Runner) -> None:
    """Make a git directory of ours, or bring it up to the state of the user's.

    Args:
        own: our directory.
        source: what is read through it; None for nothing but what we write ourselves.
        runner: starts git, where the user's configuration has changed.

    Raises:
        InfraError: the host does not let us write.
        UsageError: the user's configuration cannot be read.
    """
    for name in ("objects", "info", "refs", "logs"):
        make_folder(own / name)
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
    """Copy what we take of the user's configuration, if it has changed since."""
    theirs, ours = source.common_dir / "config", own / "config"
    text = theirs.read_bytes() if theirs.is_file() else b""
    end = f"# of {hashlib.sha256(text).hexdigest()}\n"
    if ours.is_file() and ours.read_bytes().endswith(end.encode()):
        return
    pairs: list[tuple[str, str]] = []
    if text:
        # A file that is named includes no others (git-config(1), --includes).
        listed = runner.run(
            ["git", "config", "--file", theirs, "--no-includes", "--null", "--list"],
            env=ENVIRONMENT,
            check=False,
        )
        if listed.returncode != 0:
            raise UsageError(
                f"git cannot read {theirs}",
                remedy="correct that file",
                detail=failure(listed).detail,
            )
        records = listed.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
        pairs = [_pair(record) for record in records]
    _write(ours, copied_configuration(pairs, source.top) + end)


def _pair(record: str) -> tuple[str, str]:
    """Key and value; a key that has none is true (git-config(1), "Values")."""
    key, has_value, value = record.partition("\n")
    return key, value if has_value else "true"


def _link_references(own: Path, source: UserRepository) -> None:
    """Every namespace of references is a link, so that what is read is what there is now."""
    links: dict[str, Path] = {
        "packed-refs": source.common_dir / "packed-refs",
        "info/exclude": source.common_dir / "info/exclude",
        "logs/HEAD": source.git_dir / "logs/HEAD",
        "logs/refs": source.common_dir / "logs/refs",
        "reftable": source.common_dir / "reftable",
    }
    for folder in {source.common_dir, source.git_dir}:
        for path in (folder / "refs").iterdir() if (folder / "refs").is_dir() else ():
            if folder == source.git_dir or path.name not in _PER_WORK_TREE:
                links[f"refs/{path.name}"] = path
    for path in (own / "refs").iterdir():
        if f"refs/{path.name}" not in links:
            _remove(path)
    for name, target in links.items():
        _link(own / name, target)


def _link(link: Path, target: Path) -> None:
    """Make ``link`` lead to ``target``, or not be there if that is not."""
    if not target.exists():
        _remove(link)
    elif not (link.is_symlink() and os.readlink(link) == str(target)):
        _remove(link)
        link.symlink_to(target)


def _copy_files(own: Path, source: UserRepository) -> None:
    """What git would follow no link to, or write through one."""
    for name in COMMITS:
        _copy(source.git_dir / name, own / name)
    _copy(source.common_dir / "shallow", own / "shallow")
    shared = {path.name: path for path in source.git_dir.glob("sharedindex.*")}
    for path in own.glob("sharedindex.*"):
        if path.name not in shared:
            path.unlink()
    for name, path in shared.items():
        if not (own / name).exists():  # a name stands for its content
            shutil.copy2(path, own / name)


def _copy(theirs: Path, ours: Path) -> None:
    if theirs.is_file() and theirs.stat().st_size <= _MOST_COPIED:
        _write(ours, theirs.read_bytes())
    else:
        ours.unlink(missing_ok=True)


def _write(path: Path, data: str | bytes) -> None:
    """Replace a file that has not that content; each is read again before it is used."""
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
