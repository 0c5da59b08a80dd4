"""The last line of a test run, and when a skipped FreeBSD test fails it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from freebsd_source import configured_tree

from harness.host.process import Finished, HostRunner

TESTS = Path(__file__).parents[1]

SUITE = """
import pytest

@pytest.mark.freebsd
def test_boots(): pass

@pytest.mark.freebsd
@pytest.mark.parametrize("n", [1, 2])
def test_needs_a_tree(n, freebsd_tree): assert freebsd_tree.is_dir()

@pytest.mark.freebsd
@pytest.mark.long
def test_boots_five_times(): pass

def test_unmarked(): pytest.skip("not of FreeBSD")
"""

ELSEWHERE = """
def test_anything(): pass
"""

INI = """
[pytest]
addopts = --strict-markers -p no:cacheprovider
markers =
    freebsd: x
    long: x
"""

RunSuite = Callable[..., Finished]


@pytest.fixture
def run_suite(tmp_path: Path) -> RunSuite:
    """Runs a small suite with our plugin in a directory of its own."""
    directory = tmp_path / "freebsd"
    directory.mkdir()
    (tmp_path / "pytest.ini").write_text(INI)
    for name in ("conftest.py", "tallies.py", "freebsd_source.py", "freebsd/conftest.py"):
        shutil.copyfile(TESTS / name, tmp_path / name)
    (directory / "test_suite.py").write_text(SUITE)
    (tmp_path / "test_elsewhere.py").write_text(ELSEWHERE)

    def run(*arguments: str, source: str = "") -> Finished:
        env = {
            "HARNESS_SOURCE": source, "XDG_CONFIG_HOME": str(tmp_path),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # half of the time goes into others' plugins
        }  # fmt: skip
        argv = [sys.executable, "-m", "pytest", *arguments]
        return HostRunner().run(argv, cwd=tmp_path, env=env, check=False)

    return run


def last_line(finished: Finished) -> str:
    return finished.text.splitlines()[-1]


def test_without_a_tree_skips_are_told_with_their_reason_and_do_no_harm(
    run_suite: RunSuite,
) -> None:
    finished = run_suite()
    assert last_line(finished) == (
        "freebsd: 1 ran, 2 skipped (no source tree: set HARNESS_SOURCE or source.tree of the "
        "settings)"
    )
    assert finished.returncode == 0


@pytest.mark.parametrize(
    ("source", "tree"), [("embedded", None), ("file:///usr/src", None), ("/usr/src", "/usr/src")]
)
def test_neither_a_url_nor_the_built_in_guest_is_a_tree(
    monkeypatch: pytest.MonkeyPatch, source: str, tree: str | None
) -> None:
    monkeypatch.setenv("HARNESS_SOURCE", source)
    assert configured_tree() == tree


def test_with_a_tree_all_run(run_suite: RunSuite, tmp_path: Path) -> None:
    newvers = tmp_path / "src/sys/conf/newvers.sh"
    newvers.parent.mkdir(parents=True)
    newvers.touch()
    finished = run_suite(source=str(tmp_path / "src"))
    assert last_line(finished) == "freebsd: 3 ran, 0 skipped"
    assert finished.returncode == 0


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2", "--dist", "loadfile")])
def test_with_a_tree_a_skip_fails_the_run(
    run_suite: RunSuite, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    newvers = tmp_path / "src/sys/conf/newvers.sh"
    newvers.parent.mkdir(parents=True)
    newvers.touch()
    skips = '\n@pytest.mark.freebsd\ndef test_skips(): pytest.skip("too lazy")\n'
    (tmp_path / "freebsd" / "test_suite.py").write_text(SUITE + skips)
    finished = run_suite(*workers, source=str(tmp_path / "src"))
    assert last_line(finished) == "freebsd: 3 ran, 1 skipped (too lazy)"
    assert finished.returncode == pytest.ExitCode.TESTS_FAILED


def test_tree_that_is_not_there_is_an_error_and_no_skip(
    run_suite: RunSuite, tmp_path: Path
) -> None:
    finished = run_suite(source=str(tmp_path / "src"))
    assert finished.returncode == pytest.ExitCode.TESTS_FAILED
    assert "is not a FreeBSD source tree" in finished.text


def test_long_ones_are_left_out_unless_asked_for(run_suite: RunSuite) -> None:
    assert last_line(run_suite("--long")).startswith("freebsd: 2 ran")


def test_listing_tests_counts_none(run_suite: RunSuite) -> None:
    assert "freebsd:" not in run_suite("--collect-only", "-q").text
