"""Cached directories: what is found in them is what was put there, or they are made again."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.host.seal import Verified, damage, seal_file, status_of
from harness.host.sealedstore import MANIFEST, DamageError, add, check, store

DEEP = "[" * 200_000


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A directory with one file and one text."""
    (tmp_path / "source").write_bytes(bytes(range(256)) * 64)
    directory = tmp_path / "cache" / "key"
    store(directory, {"kernel": tmp_path / "source"}, {"identity.json": "{}\n"})
    return directory


def same_times(path: Path, change: Callable[[Path], None]) -> None:
    """Change a file, and give it back its times of access and modification."""
    before = path.stat()
    change(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def flip(path: Path) -> None:
    """Another byte in the same inode."""
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    with path.open("r+b") as file:
        file.write(data)


def exchange(path: Path) -> None:
    """Another file of the same size under the same name."""
    other = path.with_name("other")
    other.write_bytes(bytes(path.stat().st_size))
    other.replace(path)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def link(path: Path) -> None:
    """The right content, but somewhere else."""
    elsewhere = path.parents[2] / "elsewhere"
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "flipped": (flip, "SHA-256"),
    "exchanged": (exchange, "SHA-256"),
    "truncated": (truncate, "bytes instead of"),
    "emptied": (empty, "it is empty"),
    "removed": (Path.unlink, "it is missing"),
    "linked": (link, "not a regular file"),
}


def test_what_was_stored_is_found(stored: Path) -> None:
    seals = check(stored, Verified())
    assert set(seals) == {"kernel", "identity.json"}
    assert seals["kernel"] == seal_file(stored / "kernel", "kernel")


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("known", [False, True], ids=["new process", "verified before"])
def test_a_changed_file_is_found_out(stored: Path, name: str, known: bool) -> None:
    change, words = CHANGES[name]
    verified = Verified()
    if known:
        check(stored, verified)
    if name in {"removed", "linked"}:
        change(stored / "kernel")
    else:
        same_times(stored / "kernel", change)
    with pytest.raises(DamageError, match=f"kernel: .*{words}"):
        check(stored, verified)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_single_changed_byte_goes_unnoticed(tmp_path: Path, data: st.DataObject) -> None:
    source, directory = tmp_path / "source", tmp_path / "cache" / "key"
    content = data.draw(st.binary(min_size=1, max_size=100))
    source.write_bytes(content)
    store(directory, {"file": source}, {})
    name = data.draw(st.sampled_from(["file", MANIFEST]))
    target = directory / name
    damaged = bytearray(target.read_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    target.write_bytes(damaged)
    try:
        seals = check(directory, Verified())
    except DamageError:
        return
    # White space of the manifest carries no meaning.
    assert name == MANIFEST
    assert seals == {"file": seal_file(source, "file")}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "{}", DEEP, '{"schema": 1, "key": "key"}', b"\xff\xfe",
     '{"schema": 2, "key": "key", "files": []}', '{"schema": 1, "key": "other", "files": []}',
     '{"schema": 1, "key": "key", "files": [[]]}', '{"schema": 1, "key": "key", "files": 3}',
     '{"schema": 1, "key": "key", "files": [{"name": "../x", "size": 1, "sha256": ""}]}',
     '{"schema": 1, "key": "key", "files": [{"name": "/etc/passwd", "size": 1, "sha256": ""}]}',
     '{"schema": 1, "key": "key", "files": [{"name": 3, "size": 1, "sha256": ""}]}'],
)  # fmt: skip
def test_a_manifest_that_is_none_is_damage(stored: Path, text: str | bytes) -> None:
    (stored / MANIFEST).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DamageError, match=MANIFEST):
        check(stored, Verified())


def test_another_directory_under_its_name_is_damage(stored: Path, tmp_path: Path) -> None:
    shutil.copytree(stored, stored.with_name("other"))
    with pytest.raises(DamageError, match="is of another directory"):
        check(stored.with_name("other"), Verified())
    stored.rename(tmp_path / "elsewhere")
    stored.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DamageError, match="symbolic link"):
        check(stored, Verified())


def test_no_directory_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check(tmp_path / "none", Verified())


