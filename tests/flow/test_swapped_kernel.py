"""Kernels of the cache that are exchanged between runs, and while a guest runs.

None is ever booted, and no failure of such a guest is the kernel's. QEMU is a script here that
exchanges a file and then becomes the real one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Home, script

pytestmark = pytest.mark.guest

BOOT = ("boot", "--source", "embedded", "--kasan", "--numa", "2", "--accelerator", "tcg", "--json")
PANICS = ("--mutant", "drop-commit")

#: Overwrites the file FILE in place with OTHER, keeping its size and times, as often as told.
SWAP = """
if [ "$(ls "{marks}" | wc -l)" -lt {times} ]; then
    touch "{marks}/$$"
    for word; do case $word in *kernel/kernel*) mine=$word;; esac; done
    file={file}
    touch -r "$file" "{marks}/../times"
    dd if="{other}" of="$file" conv=notrunc status=none
    truncate -s {size} "$file"
    touch -r "{marks}/../times" "$file"
fi
exec {qemu} "$@"
"""


@pytest.fixture(scope="module")
def kernels(shared_home: Home) -> dict[str, Path]:
    """The built-in guest's kernel that boots, and the one that panics."""
    found = {}
    for name, words in (("boots", ()), ("panics", PANICS)):
        made = shared_home.run("build", "--source", "embedded", "--kasan", "--json", *words)
        found[name] = Path(json.loads(made.stdout)["kernel"])
    return found


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory, kernels: dict[str, Path]) -> Home:
    """A home whose cache has both kernels; the path is short, as a socket's must be."""
    home = Home(tmp_path_factory.mktemp("swap"))
    shutil.copytree(kernels["boots"].parents[1], home.cache / "kernels")
    return home


def in_home(home: Home, kernel: Path) -> Path:
    return home.cache / "kernels" / kernel.parent.name / "kernel"


Exchange = Callable[[Path, Path], None]


def in_place(path: Path, other: Path) -> None:
    with path.open("r+b") as file:
        file.write(other.read_bytes())
        file.truncate(path.stat().st_size)


def by_rename(path: Path, other: Path) -> None:
    new = path.with_name("new")
    shutil.copyfile(other, new)
    os.truncate(new, path.stat().st_size)
    new.replace(path)


def truncated(path: Path, _: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def whole(path: Path, other: Path) -> None:
    """A kernel with its manifest, under the key of another."""
    shutil.rmtree(path.parent)
    shutil.copytree(other.parent, path.parent)


def emptied(path: Path, _: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize(
    ("before", "after"), [(truncated, in_place), (whole, emptied)], ids=["cut", "whole"]
)
def test_kernels_exchanged_between_runs_are_built_again(
    home: Home, kernels: dict[str, Path], before: Exchange, after: Exchange
) -> None:
    names = {"panics": before, "boots": after}
    for (name, exchange), other in zip(names.items(), ("boots", "panics"), strict=True):
        kernel = in_home(home, kernels[name])
        times = kernel.stat()
        exchange(kernel, kernels[other])
        os.utime(kernel, ns=(times.st_atime_ns, times.st_mtime_ns))
    said = home.run("compare", *BOOT[1:])
    assert said.code == 0, said
    outcomes = [cell["verdict"]["outcome"] for cell in json.loads(said.stdout)["cells"]]
    assert outcomes == ["panic", "booted"]
    assert said.stderr.count("rebuilding a damaged kernel") == 2
    for kernel in kernels.values():
        assert in_home(home, kernel).read_bytes() == kernel.read_bytes()


def test_a_damaged_kernel_that_is_named_by_its_file_is_refused(
    home: Home, kernels: dict[str, Path]
) -> None:
    kernel = in_home(home, kernels["boots"])
    by_rename(kernel, kernels["panics"])
    said = home.run("boot", "--kernel", kernel, "--accelerator", "tcg")
    assert said.code == 3, said
    assert "its SHA-256 differs" in said.stdout
    assert "harness build" in said.stdout


def swapping_qemu(home: Home, file: str, other: Path, size: int, times: int = 1) -> str:
    """A PATH with a QEMU that first exchanges ``file``, a word of the shell."""
    marks = home.directory / "marks"
    marks.mkdir()
    text = SWAP.format(
        marks=marks, times=times, file=file, other=other, size=size,
        qemu=shutil.which("qemu-system-x86_64"),
    )  # fmt: skip
    return script(home.directory / "bin", "qemu-system-x86_64", text)


def test_a_guest_runs_what_was_verified_whatever_becomes_of_the_cache(
    home: Home, kernels: dict[str, Path]
) -> None:
    kernel = in_home(home, kernels["boots"])
    path = swapping_qemu(home, f'"{kernel}"', kernels["panics"], kernel.stat().st_size)
    said = home.run(*BOOT, PATH=path)
    assert said.code == 0, said
    assert kernel.read_bytes() != kernels["boots"].read_bytes()
    said = home.run(*BOOT, "--repeat", "2")
    assert said.code == 0, said
    assert kernel.read_bytes() == kernels["boots"].read_bytes()


def test_a_failure_counts_when_the_kernel_was_provided_anew_and_fails_again(
    home: Home, kernels: dict[str, Path]
) -> None:
    kernel = in_home(home, kernels["panics"])
    path = swapping_qemu(home, f'"{kernel}"', kernels["boots"], kernel.stat().st_size)
    said = home.run(*BOOT, *PANICS, PATH=path)
    assert said.code == 1, said
    assert "rebuilt" in said.stderr
    assert "booted again" in said.stderr


@pytest.mark.parametrize(("times", "code"), [(1, 0), (99, 3)], ids=["once", "always"])
def test_a_panic_of_what_was_exchanged_under_a_guest_is_never_the_kernel_s(
    home: Home, kernels: dict[str, Path], times: int, code: int
) -> None:
    size = kernels["boots"].stat().st_size
    path = swapping_qemu(home, '"$mine"', kernels["panics"], size, times)
    said = home.run(*BOOT, PATH=path)
    assert said.code == code, said
    assert "is damaged: " in said.stderr
    (cell,) = json.loads(said.stdout)["cells"]
    assert cell["host_failed"] == (code == 3)
    assert home.run(*BOOT, "--git-bisect", PATH=path).code == (128 if code else 0)
