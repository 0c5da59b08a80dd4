"""Saves of files: each is reported, with real files and the host's own reports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import InfraError
from harness.host.saves import Saves, watched
from harness.runs.watchedcheck import FollowedFiles

PATHS = ("sys/vm/one.c", "sys/kern/two.c")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    for path in (*PATHS, "sys/vm/below/one.c"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("before")
    return tmp_path


@pytest.fixture
def saves(top: Path) -> Iterator[Saves]:
    files = FollowedFiles(top, PATHS)
    with watched(files.directories, files.holds) as found:
        yield found


def test_a_save_is_reported_by_its_file(top: Path, saves: Saves) -> None:
    for path in PATHS:
        (top / path).write_text("after")
        assert saves.wait() == {top / path}


def test_a_file_that_takes_its_place_or_is_removed_is_reported(top: Path, saves: Saves) -> None:
    (top / "new").write_text("after")
    (top / "new").rename(top / PATHS[0])
    assert saves.wait() == {top / PATHS[0]}
    (top / PATHS[0]).unlink()
    assert saves.wait() == {top / PATHS[0]}


def test_headers_beside_them_count_and_other_files_do_not(top: Path, saves: Saves) -> None:
    for other in ("sys/vm/other.c", "sys/vm/one.c.swp", "sys/vm/below/one.c", "sys/other.h"):
        (top / other).write_text("after")
    (top / "sys/vm/one.h").write_text("after")
    assert saves.wait() == {top / "sys/vm/one.h"}


def test_saves_that_nobody_waited_for_are_reported_together(top: Path, saves: Saves) -> None:
    other = watched([top / "sys/vm", top / "sys/kern"], lambda path: path.suffix == ".c")
    with other as seen:  # tells when the reports of all of them have come
        for text in "abc":
            for path in PATHS:
                (top / path).write_text(text)
        reported: frozenset[Path] = frozenset()
        while len(reported) < len(PATHS):
            reported |= seen.wait()
    found = saves.wait()
    while len(found) < len(PATHS):
        found |= saves.wait()
    assert found == {top / path for path in PATHS}


def test_a_directory_that_cannot_be_watched_is_an_error_of_the_host(tmp_path: Path) -> None:
    with (
        watched([tmp_path / "none"], lambda path: True) as saves,
        pytest.raises(InfraError, match=r"cannot watch .*none"),
    ):
        saves.wait()
