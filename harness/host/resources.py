"""Paths of the files that are installed with the package."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def data_file(*parts: str) -> Path:
    """Return the path of a data file or directory, such as ``data_file("images", "kernconf")``.

    A wheel has them inside the package, a checkout beside it.
    """
    installed = _PACKAGE / "_data"
    root = installed if installed.is_dir() else _PACKAGE.parent
    return root.joinpath(*parts)


def checkout_path(path: str) -> Path:
    """Return the path of a file or directory of the package, given its path in a checkout."""
    first, *others = path.split("/")
    return data_file(first, *others) if first != _PACKAGE.name else _PACKAGE.joinpath(*others)


def subsystem_sources(name: str) -> Path:
    """Return the directory with the C sources of a subsystem."""
    return _PACKAGE / "subsystems" / name / "c"


def init_parts() -> list[Path]:
    """Return the directories with the C sources that subsystems add to init."""
    return sorted((_PACKAGE / "subsystems").glob("*/c/init"))
