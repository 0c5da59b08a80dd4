"""Files to and from a server over SSH, with SFTP and without; what comes back is hostile."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from hostile_sftp import Entry, directory, hostile_server, link, listing
from leaks import nothing_leaked
from own_mounts import mounts_as_root
from ssh_server import SshServer, ssh_server

from harness.errors import UsageError
from harness.host.clock import HostClock
from harness.shell.received import ReceiveLimits
from harness.shell.shell import ShellDataError, ShellError, ShellLostError, ShellRefusedError
from harness.shell.ssh.keys import make_key
from harness.shell.ssh.shell import SshShell
from harness.shell.ssh.tar import archive

MIB = 1 << 20


@pytest.fixture(scope="module", params=["internal-sftp", "none"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SshServer]:
    """With SFTP, and with a subsystem that does not exist."""
    sftp = "internal-sftp" if request.param == "internal-sftp" else "/nonexistent/sftp-server"
    with nothing_leaked(), ssh_server(tmp_path_factory.mktemp("sshd"), sftp) as one:
        yield one


@pytest.fixture(scope="module")
def shell(server: SshServer) -> SshShell:
    return server.connected()


@pytest.fixture
def here(tmp_path: Path) -> Path:
    place = tmp_path / "here"
    place.mkdir()
    return place


@pytest.fixture
def there(tmp_path: Path) -> PurePosixPath:
    place = tmp_path / "there"
    place.mkdir()
    return PurePosixPath(place)


def tree(top: Path) -> dict[str, tuple[int, bytes | str]]:
    """All that a directory has: kind and executability, content or target."""
    found: dict[str, tuple[int, bytes | str]] = {}
    for path in sorted(top.rglob("*")):
        mode = path.lstat().st_mode
        name = str(path.relative_to(top))
        if path.is_symlink():
            found[name] = (0, os.readlink(path))
        else:
            content = path.read_bytes() if path.is_file() else b""
            found[name] = (stat.S_IFMT(mode) | mode & stat.S_IXUSR, content)
    return found


def names(place: Path | PurePosixPath) -> list[str]:
    return sorted(os.listdir(place))


def made(place: Path) -> Path:
    top = place / "top"
    (top / "sub" / "deeper").mkdir(parents=True)
    (top / "empty").mkdir()
    (top / "sub" / "odd name'\n!$(é)").write_bytes(b"odd")
    (top / "sub" / "program").write_bytes(b"#!/bin/sh\n")
    (top / "sub" / "program").chmod(0o755)
    (top / "long").write_bytes(os.urandom(300_001))
    (top / "nothing").touch()
    (top / "sub" / "link").symlink_to("../long")
    (top / "down").symlink_to("sub/deeper")
    return top


def test_a_directory_comes_back_as_it_went(
    shell: SshShell, here: Path, there: PurePosixPath
) -> None:
    top = made(here)
    shell.put(top, there / "copy")
    assert tree(Path(there / "copy")) == tree(top)
    shell.get(there / "copy", here / "back")
    assert tree(here / "back") == tree(top)
    assert names(here) == ["back", "top"]
    assert names(there) == ["copy"]


def test_a_file_replaces_another_and_keeps_its_mode(
    shell: SshShell, here: Path, there: PurePosixPath
) -> None:
    (here / "new").write_bytes(b"new")
    (here / "new").chmod(0o750)
    Path(there / "old").write_bytes(b"much older")
    shell.put(here / "new", there / "old")
    assert Path(there / "old").read_bytes() == b"new"
    assert Path(there / "old").stat().st_mode & 0o777 == 0o750
    (here / "target").write_bytes(b"older")
    shell.get(there / "old", here / "target")
    assert (here / "target").read_bytes() == b"new"
    assert os.access(here / "target", os.X_OK)
    assert names(here) == ["new", "target"]


def test_links_that_are_named_themselves_are_followed(
    shell: SshShell, here: Path, there: PurePosixPath
) -> None:
    (here / "file").write_bytes(b"content")
    (here / "link").symlink_to("file")
    shell.put(here / "link", there / "copy")
    Path(there / "other").symlink_to("copy")
    shell.get(there / "other", here / "back")
    assert (here / "back").read_bytes() == b"content"
    assert not (here / "back").is_symlink()


def test_what_exists_is_not_replaced_by_a_directory(
    shell: SshShell, here: Path, there: PurePosixPath
) -> None:
    top = made(here)
    shell.put(top, there / "copy")
    with pytest.raises(ShellRefusedError, match="it exists in the guest"):
        shell.put(top, there / "copy")
    with pytest.raises(ShellRefusedError, match="it exists in the guest"):
        shell.put(top / "long", there / "copy")
    with pytest.raises(OSError, match="not empty"):
        shell.get(there / "copy", top)
    assert names(there) == ["copy"]
    assert names(here) == ["top"]


def test_what_is_not_there_is_named(shell: SshShell, here: Path, there: PurePosixPath) -> None:
    with pytest.raises(ShellRefusedError, match=r"gone.*[Nn]o such file"):
        shell.get(there / "gone", here / "back")
    with pytest.raises(FileNotFoundError):
        shell.put(here / "gone", there / "copy")
    with pytest.raises(FileNotFoundError):
        shell.get(there, here / "no" / "directory")
    (here / "file").touch()
    with pytest.raises(ShellRefusedError, match=r"[Nn]o such file|nonexistent"):
        shell.put(here / "file", there / "no" / "directory")
    with pytest.raises(UsageError, match="cannot put a file as /"):
        shell.put(here / "file", PurePosixPath("/"))
    assert names(here) == ["file"]
    assert shell.run("true").succeeded


def test_what_is_no_file_is_neither_sent_nor_taken(
    shell: SshShell, here: Path, there: PurePosixPath
) -> None:
    (here / "top").mkdir()
    os.mkfifo(here / "top" / "pipe")
    with pytest.raises(OSError, match="not a file, a directory or a link"):
        shell.put(here / "top", there / "copy")
    assert names(there) == []
    with pytest.raises(ShellError, match=r"pipe|not a file"):
        shell.get(PurePosixPath(here / "top"), here / "back")
    with pytest.raises(ShellError, match=r"is a device|not a file"):
        shell.get(PurePosixPath("/dev/zero"), here / "back")
    assert names(here) == ["top"]


def test_a_link_that_leads_out_is_refused(
    shell: SshShell, here: Path, there: PurePosixPath
) -> None:
    Path(there / "top").mkdir()
    Path(there / "top" / "out").symlink_to("/etc/passwd")
    with pytest.raises(ShellDataError, match="/out is a link to '/etc/passwd', which may lead out"):
        shell.get(there / "top", here / "back")
    assert names(here) == []


def test_more_than_the_limits_is_refused_and_leaves_nothing(
    server: SshServer, here: Path, there: PurePosixPath
) -> None:
    top = Path(there / "top")
    (top / "a" / "b").mkdir(parents=True)
    (top / "long").write_bytes(bytes(100_000))
    for limits, words in (
        (ReceiveLimits(size=99_999), "exceeds the limit of 99999 bytes"),
        (ReceiveLimits(entries=3), "more than 3 entries"),
        (ReceiveLimits(depth=1), "more than 1 levels"),
    ):
        shell = SshShell(server.address, HostClock(), limits)
        shell.connect()
        with contextlib.closing(shell):
            with pytest.raises(ShellDataError, match=words):
                shell.get(there / "top", here / "back")
            assert shell.run("true").succeeded
        assert names(here) == []


def test_closing_in_the_middle_leaves_nothing_under_the_final_name(
    server: SshServer, here: Path, there: PurePosixPath
) -> None:
    (here / "long").write_bytes(bytes(64 * MIB))
    shell = server.connected()
    threading.Timer(0.3, shell.close).start()
    with pytest.raises(ShellLostError, match="was closed"):
        shell.put(here / "long", there / "copy")
    assert not Path(there / "copy").exists()
    shell = server.connected()
    with Path(there / "long").open("wb") as file:
        file.truncate(8 << 30)
    threading.Timer(0.3, shell.close).start()
    with pytest.raises(ShellError, match="was closed"):
        shell.get(there / "long", here / "back")
    assert names(here) == ["long"]


@mounts_as_root
def test_a_full_disk_is_named_on_either_side(
    shell: SshShell, here: Path, there: PurePosixPath, tmp_path: Path
) -> None:
    (here / "long").write_bytes(bytes(3 * MIB))
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", small], check=True)
    try:
        with pytest.raises(ShellRefusedError, match=r"[Nn]o space left"):
            shell.put(here / "long", PurePosixPath(small / "copy"))
        assert names(small) == []
        with pytest.raises(OSError, match="No space left") as full:
            shell.get(PurePosixPath(here / "long"), small / "back")
        assert full.value.filename == str(small / "back")
        assert names(small) == []
    finally:
        subprocess.run(["umount", small], check=True)
    assert shell.run("true").succeeded


# A server that lies

PLAIN = Entry(content=b"plain")


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"../evil": PLAIN}, "the name '../evil'"),
        ({"a/b": PLAIN}, "the name 'a/b'"),
        ({"/etc/passwd": PLAIN}, "the name '/etc/passwd'"),
        ({"": PLAIN}, "the name ''"),
        ({"n\0l": PLAIN}, r"the name 'n\\x00l'"),
        ({"x" * 300: PLAIN}, "a name that this host cannot have"),
        ({"fifo": Entry(stat.S_IFIFO)}, "fifo is a pipe"),
        ({"disk": Entry(stat.S_IFBLK)}, "disk is a device"),
        ({"odd": Entry(0)}, "odd is of an unknown kind"),
        ({"out": link("/etc")}, "may lead out"),
        ({"out": link("..")}, "may lead out"),
        ({"out": link("a/../..")}, "may lead out"),
        ({"out": link("")}, "may lead out"),
        ({"endless": Entry(endless=True)}, "exceeds the limit of 1000000 bytes"),
        ({str(number): PLAIN for number in range(200)}, "more than 100 entries"),
    ],
)
def test_a_hostile_server_gets_nothing_out_of_the_directory(
    here: Path, entries: dict[str, Entry], words: str
) -> None:
    make_key().write(here / "key")
    before = names(here.parent)
    place = here / "place"
    place.mkdir()
    limits = ReceiveLimits(size=1_000_000, entries=100, depth=5)
    with nothing_leaked(), hostile_server(directory(top=listing(entries)), here / "key") as address:
        shell = SshShell(address, HostClock(), limits)
        with contextlib.closing(shell):
            shell.connect()
            with pytest.raises(ShellDataError, match=words):
                shell.get(PurePosixPath("/top"), place / "back")
    assert names(place) == []
    assert names(here.parent) == before


def test_a_directory_without_end_ends(here: Path) -> None:
    make_key().write(here / "key")
    endless = listing({})
    endless.entries = {"again": endless}
    with nothing_leaked(), hostile_server(directory(top=endless), here / "key") as address:
        shell = SshShell(address, HostClock())
        with contextlib.closing(shell):
            shell.connect()
            with pytest.raises(ShellDataError, match="more than 64 levels"):
                shell.get(PurePosixPath("/top"), here / "back")


def test_a_write_that_the_server_does_not_explain_is_refused(here: Path) -> None:
    make_key().write(here / "key")
    (here / "file").write_bytes(b"content")
    with nothing_leaked(), hostile_server(directory(), here / "key") as address:
        shell = SshShell(address, HostClock())
        with contextlib.closing(shell):
            shell.connect()
            with pytest.raises(ShellRefusedError, match=r"cannot write /\.copy.*Failure"):
                shell.put(here / "file", PurePosixPath("/copy"))


# An archive that lies


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("../evil", {}, "the name '..'"),
        ("/etc/evil", {}, "the name ''"),
        ("pipe", {"type": tarfile.FIFOTYPE}, "not a file, a directory or a link"),
        ("out", {"type": tarfile.SYMTYPE, "linkname": "/etc"}, "may lead out"),
        ("second", {"type": tarfile.LNKTYPE, "linkname": "../../x"}, "the name '..'"),
        ("second", {"type": tarfile.LNKTYPE, "linkname": "gone"}, "which is no file"),
        ("no/directory", {}, "was sent without its directory"),
        ("twice", {}, "was sent twice"),
        ("long", {"pax_headers": {"comment": "x" * (2 * MIB)}}, "a header of more than 1 MiB"),
    ],
)
def test_a_hostile_archive_gets_nothing_out_of_the_directory(
    tmp_path_factory: pytest.TempPathFactory, here: Path, name: str,
    changes: dict[str, object], words: str,
) -> None:  # fmt: skip
    """The guest's tar(1) is a script that comes first in the path of the server."""
    place = tmp_path_factory.mktemp("lies")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        top = tarfile.TarInfo(".")
        top.type = tarfile.DIRTYPE
        tar.addfile(top)
        info = tarfile.TarInfo(name)
        for key, value in changes.items():
            setattr(info, key, value)
        tar.addfile(info)
        tar.addfile(info)
    (place / "archive").write_bytes(data.getvalue())
    (place / "tar").write_text(f"#!/bin/sh\nexec cat {place}/archive\n")
    (place / "tar").chmod(0o755)
    command = 'exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"'
    settings = f"/nonexistent\nForceCommand PATH={place}:$PATH {command}"
    (place / "sshd").mkdir()
    with nothing_leaked(), ssh_server(place / "sshd", settings) as server:
        shell = server.connected()
        with pytest.raises(ShellDataError, match=words):
            shell.get(PurePosixPath("/etc"), here / "back")
        assert shell.run("true").succeeded
    assert names(here) == []


def test_an_archive_is_one_that_tar_reads(here: Path, tmp_path: Path) -> None:
    top = made(here)
    (tmp_path / "out").mkdir()
    subprocess.run(
        ["tar", "-xf", "-", "-C", tmp_path / "out"], input=b"".join(archive(top)), check=True
    )
    assert tree(tmp_path / "out") == tree(top)
