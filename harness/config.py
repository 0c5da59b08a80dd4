"""The user's settings: ``$XDG_CONFIG_HOME/harness/config.toml``.

A flag beats an environment variable, that beats this file, that beats the default.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import UsageError


class SourceSettings(BaseModel):
    """``[source]``."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    tree: str | None = None
    """A FreeBSD source tree, a git URL, or ``embedded``."""


class BootSettings(BaseModel):
    """``[boot]``."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    backend: Literal["qemu", "libvirt"] = "qemu"
    """``qemu`` or ``libvirt``."""
    libvirt_uri: str | None = None
    """The libvirt connection; None chooses by user (see ``harness.guest.libvirt``)."""


class Settings(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: SourceSettings = SourceSettings()
    boot: BootSettings = BootSettings()


def settings_file() -> Path:
    """Where the settings are."""
    return platformdirs.user_config_path("harness") / "config.toml"


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings; a file that is not there means the defaults.

    Raises:
        UsageError: the file is no TOML, or has a key or value that is not known.
    """
    path = path or settings_file()
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read {path}: {cause}", remedy="correct or remove it") from error
    try:
        return Settings.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}", remedy="correct that line") from error
    except ValidationError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: ValidationError) -> UsageError:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = [
            *Settings.model_fields,
            *(f"source.{name}" for name in SourceSettings.model_fields),
            *(f"boot.{name}" for name in BootSettings.model_fields),
        ]
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
        return UsageError(f"{path}: there is no setting {key}", remedy=hint)
    return UsageError(f"{path}: {key}: {first['msg']}", remedy="correct that value")
