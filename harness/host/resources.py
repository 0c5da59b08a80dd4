"""Where the files that travel with the package are."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def data_file(*parts: str) -> Path:
    """The path of a shipped file or folder, such as ``data_file("images", "kernconf")``.

    An installed wheel holds them inside the package, a checkout beside it.
    """
    installed = _PACKAGE / "_data"
    root = installed if installed.is_dir() else _PACKAGE.parent
    return root.joinpath(*parts)


def subsystem_sources() -> list[Path]:
    """The directories with the C of each subsystem's part of the check module."""
    return sorted(_PACKAGE.glob("subsystems/*/c"))
