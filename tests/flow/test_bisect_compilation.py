"""Which revision broke the compilation: histories of the built-in guest, and its real compiler."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from command import Home, Said
from embedded_history import EmbeddedHistory
from inprocess import call
from small_tree import git

BROKEN, BROKEN_OTHERWISE = "int broken = missing;\n", "int second = absent;\n"
FIRST_ERROR = "embedded/plant.c: error: use of undeclared identifier 'missing'"


def bisected(home: Home, source: Path, *words: str | Path) -> tuple[Said, dict[str, Any]]:
    said = call(home, "bisect", "--source", source, "--with", "build", *words, "--json")
    document: dict[str, Any] = json.loads(said.stdout) if said.stdout else {}
    return said, document


def grow(made: EmbeddedHistory, count: int) -> None:
    """Commits that change the kernel, and twice as many that do not or not for certain."""
    for number in range(count):
        (made.change, made.document, made.comment)[number % 3]()


def breaks(made: EmbeddedHistory, name: str = "plant.c", text: str = BROKEN) -> str:
    made.append(name, text)
    return made.commit(f"Count what {name} does")


def mends(made: EmbeddedHistory, name: str = "plant.c", text: str = BROKEN) -> str:
    made.replace(name, text, "")
    return made.commit(f"Count no more what {name} does")


def test_of_a_hundred_revisions_the_one_that_broke_the_compilation_with_its_first_error(
    shared_home: Home, tmp_path: Path
) -> None:
    made = EmbeddedHistory(tmp_path / "guest")
    grow(made, 62)
    culprit = breaks(made)
    grow(made, 37)
    said, document = bisected(shared_home, made.directory, "--good", "first", "--bad", "main")
    assert said.code == 0, said.stderr
    found = document["bisect"]
    assert (found["revisions"], found["answer"]["commits"]) == (100, [culprit])
    assert found["steps"] <= 7
    assert found["failure"]["title"].endswith(FIRST_ERROR)
    assert "plant.c:" in found["error"]
    assert [step["holds"] for step in found["proof"]] == [True, True, True]
    assert document["cells"] == []
    run = shared_home.runs / document["name"]
    failed = [test["cell"] for test in found["tests"] if test["mark"] == "bad"]
    assert all(
        "undeclared identifier" in (run / cell / "errors.txt").read_text() for cell in failed
    )
    told = call(shared_home, "report").stdout
    assert f"{culprit[:12]} broke the compilation" in told
    assert "expected not to build: does not build" in told
    assert "embedded/plant.c:" in (run / "report.txt").read_text()
    call(shared_home, "report", "--html", tmp_path / "pages")
    assert "First error:" in (tmp_path / "pages" / "index.html").read_text()


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Broken and mended twice, each time otherwise; tags ``broken`` and ``main``."""
    made = EmbeddedHistory(tmp_path_factory.mktemp("twice") / "guest")
    grow(made, 4)
    commits = {"first breakage": breaks(made)}
    grow(made, 7)
    commits["first repair"] = mends(made)
    grow(made, 4)
    commits["second breakage"] = breaks(made, "pool.c", BROKEN_OTHERWISE)
    grow(made, 4)
    made.tag("broken")
    commits["second repair"] = mends(made, "pool.c", BROKEN_OTHERWISE)
    grow(made, 4)
    return made.directory, commits


@pytest.mark.long
def test_broken_twice_it_finds_what_the_end_fails_with(
    shared_home: Home, twice: tuple[Path, dict[str, str]]
) -> None:
    directory, commits = twice
    said, document = bisected(shared_home, directory, "--good", "first", "--bad", "broken")
    assert said.code == 0, said.stderr
    found = document["bisect"]
    assert found["answer"]["commits"] == [commits["second breakage"]]
    assert [step["holds"] for step in found["proof"][:2]] == [True, True]
    assert "conflicts" in found["proof"][2]["problem"]  # with remarks that came after it
    assert "pool.c" in found["error"]
    assert "fails differently" in call(shared_home, "report").stdout


@pytest.mark.long
def test_mended_twice_it_finds_what_mended_the_end(
    shared_home: Home, twice: tuple[Path, dict[str, str]]
) -> None:
    directory, commits = twice
    said, document = bisected(
        shared_home, directory, "--fixed", "--good", "main", "--bad", "broken"
    )  # fmt: skip
    assert said.code == 0, said.stderr
    assert document["bisect"]["answer"]["commits"] == [commits["second repair"]]
    assert "fixed the compilation" in call(shared_home, "report").stdout


@pytest.mark.long
def test_if_every_error_counts_the_transition_is_proven_and_the_ends_other_error_told(
    shared_home: Home, twice: tuple[Path, dict[str, str]]
) -> None:
    directory, commits = twice
    said, document = bisected(
        shared_home, directory, "--good", "first", "--bad", "broken", "--any-failure"
    )  # fmt: skip
    assert said.code == 0, said.stderr
    found = document["bisect"]
    (culprit,) = found["answer"]["commits"]
    assert culprit in (commits["first breakage"], commits["second breakage"])
    assert [step["holds"] for step in found["proof"][:2]] == [True, True]
    if culprit == commits["first breakage"]:
        assert "pool.c" in found["end_error"]
        assert "the bad end has another first error" in call(shared_home, "report").stdout


