"""Which source is meant, and who named one that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.provide.sources import NAMED_SOURCES
from harness.source.location import OFFICIAL_SOURCE, existing_location, source_location


def test_a_flag_beats_the_variable_and_that_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_SOURCE", "/variable")
    assert source_location("/flag", lambda: "/settings") == "/flag"
    assert source_location(None, lambda: "/settings") == "/variable"
    monkeypatch.delenv("HARNESS_SOURCE")
    assert source_location(None, lambda: "/settings") == "/settings"
    assert source_location(None, lambda: None) == OFFICIAL_SOURCE


@pytest.mark.parametrize("location", ["embedded", "https://host/src.git", "git@host:src.git"])
def test_what_is_no_path_is_not_looked_for(location: str) -> None:
    assert existing_location(location, lambda: None, NAMED_SOURCES) == location


def test_the_remedy_names_what_named_the_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = str(tmp_path / "gone")
    monkeypatch.delenv("HARNESS_SOURCE", raising=False)
    for flag, variable, remedy in [
        (gone, None, "with --source"), (None, gone, "with HARNESS_SOURCE"),
        (None, None, "with source.tree of the settings"),
    ]:  # fmt: skip
        if variable:
            monkeypatch.setenv("HARNESS_SOURCE", variable)
        words = f"the source tree {gone} is not a directory"
        with pytest.raises(UsageError, match=words) as caught:
            existing_location(flag, lambda: gone, NAMED_SOURCES)
        assert caught.value.remedy.endswith(remedy)
        monkeypatch.delenv("HARNESS_SOURCE", raising=False)
    assert existing_location(str(tmp_path), lambda: None, NAMED_SOURCES) == str(tmp_path)
