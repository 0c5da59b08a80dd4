"""gdb after a run: which guest or dump it is for, and with which words it is started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fake_environment import NODES, FakeProvider, fake_environment
from fake_guests import boots, made_kernel

from harness.debug.memorydump import DUMP_FILE
from harness.errors import UsageError
from harness.runs.batchdebugger import BatchDebugger
from harness.runs.boot import BootRequest, boot
from harness.runs.debug import DebugTarget, ForegroundDebugger, debug, find_target
from harness.runs.environment import Environment
from harness.source.request import KernelRequest

MADE = KernelRequest("made")


@pytest.fixture
def env(tmp_path: Path) -> Iterator[Environment]:
    with fake_environment(tmp_path, boots, FakeProvider(tmp_path)) as made:
        yield made


def dumped(env: Environment, repeat: int = 1) -> Path:
    """Boot guests, and leave a memory dump for each; return the run's directory."""
    result = boot(BootRequest(MADE, NODES, repeat=repeat), env)
    for cell in result.run.cells:
        (result.directory / cell.name / DUMP_FILE).touch()
    return result.directory


def test_the_dump_of_a_run_is_found_by_its_name_and_as_the_latest(env: Environment) -> None:
    directory = dumped(env)
    for name in ("latest", directory.name):
        found = find_target(env, name)
        assert found.dump == directory / "none-numa2" / DUMP_FILE
        assert found.name == f"{directory.name} none-numa2"


def test_of_several_dumps_one_must_be_named(env: Environment) -> None:
    dumped(env, 2)
    with pytest.raises(UsageError, match="has 2 guests or memory dumps") as refused:
        find_target(env, "latest")
    assert "--cell: none-numa2-1, none-numa2-2" in refused.value.remedy
    assert find_target(env, "latest", "none-numa2-2").cell["name"] == "none-numa2-2"


def test_a_run_without_a_guest_or_a_dump_says_how_to_get_one(env: Environment) -> None:
    boot(BootRequest(MADE, NODES), env)
    with pytest.raises(UsageError, match="neither a running guest nor a memory dump") as refused:
        find_target(env, "latest")
    assert "--keep" in refused.value.remedy
    assert "--dump" in refused.value.remedy


def test_an_unknown_run_is_refused_by_its_name(env: Environment) -> None:
    boot(BootRequest(MADE, NODES), env)
    with pytest.raises(UsageError, match="2020-none"):
        find_target(env, "2020-none")


def test_a_link_in_the_place_of_a_dump_is_none(env: Environment, tmp_path: Path) -> None:
    directory = boot(BootRequest(MADE, NODES), env).directory
    (tmp_path / "secret").touch()
    (directory / "none-numa2" / DUMP_FILE).symlink_to(tmp_path / "secret")
    with pytest.raises(UsageError, match="neither"):
        find_target(env, "latest")


def test_a_kernel_that_is_no_longer_in_the_cache_is_an_error_before_gdb_starts(
    env: Environment,
) -> None:
    dumped(env)
    with pytest.raises(UsageError, match="is no longer in the cache") as refused:
        debug(env, find_target(env, "latest"), (), lambda words: pytest.fail(str(words)))
    assert "boot it again" in refused.value.remedy


def test_gdb_opens_the_dump_with_the_users_own_kernel(env: Environment, tmp_path: Path) -> None:
    kernel = made_kernel(tmp_path)
    cell = {"kernel": {"key": kernel.identity.key, "source": str(kernel.kernel)}}
    target = DebugTarget("run none-numa2", cell, dump=tmp_path / DUMP_FILE)
    started: list[Sequence[str]] = []

    def run(words: Sequence[str]) -> int:
        started.append([str(word) for word in words])
        return 7

    assert debug(env, target, ("-batch",), run) == 7
    (words,) = started
    assert Path(words[0]).name == "gdb"
    assert "-nx" in words
    assert words[-1] == "-batch"
    assert any(str(tmp_path / DUMP_FILE) in word for word in words)


class Runner:
    """Prints a backtrace, and notes what it was told to run."""

    def __init__(self, output: str = "") -> None:
        self.output = output
        self.words: list[str] = []

    def run(self, words: Sequence[object], **_: object) -> Any:
        self.words = [str(word) for word in words]
        return SimpleNamespace(
            text=self.output, stdout=self.output.encode(), stderr=b"", returncode=0
        )

    def run_in_foreground(self, words: Sequence[object]) -> int:
        self.words = [str(word) for word in words]
        return 0


def test_a_recorded_backtrace_names_the_sources_below_the_tree(tmp_path: Path) -> None:
    runner = Runner("#0  vpanic () at\t/cache/src/sys/kern/kern_shutdown.c:908\n")
    env = cast("Any", SimpleNamespace(runner=runner))
    kernel = made_kernel(tmp_path, source_roots=("/cache/src", "/usr/src"))
    text = BatchDebugger(env).debug(kernel, "", tmp_path / "stub")
    assert " sys/kern/kern_shutdown.c:908" in text
    assert "\t" not in text
    assert "-nx" in runner.words
    assert any(str(tmp_path / "stub") in word for word in runner.words)


def test_a_user_is_told_before_gdb_takes_the_terminal(tmp_path: Path) -> None:
    runner = Runner()
    told: list[list[str]] = []
    env = cast("Any", SimpleNamespace(runner=runner))
    one = ForegroundDebugger(env, lambda: told.append(list(runner.words)), pytest.fail)
    assert one.debug(made_kernel(tmp_path), "", tmp_path / "stub") == ""
    assert told == [[]]
    assert runner.words
