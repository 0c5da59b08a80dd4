"""The tree's make: what its last step alone is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import BuildError
from harness.host.process import HostRunner
from harness.kernel.make import Make, kernel_target
from harness.kernel.toolchain import Llvm

#: Stands where bmake does, and tells what it was started with.
TELLS = """#!/bin/sh
printf '%s\\n' "in $PWD" "CC $CC" "ODD $ODD" "MAKEFLAGS $MAKEFLAGS" "MINE ${MINE-unset}" "$@"
"""

REMEMBERED = r"""export CC='clang -target x'
export MAKEFLAGS=' -j 3 -J 15,16 -m /src/share/mk KERNCONF=MINE'
export ODD='${.CURDIR:S,^${SRCTOP},"$OBJTOP"'\'',}'
"""


@pytest.fixture
def make(tmp_path: Path) -> Make:
    bmake = tmp_path / "bmake"
    bmake.write_text(TELLS)
    bmake.chmod(0o755)
    objects = tmp_path / "obj"
    (objects / "sys").mkdir(parents=True)
    made = Make(bmake, tmp_path, objects, Llvm(14, Path("/bin")), HostRunner(), 0)
    made.output.mkdir(parents=True)
    return made


def test_last_step_has_the_environment_that_buildkernel_gave_it(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", "not the build's business")
    (make.output / "MINE.environment").write_text(REMEMBERED)
    make.remake_kernel("MINE", make.objects / "sys", tmp_path / "log")
    assert (tmp_path / "log").read_text().splitlines() == [
        f"in {make.objects / 'sys'}",
        "CC clang -target x",
        'ODD ${.CURDIR:S,^${SRCTOP},"$OBJTOP"\',}',
        "MAKEFLAGS  -j 3 -m /src/share/mk KERNCONF=MINE",
        "MINE unset",
        "KERNEL=kernel",
        "all",
        "-DNO_MODULES_OBJ",
    ]


def test_kernel_that_was_never_built_has_no_last_step(make: Make, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="never built"):
        make.remake_kernel("MINE", make.objects / "sys", tmp_path / "log")


def test_last_step_that_fails_is_the_revisions_fault(make: Make, tmp_path: Path) -> None:
    (make.output / "MINE.environment").write_text("")
    make.bmake.write_text("#!/bin/sh\necho 'a.c:1:2: error: no' >&2\nexit 1\n")
    with pytest.raises(BuildError, match="does not build") as caught:
        make.remake_kernel("MINE", make.objects / "sys", tmp_path / "log")
    assert caught.value.detail == "a.c:1:2: error: no"


def test_a_kernel_that_is_built_alone_has_one_job(tmp_path: Path) -> None:
    usual, alone = (kernel_target("GENERIC", tmp_path, alone=each) for each in (False, True))
    assert usual[1:] == alone[1:]
    assert (alone[0], usual[0] != "-j1") == ("-j1", True)
