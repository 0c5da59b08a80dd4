"""Commands and suites in guests with a userland: which world they get, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fake_environment import NODES, FakeProvider, fake_environment
from fake_guests import boots
from small_tree import commit, copied, git_tree

from harness.errors import UsageError
from harness.execution.program import ProgramPlan
from harness.host.progress import Recorded
from harness.outcome import Outcome, Until
from harness.runs.environment import Environment
from harness.runs.execute import ExecRequest, execute, result_of
from harness.runs.guests import Guests
from harness.runs.imports import ImportRequest, import_image
from harness.runs.kyua import KyuaRequest, kyua
from harness.runs.view import Unseen
from harness.runs.worlds import suite_directories, userland_cell, with_world, world_for
from harness.sanitizers import NONE
from harness.source.opentree import open_tree
from harness.source.request import KernelRequest
from harness.world.config import WorldKind
from harness.world.image import DISK, HOST_KEY, KEY, World, WorldCache, WorldIdentity

MADE = KernelRequest("made")
SLIM = WorldIdentity(
    "a" * 40, "made", "1a2b3c4d5e", None, "t" * 40, dirty=False, overlaid=(),
    release="13.2-RELEASE", kind="slim", suites=(), services="few", compiler="clang",
)  # fmt: skip


@pytest.fixture
def env(tmp_path: Path) -> Iterator[Environment]:
    """An environment whose only tree has the suite sys/vm."""
    tree = copied(tmp_path / "tree", make_suites)
    provider = FakeProvider(tmp_path)
    with fake_environment(tmp_path, boots, provider) as made:
        provider.tree = open_tree(str(tree), made.workspace, made.runner)
        yield made


def make_suites(tree: Path) -> None:
    git_tree(tree)
    makefile = tree / "tests/sys/vm/Makefile"
    makefile.parent.mkdir(parents=True)
    makefile.write_text("TESTSDIR=${TESTSBASE}/sys/vm\n")
    commit(tree, "suites")


def stored(env: Environment, identity: WorldIdentity) -> World:
    file = env.workspace.state / "file"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    return WorldCache(env.workspace).store(identity, {DISK: file, KEY: file, HOST_KEY: file})


# --- worlds -----------------------------------------------------------------------------------


def test_a_guest_with_a_userland_is_up_when_it_can_be_logged_in_to() -> None:
    asked = with_world(NODES, WorldKind.SLIM)
    assert (asked.until, asked.world, asked.numa) == (Until.SSH, "slim", "2")
    assert with_world(replace(NODES, world="0123"), WorldKind.TESTS).world == "0123"


def test_a_cached_world_of_the_release_serves_other_revisions(env: Environment) -> None:
    world = stored(env, SLIM)
    progress = Recorded()
    assert world_for(MADE, None, env, progress) == world
    assert world_for(MADE, "slim", env, progress) == world
    assert progress.stages == ["world", "world"]


def test_a_world_is_named_by_the_start_of_its_key(env: Environment) -> None:
    world = stored(env, SLIM)
    assert world_for(MADE, "aaaa", env, Recorded()) == world


def test_an_unknown_world_is_refused_with_the_command_that_lists_them(env: Environment) -> None:
    stored(env, SLIM)
    with pytest.raises(UsageError, match="there is no world 'bbbb'") as refused:
        world_for(MADE, "bbbb", env, Recorded())
    assert "harness image ls" in refused.value.remedy


def test_the_cell_of_a_userland_expects_it_to_come_up(env: Environment) -> None:
    asked = with_world(NODES, WorldKind.SLIM)
    guests = Guests.of(env, Unseen(), asked, MADE)
    cell = userland_cell(guests, MADE, None, "exec")
    assert (cell.name, cell.expected, cell.world) == ("none-numa2", (Outcome.BOOTED,), "slim")
    assert cell.what.userland


def test_suites_are_found_in_the_tree(env: Environment) -> None:
    found = suite_directories(MADE, ["sys/vm", "sys/none"], env)
    assert found == {"sys/vm": "tests/sys/vm", "sys/none": None}


# --- exec and kyua ----------------------------------------------------------------------------


def test_a_command_runs_in_one_guest(env: Environment) -> None:
    several = replace(NODES, numa="1,2")
    with pytest.raises(UsageError, match="exec"):
        execute(ExecRequest(MADE, ProgramPlan("true"), several), env)


def test_a_guest_that_did_not_come_up_has_no_result_of_the_command() -> None:
    cells = [SimpleNamespace(program=each) for each in (None, "a result", "another")]
    found = result_of(cast("Any", SimpleNamespace(run=SimpleNamespace(cells=cells))))
    assert cast("Any", found) == "a result"
    assert result_of(cast("Any", SimpleNamespace(run=SimpleNamespace(cells=cells[:1])))) is None


def test_a_suite_that_the_tree_does_not_have_is_refused_before_anything_runs(
    env: Environment,
) -> None:
    with pytest.raises(UsageError, match="made has no suite 'sys/none'") as refused:
        kyua(KyuaRequest(MADE, ("sys/vm", "sys/none"), NODES), env)
    assert "--put DIR:/usr/tests/sys/none" in refused.value.remedy


def test_a_suite_that_is_copied_into_the_guest_needs_no_directory_of_the_tree(
    env: Environment, tmp_path: Path
) -> None:
    own = (tmp_path, PurePosixPath("/usr/tests/sys/none"))
    several = replace(NODES, numa="1,2")
    with pytest.raises(UsageError) as refused:  # of the guests, not of the suite
        kyua(KyuaRequest(MADE, ("sys/none",), several, put=(own,)), env)
    assert "no suite" not in refused.value.message


# --- imported images --------------------------------------------------------------------------


def test_a_file_that_is_no_image_never_gets_to_a_guest(env: Environment, tmp_path: Path) -> None:
    text = tmp_path / "image"
    text.write_text("no image\n" * 1000)
    for name in (str(tmp_path / "none"), str(text)):
        with pytest.raises(UsageError):
            import_image(ImportRequest(name, MADE, guest=NODES, sanitizers=NONE), env, Recorded())
    assert cast("Any", env.backend).started == []
