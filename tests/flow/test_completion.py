"""Completion in real shells: what a user sees who presses Tab."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Home
from inprocess import call
from small_tree import commit, git_tree

BIN = Path(sys.executable).parent
"""Where pip has put the program."""

BASH = """\
eval "$(_HARNESS_COMPLETE=bash_source harness)"
COMP_WORDS=({words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_harness_completion harness
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
FISH = "_HARNESS_COMPLETE=fish_source harness | source; complete --do-complete {line}"


def bash(home: Home, *words: str) -> list[str]:
    """What bash would insert for the last word."""
    script = BASH.format(words=" ".join(map(shlex.quote, ("harness", *words))))
    return _lines(home, "bash", "--norc", "-c", script)


def fish(home: Home, *words: str) -> list[str]:
    """What fish would insert for the last word; it shows a description beside it."""
    line = shlex.quote(" ".join(("harness", *words)))
    lines = _lines(home, "fish", "--no-config", "-c", FISH.format(line=line))
    return [found.partition("\t")[0] for found in lines]


Complete = Callable[..., list[str]]

SHELLS = pytest.mark.parametrize("complete", [bash, fish], ids=["bash", "fish"])


def _lines(home: Home, *argv: str) -> list[str]:
    if shutil.which(argv[0]) is None:
        pytest.skip(f"no {argv[0]} here")
    path = f"{BIN}:{home.env['PATH']}"
    finished = subprocess.run(
        argv, env={**home.env, "PATH": path, "TERM": "dumb"}, cwd=home.directory, check=True,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert finished.stderr == ""
    return finished.stdout.split("\n")[:-1]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = git_tree(tmp_path_factory.mktemp("completed") / "tree")
    commit(tree, "second")
    subprocess.run(["git", "-C", tree, "branch", "stable/14"], check=True)
    subprocess.run(["git", "-C", tree, "tag", "release/14.0"], check=True)
    return tree


@SHELLS
def test_names_that_come_with_the_harness(shared_home: Home, complete: Complete) -> None:
    assert complete(shared_home, "bi") == ["bisect"]
    assert complete(shared_home, "boot", "--mutant", "drop-com") == ["drop-commit"]
    assert complete(shared_home, "boot", "--vm", "numa4-ka") == ["numa4-kasan"]
    assert "--git-bisect" in complete(shared_home, "boot", "--git")
    assert complete(shared_home, "boot", "--source", "emb") == ["embedded"]


def test_bash_completes_what_follows_an_equals_sign(shared_home: Home, tree: Path) -> None:
    """It hands on the sign as a word of its own."""
    assert bash(shared_home, "boot", "--vm", "=", "numa4-ka") == ["numa4-kasan"]
    assert "numa4-kasan" in bash(shared_home, "boot", "--vm", "=")
    words = ("boot", "--source", "=", str(tree), "--rev", "=", "st")
    assert bash(shared_home, *words) == ["stable/14"]
    assert bash(shared_home, "boot", "--tunable", "a", "=", "b", "--mutant", "drop-com") == [
        "drop-commit"
    ]  # fmt: skip


@SHELLS
def test_revisions_are_the_tree_s(shared_home: Home, tree: Path, complete: Complete) -> None:
    for command, option in (("boot", "--rev"), ("bisect", "--good"), ("compare", "--commit")):
        words = (command, "--source", str(tree), option)
        assert complete(shared_home, *words, "st") == ["stable/14"]
        assert complete(shared_home, *words, "rel") == ["release/14.0"]


@pytest.mark.guest
@SHELLS
def test_runs_and_their_cells(shared_home: Home, complete: Complete) -> None:
    said = call(shared_home, "boot", "--source", "embedded", "--accelerator", "tcg", "--json")
    run = json.loads(said.stdout)["name"]
    assert complete(shared_home, "report", "lat") == ["latest"]
    assert complete(shared_home, "report", run[:-1]) == [run]
    assert complete(shared_home, "console", run, "none") == ["none-numa1"]


@pytest.mark.parametrize(
    "words",
    [
        ("boot", "--source", "/no/tree", "--rev", ""),
        ("boot", "--source", "https://invalid.invalid/src.git", "--rev", ""),
        ("report", "--out", "/no/records", "no"),
        ("console", "no-such-run", ""),
    ],
)
def test_what_is_not_there_has_no_words_and_no_error(home: Home, words: tuple[str, ...]) -> None:
    began = {path for path in home.directory.rglob("*") if path.is_file()}
    assert [line for line in bash(home, *words) if line] == []
    assert {path for path in home.directory.rglob("*") if path.is_file()} == began


def test_settings_that_cannot_be_read_have_no_words(home: Home) -> None:
    home.configure("[boot")
    assert [line for line in bash(home, "boot", "--rev", "") if line] == []


def test_zsh_offers_what_the_others_do(shared_home: Home) -> None:
    """In a terminal of its own: zsh completes nowhere else."""
    zsh = shutil.which("zsh")
    if zsh is None:
        pytest.skip("no zsh here")
    words = 'autoload -U compinit; compinit -u; eval "$(_HARNESS_COMPLETE=zsh_source harness)"'
    typed = "harness boot --mutant drop-com\t"
    script = (
        "zmodload zsh/zpty; zpty z 'zsh -f -i'; "
        f"zpty -w z {shlex.quote(words)}; zpty -w z 'echo rea\"\"dy'; "
        "while zpty -r z line; do [[ $line == *ready* ]] && break; done; "
        f"zpty -n -w z {shlex.quote(typed)}; "
        "while zpty -r z line '*drop-commit*'; do print -r -- $line; break; done; zpty -d z"
    )
    path = f"{BIN}:{shared_home.env['PATH']}"
    finished = subprocess.run(
        [zsh, "-f", "-c", script], env={**shared_home.env, "PATH": path, "TERM": "dumb"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "drop-commit" in finished.stdout, finished.stderr
