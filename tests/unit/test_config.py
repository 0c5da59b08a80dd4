"""The user's settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import (
    Settings,
    SourceSettings,
    load_settings,
    settings_file,
)
from harness.errors import UsageError
from harness.source.location import OFFICIAL_SOURCE, source_location


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings' file, which is not there yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "harness" / "config.toml"
    path.parent.mkdir()
    return path


def test_file_is_where_xdg_says(settings: Path) -> None:
    assert settings_file() == settings


@pytest.mark.usefixtures("settings")
def test_no_file_means_the_defaults() -> None:
    assert load_settings() == Settings()


def test_file_is_read(settings: Path) -> None:
    settings.write_text(
        '[source]\ntree = "/usr/src"\n[boot]\nbackend = "libvirt"\nmethod = "direct"\n'
    )
    loaded = load_settings()
    assert loaded.source.tree == "/usr/src"
    assert (loaded.boot.backend, loaded.boot.method) == ("libvirt", "direct")


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ('[source]\ntee = "/usr/src"', "no setting source.tee", "did you mean source.tree?"),
        ("[sauce]\n", "no setting sauce", "did you mean source?"),
        ("[zzz]\n", "no setting zzz", "known keys: source, build, boot, "),
        ("[source]\ntree = 13", "source.tree: expected `str`, got `int`", "correct"),
        ('source = "/usr/src"', "source: expected `object`, got `str`", "correct"),
        ("[source", "is not TOML", "correct the line"),
    ],
)
def test_wrong_file_is_the_users_fault_and_the_error_says_where(
    settings: Path, text: str, message: str, remedy: str
) -> None:
    settings.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert str(settings) in caught.value.message
    assert message in caught.value.message
    assert remedy in caught.value.remedy


def test_file_that_is_no_text_is_the_users_fault(settings: Path) -> None:
    settings.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot read"):
        load_settings()


@pytest.mark.parametrize(
    ("flag", "variable", "tree", "expected"),
    [
        ("flag", "variable", "file", "flag"),
        (None, "variable", "file", "variable"),
        (None, None, "file", "file"),
        (None, "", "file", "file"),
        (None, None, None, OFFICIAL_SOURCE),
    ],
)
def test_flag_beats_variable_beats_file_beats_default(
    flag: str | None,
    variable: str | None,
    tree: str | None,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HARNESS_SOURCE", raising=False)
    if variable is not None:
        monkeypatch.setenv("HARNESS_SOURCE", variable)
    settings = Settings(source=SourceSettings(tree=tree))
    assert source_location(flag, lambda: settings.source.tree) == expected