def test_an_added_file_is_sealed_with_the_others(stored: Path, tmp_path: Path) -> None:
    (tmp_path / "module").write_text("module")
    seals = add(stored, "module.ko", tmp_path / "module", check(stored, Verified()))
    assert check(stored, Verified()) == seals
    same_times(stored / "module.ko", empty)
    with pytest.raises(DamageError, match=r"module\.ko: it is empty"):
        check(stored, Verified())


@pytest.mark.parametrize("there", ["directory", "file", "link"])
def test_what_stands_in_the_way_is_replaced(tmp_path: Path, there: str) -> None:
    """A cache of an older harness has single files where there are directories now."""
    directory, source = tmp_path / "cache" / "key", tmp_path / "source"
    source.write_text("new")
    directory.parent.mkdir()
    if there == "directory":
        directory.mkdir()
        (directory / "old").touch()
    elif there == "file":
        directory.write_text("old")
    else:
        directory.symlink_to(source)
    store(directory, {"file": source}, {})
    assert set(check(directory, Verified())) == {"file"}
    assert [path.name for path in directory.parent.iterdir()] == ["key"]
    assert sorted(path.name for path in directory.iterdir()) == ["file", MANIFEST]


@pytest.mark.parametrize("known", [False, True])
def test_a_copy_is_verified(stored: Path, tmp_path: Path, known: bool) -> None:
    verified, kernel, copy = Verified(), stored / "kernel", tmp_path / "copy"
    seal = check(stored, verified if known else Verified())["kernel"]
    assert verified.copy(kernel, copy, seal) == ""
    assert copy.read_bytes() == kernel.read_bytes()
    same_times(kernel, flip)
    assert "SHA-256" in verified.copy(kernel, copy, seal)
    kernel.unlink()
    assert "missing" in verified.copy(kernel, copy, seal)


def test_the_manifest_is_plain_json(stored: Path) -> None:
    document = json.loads((stored / MANIFEST).read_text())
    assert document["key"] == "key"
    assert {row["name"] for row in document["files"]} == {"kernel", "identity.json"}


LATER = 10**9 * 3600


def checked_later(directory: Path) -> None:
    """What the next process does, an hour later."""
    check(directory, Verified(), lambda: time.time_ns() + LATER)


def test_what_another_process_has_verified_is_not_read_again(stored: Path) -> None:
    checked_later(stored)
    file = stored / "kernel"
    status = status_of(file.lstat())
    noted = (stored / "verified.json").read_text()
    # Only who reads the file can find out that the note is wrong.
    flip(file)
    changed = noted.replace(f"[{', '.join(map(str, status))},",
                            f"[{', '.join(map(str, status_of(file.lstat())))},")  # fmt: skip
    assert changed != noted
    (stored / "verified.json").write_text(changed)
    seals = check(stored, Verified())
    assert "SHA-256" in damage(file, seals["kernel"])


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_after_another_process_has_verified_it_is_found_out(
    stored: Path, name: str
) -> None:
    checked_later(stored)
    assert (stored / "verified.json").exists()
    change, words = CHANGES[name]
    if name in {"removed", "linked"}:
        change(stored / "kernel")
    else:
        same_times(stored / "kernel", change)
    for check_again in (checked_later, lambda directory: check(directory, Verified())):
        with pytest.raises(DamageError, match=f"kernel: .*{words}"):
            check_again(stored)


def test_a_file_that_was_just_written_is_read_by_the_next_process(stored: Path) -> None:
    """Within a tick of the file system's clock, another write would not change its times."""
    before = max(status_of((stored / name).lstat()).changed for name in ("kernel", MANIFEST))
    check(stored, Verified(), lambda: before)
    assert not (stored / "verified.json").exists()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b'{"kernel": 3}', DEEP.encode()])
def test_a_note_that_is_none_has_the_files_read(stored: Path, text: bytes) -> None:
    (stored / "verified.json").write_bytes(text)
    flip(stored / "kernel")
    with pytest.raises(DamageError, match="SHA-256"):
        check(stored, Verified())


def test_what_cannot_be_noted_is_verified_all_the_same(stored: Path) -> None:
    (stored / "verified.json").mkdir()
    (stored / "verified.json" / "file").touch()
    checked_later(stored)
