"""The cache of kernels, and what a kernel file says of itself."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cells import IDENTITY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import InfraError, UsageError
from harness.host.sealedstore import store
from harness.host.workspace import Workspace
from harness.kernel.artifact import (
    KernelArtifact,
    KernelCache,
    kept,
)
from harness.kernel.elf import content_digest, kernel_facts
from harness.kernel.toolchain import newest_llvm
from harness.kernel.verify import (
    BootedFiles,
    ChangedFileError,
    KernelDamageError,
    private_copy,
)
from harness.sanitizers import KASAN, KMSAN, NONE, TABLE, Sanitizers


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found = {name: tmp_path / name for name in ("kernel", "kernel.debug", "loader.efi")}
    for name, path in found.items():
        path.write_text(f"the {name}")
    return found


def directory_of(workspace: Workspace) -> Path:
    return workspace.cache / "kernels" / IDENTITY.key


def test_what_was_stored_is_found(workspace: Workspace, files: dict[str, Path]) -> None:
    cache = KernelCache(workspace)
    assert cache.find(IDENTITY.key, print) is None
    identity = replace(IDENTITY, source_roots=("/src", "/usr/src"))
    stored = cache.store(identity, files)
    assert cache.find(IDENTITY.key, print) == stored
    assert replace(stored.identity, files=()) == identity
    assert {seal.name for seal in stored.identity.files} == {*files, "identity.json"}
    assert stored.kernel.read_text() == "the kernel"
    assert stored.loader is not None
    assert stored.loader.read_text() == "the loader.efi"
    assert [path.name for path in directory_of(workspace).parent.iterdir()] == [IDENTITY.key]


def test_kernel_alone_is_its_own_symbols(workspace: Workspace, files: dict[str, Path]) -> None:
    stored = KernelCache(workspace).store(IDENTITY, {"kernel": files["kernel"]})
    assert stored.debug == stored.kernel
    assert stored.loader is None


def test_stored_again_it_is_the_later_one(workspace: Workspace, files: dict[str, Path]) -> None:
    cache = KernelCache(workspace)
    cache.store(IDENTITY, files)
    files["kernel"].write_text("another")
    assert cache.store(IDENTITY, files).kernel.read_text() == "another"


def test_half_stored_kernel_is_none(workspace: Workspace, files: dict[str, Path]) -> None:
    """A killed harness leaves a directory under another name, or one without an identity."""
    cache = KernelCache(workspace)
    cache.store(IDENTITY, files)
    directory_of(workspace).rename(directory_of(workspace).with_name(f".{IDENTITY.key}.1234"))
    assert cache.find(IDENTITY.key, print) is None
    assert cache.newest_loader() is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"key": "k", "sanitizer": "kasan"}', '{"sanitizer": "none"}']
)
def test_identity_that_cannot_be_read_is_a_kernel_to_be_built(
    workspace: Workspace, files: dict[str, Path], text: str
) -> None:
    cache = KernelCache(workspace)
    cache.store(IDENTITY, files)
    path = directory_of(workspace) / "identity.json"
    for sealed in (False, True):  # damaged, or written by another version
        path.write_text(text)
        if sealed:
            store(path.parent, {**files, path.name: path}, {})
        told: list[str] = []
        assert cache.find(IDENTITY.key, told.append) is None
        assert len(told) == 1
        assert "identity.json" in told[0]


def test_kernel_of_another_version_is_a_kernel_to_be_built(
    workspace: Workspace, files: dict[str, Path]
) -> None:
    cache = KernelCache(workspace)
    cache.store(IDENTITY, files)
    path = directory_of(workspace) / "identity.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "new": 1}))
    store(path.parent, {**files, path.name: path}, {})
    assert cache.find(IDENTITY.key, print) is None


def test_another_kernel_under_its_key_is_a_kernel_to_be_built(
    workspace: Workspace, files: dict[str, Path]
) -> None:
    cache = KernelCache(workspace)
    cache.store(IDENTITY, files)
    path = directory_of(workspace) / "identity.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "key": "other"}))
    store(path.parent, {**files, path.name: path}, {})
    told: list[str] = []
    assert cache.find(IDENTITY.key, told.append) is None
    assert "it is of the kernel other" in told[0]


def test_missing_file_leaves_nothing(workspace: Workspace, files: dict[str, Path]) -> None:
    with pytest.raises(InfraError, match="No such file"):
        KernelCache(workspace).store(IDENTITY, {**files, "config": Path("/no/config")})
    assert list(directory_of(workspace).parent.iterdir()) == []


def test_newest_loader_is_that_of_the_last_kernel(
    workspace: Workspace, files: dict[str, Path]
) -> None:
    cache = KernelCache(workspace)
    assert cache.newest_loader() is None
    for number, key in enumerate(("b", "a")):
        loader = cache.store(replace(IDENTITY, key=key), files).loader
        assert loader is not None
        os.utime(loader, (number, number))
    newest = cache.newest_loader()
    assert newest is not None
    assert newest[0] == workspace.cache / "kernels" / "a" / "loader.efi"
    newest[0].write_text("the loadez.efi")
    newest = cache.newest_loader()
    assert newest is not None
    assert newest[0] == workspace.cache / "kernels" / "b" / "loader.efi"


def test_a_guest_gets_verified_copies(
    workspace: Workspace, files: dict[str, Path], tmp_path: Path
) -> None:
    stored = KernelCache(workspace).store(IDENTITY, files)
    copy = private_copy(stored, tmp_path / "copy", workspace.verified)
    assert (copy.kernel.parent, copy.debug) == (tmp_path / "copy", stored.debug)
    assert copy.loader is not None
    assert copy.loader.read_text() == "the loader.efi"
    booted = BootedFiles.of((stored, copy), tmp_path / "copy")
    booted.verify()
    stored.kernel.write_text("the kernez")
    with pytest.raises(ChangedFileError, match="kernel is damaged"):
        booted.verify()
    with pytest.raises(KernelDamageError, match="kernel is damaged"):
        private_copy(stored, tmp_path / "again", workspace.verified)


@pytest.mark.parametrize("which", ["original", "symbols", "copy", "media"])
def test_no_changed_file_lets_a_failure_count(
    workspace: Workspace, files: dict[str, Path], tmp_path: Path, which: str
) -> None:
    stored = KernelCache(workspace).store(IDENTITY, files)
    copy = private_copy(stored, tmp_path / "copy", workspace.verified)
    medium = tmp_path / "medium"
    medium.write_text("what the guest reads")
    booted = BootedFiles.of((stored, copy), medium)
    booted.verify()
    paths = {"original": stored.kernel, "symbols": stored.debug, "copy": copy.kernel,
             "media": medium}  # fmt: skip
    paths[which].write_text("damaged")
    with pytest.raises(ChangedFileError, match=paths[which].name):
        booted.verify()


def test_kernel_that_is_gone_cannot_be_kept(workspace: Workspace, files: dict[str, Path]) -> None:
    stored = KernelCache(workspace).store(IDENTITY, files)
    with kept(stored, workspace):
        pass
    directory_of(workspace).rename(workspace.cache / "elsewhere")
    with pytest.raises(InfraError, match="removed from the cache"), kept(stored, workspace):
        pass


def elf(directory: Path, symbols: tuple[str, ...], target: str = "x86_64-unknown-freebsd") -> Path:
    """An object file with functions of those names."""
    source, out = directory / "a.c", directory / "a.o"
    source.write_text("".join(f"void {name}(void) {{}}\n" for name in symbols) or "int none;\n")
    clang = newest_llvm() / "clang"
    subprocess.run([clang, f"--target={target}", "-c", source, "-o", out], check=True)
    return out


@pytest.mark.parametrize(
    ("symbols", "sanitizer"),
    [
        (("mi_startup",), NONE),
        (("mi_startup", "kasan_init"), Sanitizers({KASAN})),
        (("mi_startup", "kmsan_init"), Sanitizers({KMSAN})),
        (("mi_startup", "not_kasan_init"), NONE),
    ],
)
def test_sanitizer_of_a_kernel_is_read_from_its_symbols(
    tmp_path: Path, symbols: tuple[str, ...], sanitizer: Sanitizers
) -> None:
    assert kernel_facts(elf(tmp_path, symbols)).sanitizers == sanitizer


def test_identity_of_a_kernel_is_read_from_its_file(tmp_path: Path) -> None:
    """As ``readelf -n`` has it, and what the kernel would print."""
    source = 'char version[64] = "GREEN 9.9\\n"; int mi_startup(void) { return version[0]; }\n'
    kernel = compiled(tmp_path / "made", source).kernel
    facts = kernel_facts(kernel)
    notes = subprocess.run([newest_llvm() / "llvm-readelf", "-n", kernel], check=True,
                           capture_output=True, text=True).stdout  # fmt: skip
    assert f"Build ID: {facts.build_id}" in notes
    assert len(facts.build_id) == 40
    assert facts.version == "GREEN 9.9\n"
    assert facts.sanitizers == NONE


def test_other_programs_are_no_kernels(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it has no mi_startup"):
        kernel_facts(elf(tmp_path, ("main",)))
    with pytest.raises(UsageError, match="it is not an ELF file of an amd64 kernel"):
        kernel_facts(elf(tmp_path, ("mi_startup",), "aarch64-unknown-freebsd"))


@pytest.mark.parametrize("path", ["/no/kernel", "/", "/dev/null", "/etc/passwd"])
def test_other_files_are_no_kernels(path: str) -> None:
    with pytest.raises(UsageError, match=f"{path} is not a FreeBSD kernel: "):
        kernel_facts(Path(path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_kernel_is_refused_or_read(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever bytes are changed or missing: an answer or a refusal, no other error."""
    path = tmp_path / "kernel.o"
    if not path.exists():
        elf(tmp_path, ("mi_startup", "kasan_init")).rename(path)
    good = path.read_bytes()
    damaged = bytearray(good[: data.draw(st.integers(0, len(good)))])
    if damaged:
        for _ in range(data.draw(st.integers(0, 8))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    broken = tmp_path / "damaged"
    broken.write_bytes(damaged)
    with contextlib.suppress(UsageError):
        assert set(kernel_facts(broken).sanitizers) <= set(TABLE)


def compiled(directory: Path, source: str, loader: str = "") -> KernelArtifact:
    """A program with debug information and a build id, as a kernel has them."""
    directory.mkdir()
    (directory / "k.c").write_text(source)
    clang = newest_llvm() / "clang"
    words = ["--target=x86_64-linux-gnu", "-g", "-nostdlib", "-static", "-fuse-ld=lld",
             "-Wl,--build-id=sha1,-e,start"]  # fmt: skip
    subprocess.run([clang, *words, "k.c", "-o", "kernel"], cwd=directory, check=True)
    if loader:
        (directory / "loader.efi").write_text(loader)
    made = directory / "kernel"
    return KernelArtifact(IDENTITY, made, made, directory / "loader.efi" if loader else None)


def test_kernels_that_differ_in_debug_information_alone_are_equal(tmp_path: Path) -> None:
    text = "int value = 1;\nint start(void) { return value; }\n"
    one = compiled(tmp_path / "one", text)
    moved = compiled(tmp_path / "moved", f"/* A remark. */\n\n{text}")
    assert one.kernel.read_bytes() != moved.kernel.read_bytes()
    assert content_digest(one) == content_digest(moved)


@pytest.mark.parametrize(
    "other",
    ["int value = 2;\nint start(void) { return value; }\n",
     "int value = 1;\nint start(void) { return value + 1; }\n",
     "int value = 1, more[64];\nint start(void) { return value; }\n"],
)  # fmt: skip
def test_kernels_that_differ_in_code_or_data_differ(tmp_path: Path, other: str) -> None:
    one = compiled(tmp_path / "one", "int value = 1;\nint start(void) { return value; }\n")
    assert content_digest(one) != content_digest(compiled(tmp_path / "other", other))


def test_the_loader_is_part_of_what_is_tested(tmp_path: Path) -> None:
    text = "int start(void) { return 1; }\n"
    digests = {
        content_digest(compiled(tmp_path / name, text, name)) for name in ("one", "two", "three")
    }
    assert len(digests) == 3


def test_no_elf_file_has_no_digest(tmp_path: Path) -> None:
    (tmp_path / "kernel").write_text("no kernel")
    kernel = tmp_path / "kernel"
    with pytest.raises(UsageError, match="not an ELF file"):
        content_digest(KernelArtifact(IDENTITY, kernel, kernel, None))
