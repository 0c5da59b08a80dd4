"""Which LLVM builds a tree, and the bootstrap of the tree's own make."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import BuildError, InfraError
from harness.host.process import HostRunner
from harness.kernel.toolchain import (
    Llvm,
    best_llvm,
    bootstrap_bmake,
    compiler_version,
    installed_llvms,
    keep_to_compiler,
    kept_compiler_version,
)

MAJORS = st.integers(10, 25)


def llvms(*majors: int) -> list[Llvm]:
    return [Llvm(major, Path(f"/usr/lib/llvm-{major}/bin")) for major in majors]


@pytest.mark.parametrize(
    ("wanted", "installed", "best"),
    [(14, (13, 14, 19), 14), (14, (13, 19), 13), (19, (14, 18), 18), (15, (14, 16), 16)],
)
def test_nearest_is_taken_and_of_two_the_newer(
    wanted: int, installed: tuple[int, ...], best: int
) -> None:
    assert best_llvm(wanted, llvms(*installed)).major == best


@given(MAJORS, st.sets(MAJORS, min_size=1))
def test_none_is_nearer_than_the_best(wanted: int, installed: set[int]) -> None:
    best = best_llvm(wanted, llvms(*installed)).major
    assert best in installed
    assert all(abs(best - wanted) <= abs(major - wanted) for major in installed)


def test_none_installed_names_the_packages() -> None:
    with pytest.raises(InfraError, match="no clang and") as caught:
        best_llvm(14, [])
    assert caught.value.remedy.endswith("apt-get install clang-14 lld-14 llvm-14")


def test_only_whole_ones_count(tmp_path: Path) -> None:
    for name, programs in {
        "llvm-14": ("clang", "clang++", "clang-cpp", "ld.lld"),
        "llvm-9": ("clang", "clang++", "clang-cpp", "ld.lld"),
        "llvm-19": ("clang", "clang++"),
        "llvm-old": ("clang", "clang++", "clang-cpp", "ld.lld"),
    }.items():
        (tmp_path / name / "bin").mkdir(parents=True)
        for program in programs:
            (tmp_path / name / "bin" / program).touch()
    found = installed_llvms([f"{tmp_path}/llvm-*"])
    assert [llvm.major for llvm in found] == [9, 14]
    assert found[1].bindir == tmp_path / "llvm-14" / "bin"


def test_compiler_is_told_by_its_first_line() -> None:
    for llvm in installed_llvms():
        assert f"clang version {llvm.major}." in compiler_version(llvm, HostRunner())


def fake_compiler(directory: Path, version: str) -> Llvm:
    """An LLVM whose clang notes each call in the file ``calls``."""
    clang = directory / "bin" / "clang"
    clang.parent.mkdir(exist_ok=True)
    clang.write_text(f"#!/bin/sh\necho called >>{directory}/calls\necho clang version {version}\n")
    clang.chmod(0o755)
    return Llvm(14, clang.parent)


def test_version_of_a_compiler_is_kept_until_the_compiler_changes(tmp_path: Path) -> None:
    versions = []
    for number, version in enumerate(("14.0.6", "14.0.7")):
        llvm = fake_compiler(tmp_path, version)
        os.utime(llvm.bindir / "clang", (0, number))  # both may be written in one tick
        versions += [kept_compiler_version(llvm, HostRunner(), tmp_path) for _ in range(2)]
    assert versions == ["clang version 14.0.6"] * 2 + ["clang version 14.0.7"] * 2
    assert (tmp_path / "calls").read_text() == "called\n" * 2


@pytest.mark.parametrize("text", ["", "[]", "{", '{"program": 3}', '{"version": "x"}'])
def test_a_kept_version_that_cannot_be_read_is_asked_for_again(tmp_path: Path, text: str) -> None:
    llvm = fake_compiler(tmp_path, "14.0.6")
    (tmp_path / "compiler-14.json").write_text(text)
    assert kept_compiler_version(llvm, HostRunner(), tmp_path) == "clang version 14.0.6"


#: A make small enough for a test: what ``make-bootstrap.sh`` leaves, and files for ``.mk``.
CONFIGURE = """\
case "$*" in *--with-default-sys-path=.../share/mk:*) ;; *) exit 9;; esac
printf 'echo built >&2; echo "#!/bin/sh" >bmake; chmod +x bmake\\n' >make-bootstrap.sh
"""


def tree_with(directory: Path, configure: str) -> Path:
    source = directory / "tree" / "contrib" / "bmake"
    (source / "mk").mkdir(parents=True)
    (source / "mk" / "sys.mk").write_text("# rules\n")
    (source / "configure").write_text(configure)
    return directory / "tree"


def test_make_is_built_once(tmp_path: Path) -> None:
    tree, home = tree_with(tmp_path, CONFIGURE), tmp_path / "home"
    built = bootstrap_bmake(tree, home, HostRunner(), sandboxed=True)
    assert built == home / "bin" / "bmake"
    assert (home / "share" / "mk" / "sys.mk").is_file()
    made = built.stat().st_mtime_ns
    assert bootstrap_bmake(tree, home, HostRunner(), sandboxed=True).stat().st_mtime_ns == made


@pytest.mark.parametrize("name", ["bin/bmake", "share/mk/sys.mk"])
def test_make_that_is_damaged_is_built_anew(tmp_path: Path, name: str) -> None:
    tree, home = tree_with(tmp_path, CONFIGURE), tmp_path / "home"
    bootstrap_bmake(tree, home, HostRunner(), sandboxed=True)
    (home / name).write_text("")
    assert bootstrap_bmake(tree, home, HostRunner(), sandboxed=True).read_text() == "#!/bin/sh\n"
    assert (home / "share/mk/sys.mk").read_text() == "# rules\n"


def test_make_that_was_cut_short_is_built_anew(tmp_path: Path) -> None:
    tree, home = tree_with(tmp_path, CONFIGURE), tmp_path / "home"
    (home / "build").mkdir(parents=True)
    (home / "build" / "bmake").write_text("half")
    (home / "share" / "mk").mkdir(parents=True)
    assert bootstrap_bmake(tree, home, HostRunner(), sandboxed=True).read_text() == "#!/bin/sh\n"


@pytest.mark.parametrize("older", [False, True])
def test_make_that_does_not_build_shows_why(tmp_path: Path, older: bool) -> None:
    tree = tree_with(tmp_path, "echo no compiler here >&2\nexit 77\n")
    if not older:
        (tree / "tools" / "build").mkdir(parents=True)
        (tree / "tools" / "build" / "make.py").touch()
    with pytest.raises(BuildError, match="does not build on this host") as caught:
        bootstrap_bmake(tree, tmp_path / "home", HostRunner(), sandboxed=True)
    assert caught.value.detail == "no compiler here"
    assert ("older than builds of FreeBSD on other systems" in caught.value.message) is older
    assert not (tmp_path / "home" / "bin").exists()


def test_objects_of_another_compiler_are_no_objects(tmp_path: Path) -> None:
    """Of the same major version, that is: a distribution's update."""
    output, stamp = tmp_path / "output", tmp_path / "toolchain.done"
    compilers = ("clang version 14.0.6", "clang version 14.0.6", "clang version 14.0.7")
    for compiler, kept in zip(compilers, (True, True, False), strict=True):
        output.mkdir(exist_ok=True)
        stamp.touch()
        keep_to_compiler(tmp_path, output, compiler)
        assert (output.exists(), stamp.exists()) == (kept, kept)