@pytest.mark.long
def test_on_two_branches_the_merge_base_is_compiled_first(
    shared_home: Home, tmp_path: Path
) -> None:
    made = EmbeddedHistory(tmp_path / "guest")
    grow(made, 2)
    base = made.change()
    git(made.directory, "checkout", "--quiet", "-b", "side")
    grow(made, 2)
    made.tag("good")
    git(made.directory, "checkout", "--quiet", "main")
    made.change()
    culprit = breaks(made)
    made.change()
    said, document = bisected(shared_home, made.directory, "--good", "good", "--bad", "main")
    assert said.code == 0, said.stderr
    assert "on two branches, so their merge base is tested first" in said.stderr
    found = document["bisect"]
    assert found["tests"][0]["commit"] == base
    assert (found["merge_bases"], found["answer"]["commits"]) == ([base], [culprit])
    assert f"their merge base {base[:12]}: builds" in call(shared_home, "report").stdout
    said, document = bisected(shared_home, made.directory, "--good", "good", "--bad", culprit)
    assert document["bisect"]["answer"]["commits"] == [culprit]


def test_a_merge_base_that_does_not_compile_says_what_to_ask_instead(
    shared_home: Home, tmp_path: Path
) -> None:
    made = EmbeddedHistory(tmp_path / "guest")
    base = breaks(made)
    git(made.directory, "checkout", "--quiet", "-b", "side")
    mends(made)
    made.tag("good")
    git(made.directory, "checkout", "--quiet", "main")
    made.change()
    said, document = bisected(shared_home, made.directory, "--good", "good", "--bad", "main")
    assert said.code == 1, said.stderr
    found = document["bisect"]
    assert [test["commit"] for test in found["tests"]] == [base]
    assert f"the merge base {base[:12]} fails as well" in found["answer"]["reason"]
    assert "--fixed --bad" in found["answer"]["reason"]


@pytest.mark.long
def test_first_parents_name_the_merge_and_skipped_revisions_are_never_compiled(
    shared_home: Home, tmp_path: Path
) -> None:
    made = EmbeddedHistory(tmp_path / "guest")
    made.change()
    git(made.directory, "checkout", "--quiet", "-b", "side")
    broken = breaks(made)
    made.append("pool.c", "/* A side branch. */\n")
    left_out = made.commit("A remark on a side branch")
    git(made.directory, "checkout", "--quiet", "main")
    made.document()
    git(made.directory, "merge", "--quiet", "--no-ff", "--message", "Merge the side", "side")
    merge = git(made.directory, "rev-parse", "HEAD")
    made.change()
    ends = ("--good", "first", "--bad", "main")
    said, document = bisected(shared_home, made.directory, *ends, "--first-parent")
    assert said.code == 0, said.stderr
    found = document["bisect"]
    assert found["answer"]["commits"] == [merge]
    assert not {broken, left_out} & {test["commit"] for test in found["tests"]}
    assert [step["what"] for step in found["proof"]].count("its parent") == 1
    skip = tmp_path / "skip"
    skip.write_text(f"# not now\n{left_out[:12]}  # a remark\n")
    said, document = bisected(shared_home, made.directory, *ends, "--skip", skip)
    assert said.code == 0, said.stderr
    assert document["bisect"]["answer"]["commits"] == [broken]
    assert left_out not in {test["commit"] for test in document["bisect"]["tests"]}


def test_an_end_that_does_not_compile_suggests_to_ask_for_that(
    empty_home: Home, tmp_path: Path
) -> None:
    """In a home of its own: what the refused bisection has found is kept to go on from."""
    made = EmbeddedHistory(tmp_path / "guest")
    breaks(made)
    words = ("bisect", "--source", made.directory, "--good", "first", "--bad", "main",
             "--accelerator", "tcg")  # fmt: skip
    said = empty_home.run(*words)
    assert said.code == 4
    assert "to find the revision that broke the compilation, add --with build" in said.error
    said = call(empty_home, *words, "--with", "build")
    assert said.code == 0, said.stderr


@pytest.mark.long
def test_killed_it_goes_on_without_compiling_again_what_it_knows(
    shared_home: Home, tmp_path: Path
) -> None:
    made = EmbeddedHistory(tmp_path / "guest")
    grow(made, 12)
    culprit = breaks(made)
    grow(made, 3)
    words = ("bisect", "--source", made.directory, "--with", "build", "--good", "first",
             "--bad", "main")  # fmt: skip
    with shared_home.started(*words) as running:
        running.wait_for_words("bad   ")
        running.end_by(signal.SIGKILL)
    shared_home.wait_until_nothing_runs()
    said, document = bisected(shared_home, made.directory, "--good", "first", "--bad", "main")
    assert said.code == 0, said.stderr
    assert "resuming" in said.stderr
    assert document["bisect"]["answer"]["commits"] == [culprit]
    tested = [test["commit"] for test in document["bisect"]["tests"]]
    assert len(tested) == len(set(tested))
