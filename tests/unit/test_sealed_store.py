"""Cached directories: what is found in them is what was put there, or they are made again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.host.seal import Verified, seal_file
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
