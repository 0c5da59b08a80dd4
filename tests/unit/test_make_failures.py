"""Whose fault a failed build is, by the end of its log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import BuildError, HarnessError, InfraError, UsageError
from harness.host.process import HostRunner
from harness.kernel.make import Make, build_failure
from harness.kernel.toolchain import Llvm

LOG = Path("/cache/logs/HARNESS.log")

REVISION = {
    "compiler": "/src/sys/vm/uma_core.c:12:5: error: use of undeclared identifier 'x'",
    "fatal": "/src/sys/vm/vm_map.c:1:10: fatal error: 'no.h' file not found",
    "linker": "ld.lld: error: undefined symbol: keg_fetch_slab",
    "clang": "clang: error: unknown argument: '-fno-such'",
    "make": "make[2]: don't know how to make vm_none.c. Stop",
    "end": "*** [uma_core.o] Error code 1",
}

USER = {
    '/conf/MINE: unknown option "NO_SUCH"': "the kernel configuration has the option NO_SUCH, ",
    "config: /conf/MINE:3: syntax error": "config(8) refused the kernel configuration: /conf/MINE",
    "config: line 3: Error: device none is unknown": "config(8) refused the kernel configuration",
}

HOST = ["cc: error: No space left on device", "Disk quota exceeded", "Bus error (core dumped)"]


@pytest.mark.parametrize("line", REVISION.values(), ids=REVISION.keys())
def test_revision_that_does_not_build_shows_its_lines(line: str) -> None:
    error = build_failure(f"cc -c a.c\n{line}\n1 error generated.\n", LOG)
    assert isinstance(error, BuildError)
    assert error.detail == line
    assert error.remedy == f"read the log: {LOG}"


@pytest.mark.parametrize(("line", "message"), USER.items())
def test_configuration_that_config_refuses_is_the_users(line: str, message: str) -> None:
    error = build_failure(f"{line}\n*** Error code 1\n", LOG)
    assert isinstance(error, UsageError)
    assert error.message.startswith(message)
    assert str(LOG) in error.remedy


@pytest.mark.parametrize("line", HOST)
def test_full_disk_is_the_hosts_whatever_else_is_said(line: str) -> None:
    for text in (f"{line}\n{REVISION['end']}\n", f"{REVISION['compiler']}\n{line}\n"):
        assert isinstance(build_failure(text, LOG), InfraError)


def test_log_without_known_words_shows_its_end() -> None:
    error = build_failure("a\n" * 5000 + "the last words\n", LOG)
    assert error.detail.endswith("the last words\n")
    assert len(error.detail) <= 2000


def test_thousand_errors_are_told_by_the_first() -> None:
    error = build_failure("".join(f"a.c:{n}:1: error: {'x' * 9999}\n" for n in range(1000)), LOG)
    lines = error.detail.splitlines()
    assert len(lines) == 20
    assert lines[0].startswith("a.c:0:1: error: ")
    assert max(map(len, lines)) <= 400


@given(st.text())
def test_any_log_is_somebodys_fault(text: str) -> None:
    error = build_failure(text, LOG)
    assert isinstance(error, HarnessError)
    assert str(LOG) in error.remedy


@pytest.fixture
def make_with(tmp_path: Path) -> Iterator[Callable[[str], Make]]:
    """A make that is a script."""
    program = tmp_path / "bmake"
    with (tmp_path / "lock").open("w") as lock:

        def make(script: str) -> Make:
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
            llvm = Llvm(14, tmp_path)
            return Make(
                program, tmp_path, tmp_path / "obj", llvm, HostRunner(), lock.fileno()
            )  # fmt: skip

        yield make


def test_log_holds_all_that_was_said(make_with: Callable[[str], Make], tmp_path: Path) -> None:
    log = tmp_path / "logs" / "kernel.log"
    make_with('echo "$@"; echo "$MAKEOBJDIRPREFIX" >&2').run(["buildkernel"], log)
    assert "TARGET=amd64 TARGET_ARCH=amd64 buildkernel\n" in log.read_text()
    assert log.read_text().endswith(f"{tmp_path}/obj\n")


def test_users_make_configuration_has_no_say(
    make_with: Callable[[str], Make], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAKEFLAGS", "-k")
    monkeypatch.setenv("SRCCONF", "/my/src.conf")
    make_with("env").run([], tmp_path / "log")
    said = (tmp_path / "log").read_text()
    assert "MAKEFLAGS" not in said
    assert "/my/src.conf" not in said


def test_failed_make_tells_its_log(make_with: Callable[[str], Make], tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        make_with("echo 'a.c:1:2: error: no'; exit 1").run([], tmp_path / "log")
    assert caught.value.detail == "a.c:1:2: error: no"
    assert str(tmp_path / "log") in caught.value.remedy
