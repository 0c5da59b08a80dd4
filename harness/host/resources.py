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


def checkout_path(path: str) -> Path:
    """Where that is, installed or not, which has this path in a checkout."""
    first, *others = path.split("/")
    return data_file(first, *others) if first != _PACKAGE.name else _PACKAGE.joinpath(*others)


def subsystem_sources(name: str) -> Path:
    """The directory with the C of a subsystem."""
    return _PACKAGE / "subsystems" / name / "c"
