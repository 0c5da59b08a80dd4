"""The whole command on a history of the built-in guest: real compiler, real guests."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from command import Home, Said
from embedded_history import EmbeddedHistory, usual_history
from inprocess import call
from small_tree import commit, git, git_tree, plain_tree

from harness.cli.main import COMMANDS

GUEST = ("--numa", "2", "--accelerator", "tcg")
PANIC = "vm_map_entry_create: kernel resources exhausted"


def bisected(home: Home, source: Path, *words: str | Path) -> tuple[Said, dict[str, Any]]:
    said = home.run("bisect", "--source", source, *GUEST, *words, "--json")
    document: dict[str, Any] = json.loads(said.stdout) if said.stdout else {}
    return said, document.get("bisect", {})


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A history whose last revision is bad, and the culprit."""
    made, culprit = usual_history(tmp_path_factory.mktemp("history") / "guest")
    return made.directory, culprit


@pytest.mark.guest
def test_the_culprit_is_found_among_idle_unbuildable_and_strange_revisions_and_proven(
    shared_home: Home, broken: tuple[Path, str]
) -> None:
    directory, culprit = broken
    said, found = bisected(shared_home, directory, "--good", "first", "--bad", "last")
    assert said.code == 0, said.stderr
    assert found["answer"]["commits"] == [culprit]
    assert found["answer"]["confidence"] >= 0.95
    assert found["failure"]["title"] == PANIC
    assert [step["holds"] for step in found["proof"]] == [True, True, True]
    assert "Simplify keg_fetch_slab()" in found["culprits"][0]["message"]
    assert "keg.c" in found["culprits"][0]["diffstat"]
    record = shared_home.run("report")
    assert record.code == 0
    assert f"{culprit[:12]} broke it" in record.stdout
    run = max(shared_home.runs.glob("*-bisect"))
    assert {"record.json", "report.txt"} <= {path.name for path in run.iterdir()}
    for test in found["tests"]:
        assert (run / test["cell"] / "console.log").stat().st_size > 0
    assert not list((shared_home.directory / "state/harness/bisect").glob("*"))


@pytest.mark.guest
def test_the_revision_that_fixed_it_is_found_and_logs_go_to_git_and_back(
    shared_home: Home, tmp_path: Path
) -> None:
    made = EmbeddedHistory(tmp_path / "guest")
    made.break_it()
    made.tag("broken")
    made.change()
    mended = made.mend_it()
    made.change()
    made.change()
    log = tmp_path / "log"
    ends = ("--good", "main", "--bad", "broken", "--fixed")
    said, found = bisected(shared_home, made.directory, *ends, "--export", log)
    assert said.code == 0, said.stderr
    assert found["answer"]["commits"] == [mended]
    git(made.directory, "bisect", "replay", str(log))
    assert git(made.directory, "rev-parse", "refs/bisect/fixed") == mended
    said, again = bisected(shared_home, made.directory, "--fixed", "--import", log)
    assert said.code == 0, said.stderr
    assert again["answer"]["commits"] == [mended]
    outcomes = [test["outcome"] for test in again["tests"]]
    assert outcomes.count("by the log") == len(
        {test["commit"] for test in found["tests"]} - {found["proof"][-1]["commit"]}
    )


@pytest.mark.guest
def test_a_wrong_allocator_that_boots_is_found_by_the_check(
    shared_home: Home, tmp_path: Path
) -> None:
    """With the reserve in the domain that asks first, the broken guest boots."""
    made = EmbeddedHistory(tmp_path / "guest")
    made.change()
    culprit = made.break_it()
    made.change()
    said, found = bisected(
        shared_home, made.directory, "--good", "first", "--bad", "main", "--with", "check",
        "--tunable", "uma.prealloc_domain=0",
    )  # fmt: skip
    assert said.code == 0, said.stderr
    assert found["answer"]["commits"] == [culprit]
    assert found["failure"]["title"] == "check: the guest differs from the model"


@pytest.mark.guest
def test_a_command_judges_each_kept_guest_and_is_told_where_it_is(
    shared_home: Home, broken: tuple[Path, str], tmp_path: Path
) -> None:
    """It looks for the banner of the third change; the guests have one node, and boot."""
    directory, _ = broken
    script = tmp_path / "look.sh"
    script.write_text(
        "#!/bin/sh\n"
        'test -S "$HARNESS_CONSOLE_SOCKET" || exit 200\n'
        'test -f "$HARNESS_KERNEL" || exit 200\n'
        'grep -q "^build 8" "$HARNESS_CONSOLE" && exit 7\n'
        "exit 0\n"
    )
    script.chmod(0o755)
    said = shared_home.run(
        "bisect", "--source", directory, "--numa", "1", "--accelerator", "tcg", "--json",
        "--good", "first", "--bad", "main~10", "--", script,
    )  # fmt: skip
    assert said.code == 0, said.stderr
    found = json.loads(said.stdout)["bisect"]
    assert found["culprits"][0]["message"].startswith("Say build 8")
    assert found["failure"]["title"] == f"{script} failed"
    assert not json.loads(shared_home.run("ps", "--json").stdout)["guests"]


