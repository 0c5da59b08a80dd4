"""The command line of the tree's make."""

from __future__ import annotations

from pathlib import Path

from harness.host.process import HostRunner
from harness.kernel.make import Make
from harness.kernel.toolchain import Llvm


def words(ccache: Path | None) -> list[str]:
    llvm = Llvm(14, Path("/llvm/bin"))
    make = Make(Path("/bmake"), Path("/src"), Path("/obj"), llvm, HostRunner(), 3, ccache)
    return [str(word) for word in make.command(["buildkernel"])]


def test_a_compiler_cache_is_used_where_there_is_one() -> None:
    with_it = words(Path("/usr/bin/ccache"))
    assert with_it[-3:] == ["CCACHE_BIN=/usr/bin/ccache", "-DWITH_CCACHE_BUILD", "buildkernel"]
    assert not [word for word in words(None) if "CCACHE" in word]


def test_no_file_of_the_hosts_has_a_say() -> None:
    assert {"__MAKE_CONF=/dev/null", "SRCCONF=/dev/null", "SRC_ENV_CONF=/dev/null"} < set(
        words(None)
    )
