"""Templates, and the files that are made of them.

Every text that a template prints goes through ``harness.printable`` and is then escaped for HTML:
output of guests and trees is text wherever it stands.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness import __version__
from harness.errors import UsageError
from harness.host.workspace import write_atomic
from harness.printable import printable_text

_STYLE: Final = "style.css"

#: What tells the harness's own pages from others, in their first bytes.
_GENERATOR: Final = b'<meta name="generator" content="harness">'
_HEAD: Final = 1024

#: Characters of a text in a table or a heading.
_SHORT: Final = 300


#: Classes of the style sheet by exit code; others are the host's.
EXIT_STYLES: Final = {0: "passed", 1: "failed", 4: "unbuilt"}


@dataclass(frozen=True, slots=True)
class Site:
    """A directory of pages.

    Args:
        directory: the directory; it is created.
    """

    directory: Path

    def begin(self) -> None:
        """Write the style sheet.

        Raises:
            UsageError: the directory has a first page that the harness did not write.
            InfraError: the style sheet cannot be written.
        """
        _refuse_foreign(self.directory / "index.html")
        source = Path(__file__).with_name(_STYLE)
        self._write(_STYLE, source.read_bytes())

    def page(self, place: str, template: str, **values: Any) -> None:
        """Write a page.

        Args:
            place: its path below the directory.
            template: name of the template.
            values: what the template shows.

        Raises:
            InfraError: it cannot be written.
        """
        root = "../" * place.count("/")
        text = _templates().get_template(template).render(root=root, **values)
        self._write(place, text)

    def text(self, place: str, content: str) -> None:
        """Write a chart or a text; ``content`` must be escaped already.

        Raises:
            InfraError: it cannot be written.
        """
        self._write(place, content)

    def _write(self, place: str, data: bytes | str) -> None:
        # A crash of the host may lose pages, which are made again from the history or the record.
        write_atomic(self.directory / place, data, synced=False)


def _refuse_foreign(index: Path) -> None:
    """Check that a first page may be written over."""
    try:
        with index.open("rb") as file:
            own = _GENERATOR in file.read(_HEAD)
    except OSError:  # there is none, or writing it will fail
        return
    if not own:
        raise UsageError(
            f"{index} is not a page of the harness, and would be lost",
            remedy="name another directory",
        )


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("harness.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"version": __version__, "exit_styles": EXIT_STYLES}
    made.filters |= {
        "short": _short,
        "commit": lambda name: name[:10],
        "moment": _moment,
        "day": lambda moment: f"{moment.astimezone(UTC):%Y-%m-%d}",
        "duration": duration_in_words,
        "shell": _shell,
        "percent": lambda share: f"{100 * share:.0f} %",
    }
    return made


def _finalize(value: Any) -> Any:
    """Make a text printable; what a template has made is so already."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable_text(str(value))
    return value


def _short(text: str, most: int = _SHORT) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _moment(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment else "unknown"


def _shell(arguments: Sequence[str]) -> str:
    return shlex.join(arguments)


def duration_in_words(seconds: float) -> str:
    """Return a duration as ``0.4 s``, ``12 s``, ``3 min`` or ``2.5 h``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * 3600 else f"{seconds / 3600:.1f} h"