@pytest.mark.guest
def test_a_failure_that_does_not_show_ends_it_inconclusive(
    shared_home: Home, broken: tuple[Path, str]
) -> None:
    directory, _ = broken
    said = shared_home.run(
        "bisect", "--source", directory, "--numa", "1", "--accelerator", "tcg", "--repeat", "3",
        "--good", "first", "--bad", "last",
    )  # fmt: skip
    assert said.code == 1
    assert "could not reproduce the failure" in said.stdout


@pytest.fixture
def bisecting_home(home: Home, shared_home: Home) -> Home:
    """A new one, with the kernels of the histories that the shared one has built by now."""
    kernels = shared_home.cache / "kernels"
    shutil.copytree(
        kernels, home.cache / "kernels", ignore=shutil.ignore_patterns(".*"), dirs_exist_ok=True
    )
    return home


@pytest.mark.guest
@pytest.mark.parametrize(
    "signum", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.long)]
)
def test_killed_it_goes_on_where_it_was_unless_it_is_to_begin_anew(
    bisecting_home: Home, broken: tuple[Path, str], signum: signal.Signals
) -> None:
    directory, culprit = broken
    words = ("bisect", "--source", directory, *GUEST, "--good", "first", "--bad", "last")
    with bisecting_home.started(*words) as running:
        running.wait_for_words(PANIC)
        running.end_by(signum)
    bisecting_home.wait_until_nothing_runs()
    said, found = bisected(bisecting_home, directory, "--good", "first", "--bad", "last")
    assert said.code == 0, said.stderr
    assert "resuming" in said.stderr
    assert found["answer"]["commits"] == [culprit]
    assert not bisecting_home.leftovers()
    assert not bisecting_home.held_locks()


@pytest.mark.guest
def test_retry_of_a_bisection_goes_on_where_it_was(
    bisecting_home: Home, broken: tuple[Path, str]
) -> None:
    directory, culprit = broken
    words = ("bisect", "--restart", *GUEST, "--good", "first", "--bad", "last")
    with bisecting_home.started(*words, HARNESS_SOURCE=str(directory)) as running:
        running.wait_for_words(PANIC)
        running.end_by(signal.SIGINT)
    bisecting_home.wait_until_nothing_runs()
    (run,) = bisecting_home.runs.iterdir()
    assert f"harness runs retry {run.name}" in bisecting_home.run("report").stdout
    assert "is a bisection" in bisecting_home.run("runs", "retry", run.name, "a-cell").error
    said = bisecting_home.run("runs", "retry", "--json")
    assert said.code == 0, said.stderr
    assert f"resuming {run.name}" in said.stderr
    document = json.loads(said.stdout)
    assert (document["name"], document["source"]) == (run.name, str(directory))
    assert document["bisect"]["answer"]["commits"] == [culprit]
    assert "nothing of" in bisecting_home.run("runs", "retry").stderr


def test_what_cannot_be_searched_is_refused_with_a_remedy(home: Home, tmp_path: Path) -> None:
    tree = git_tree(tmp_path / "tree")
    commit(tree, "next")
    plain = plain_tree(tmp_path / "plain")
    log = tmp_path / "log"
    log.write_text("what is this?\n")
    ends = ("--good", "first", "--bad", "next")
    for words, told in (
        (("--source", "embedded", *ends), "has no history"),
        (("--source", plain, *ends), "plain directory"),
        (("--source", tree, "--good", "first"), "--bad is missing"),
        (("--source", tree, "--bad", "first"), "--good is missing"),
        (("--source", tree, "--good", "first", "--bad", "first"), "the same revision"),
        (("--source", tree, "--good", "first", "--bad", "gone"), "no revision 'gone'"),
        (("--source", tree, "--good", "next", "--bad", "first"), "add --fixed"),
        (("--source", tree, *ends, "--fixed"), "leave --fixed out"),
        (("--source", tree, *ends, "--numa", "1,2"), "several guests"),
        (("--source", tree, *ends, "--title", "x", "--any-failure"), "exclude each other"),
        (("--source", tree, *ends, "--with", "check", "--", "true"), "both judge"),
        (("--source", tree, *ends, "--import", log), "line 1 is not a line of a bisect log"),
        (("--source", tree, *ends, "--confidence", "10"), "confidence"),
    ):
        said = call(home, "bisect", *words)
        assert said.code == 2, said.stderr
        assert told in said.stderr
    assert not list(home.runs.glob("*"))
    assert "bisect" in [place.name for place in COMMANDS]


def test_ends_without_a_change_of_the_kernel_need_no_boot(home: Home, tmp_path: Path) -> None:
    tree = git_tree(tmp_path / "tree")
    (tree / "README").write_text("A document.\n")
    commit(tree, "next")
    said = home.run("bisect", "--source", tree, "--good", "first", "--bad", "next",
                    "--accelerator", "tcg")  # fmt: skip
    assert said.code == 1, said.stderr
    assert "no revision between the two ends changes the kernel" in said.stdout


def test_an_end_that_does_not_build_ends_it_with_the_builds_exit_code(
    home: Home, tmp_path: Path
) -> None:
    tree = git_tree(tmp_path / "tree")
    (tree / "sys/kern/kern_main.c").write_text("int other;\n")
    commit(tree, "next")
    said = home.run("bisect", "--source", tree, "--good", "first", "--bad", "next",
                    "--accelerator", "tcg")  # fmt: skip
    assert said.code == 4, said.stderr
    assert "does not build on this host" in said.stderr
