"""Writes the report of a run as pages, from its record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.pages.consolelines import DiffLine, Excerpt, difference, excerpt_of, whole_text
from harness.pages.frames import frame_lines
from harness.results.bisect import (
    counts_in_words,
    guests_in_words,
    headline,
    remark_lines,
    words_of,
)
from harness.results.checks import check_lines
from harness.results.debug import debug_lines
from harness.results.mutants import is_generated, mutant_result, mutant_why, mutants_summary
from harness.results.programs import program_lines
from harness.results.store import is_own
from harness.results.text import (
    cell_outcome,
    command_failed,
    expectation_mark,
    rate_in_words,
    repeat_lines,
    report_lines,
    summary,
    unfinished_lines,
    way_in_words,
)
from harness.results.verification import identity_lines, unproven_lines

if TYPE_CHECKING:
    from harness.pages.rendering import Site

#: Cells of which a report shows the details, and tests and mutants that it lists.
_DETAILED: Final = 60
_LISTED: Final = 2000

#: Bytes of a console that are read: its end.
_CONSOLE: Final = 4 << 20

#: Classes of the style sheet, by the colours of a terminal.
_STYLES: Final = {"green": "passed", "yellow": "host", "red": "failed"}


@dataclass(frozen=True, slots=True)
class CellView:
    """A cell that did not end as expected, or has something to report.

    Args:
        cell: the cell's JSON document.
        anchor: its name on the page.
        message: what happened.
        lines: the check, the command, reports, and the evidence.
        frames: its backtrace, innermost first.
        console: the lines around its place.
        text: path of the whole console; empty if there is none.
        good: name of the cell that it is compared with; empty for none.
        diff: how its console differs from that of ``good``.
        retry: the arguments of the command that repeats it.
    """

    cell: Mapping[str, Any]
    anchor: str
    message: str
    lines: tuple[str, ...]
    frames: tuple[str, ...]
    console: Excerpt | None
    text: str
    good: str
    diff: tuple[DiffLine, ...]
    retry: tuple[str, ...]


def write_run(site: Site, document: Mapping[str, Any], directory: Path) -> str:
    """Write the report of a run; return the path of its first page below the site's directory.

    Args:
        site: the directory of the pages.
        document: the record.
        directory: the directory of the run, which has the consoles.

    Raises:
        UsageError: the directory has a first page that the harness did not write.
        InfraError: a file cannot be written.
    """
    site.begin()
    consoles = _Consoles(directory)
    found = _bisection(document, consoles) if document.get("bisect") else None
    cells = document["cells"] if found is None else []  # the tests of a bisection have them
    shown = [cell for cell in cells if _has_details(cell)][:_DETAILED]
    views = [_view(document, cell, consoles) for cell in shown]
    for place, data in consoles.kept.items():
        site.text(place, whole_text(data))
    site.page(
        "index.html",
        "run.html",
        document=document,
        started=_started(document),
        sentence=_sentence(document),
        style=_style(document),
        unfinished=list(unfinished_lines(document)),
        rows=[_row(cell, {view.anchor for view in views}, cells) for cell in cells],
        rates=[rate_in_words(rate) for rate in document.get("rates", ())],
        unproven=unproven_lines(cells),
        views=views,
        mutants=[_mutant(each) for each in document.get("mutants", ())][:_LISTED],
        tests=_tests(document),
        suites=document.get("wrong_suites", {}),
        bisect=found,
    )
    return "index.html"


def _sentence(document: Mapping[str, Any]) -> str:
    """Return the sentence that sums up a run, without a full stop."""
    if document.get("bisect"):
        found = document["bisect"]["answer"]["kind"] == "culprit"
        text = f"{'commit ' if found else ''}{headline(document['bisect'])}"
    elif document.get("mutants"):
        text = mutants_summary(document["mutants"])
    elif document.get("tests"):
        text = summary(document)
    elif len(document["cells"]) == 1:
        (cell,) = document["cells"]
        text = f"{cell['guest']}: {cell_outcome(cell)}"
    elif document["cells"]:
        text = summary(document)
    else:
        text = "no cell has ended"
    return text[:1].upper() + text[1:].rstrip(".")


def _started(document: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(document["started"])
    except ValueError:
        return None


def _style(document: Mapping[str, Any]) -> str:
    if document.get("state", "ended") != "ended":
        return "host"
    return {0: "passed", 1: "failed", 4: "unbuilt"}.get(document["exit_code"], "host")


@dataclass(slots=True)
class _Consoles:
    """The consoles of a run; cells' names are those of a record, which may name any path."""

    directory: Path
    kept: dict[str, bytes] = field(default_factory=dict)
    _starts: dict[str, int] = field(default_factory=dict)

    def read(self, cell: str) -> tuple[bytes, int]:
        """Return the end of a console, and its position; empty if it cannot be read."""
        log = self.directory / cell / "console.log"
        if not cell or "/" in cell or cell in (".", "..") or not is_own(log):
            return b"", 0
        try:
            with log.open("rb") as file:
                start = max(0, file.seek(0, 2) - _CONSOLE)
                file.seek(start)
                return file.read(_CONSOLE), start
        except OSError:
            return b"", 0

    def keep(self, data: bytes) -> str:
        """Return the path of a console below the site's directory, where it will be written."""
        place = f"consoles/{len(self.kept) + 1}.txt"
        self.kept[place] = data
        return place


def _has_details(cell: Mapping[str, Any]) -> bool:
    verdict = cell["verdict"]
    reports = bool(verdict and (verdict.get("reports") or verdict["warnings"]))
    checked = bool(cell.get("check") or cell.get("host"))
    return not cell["as_expected"] or reports or checked or _failed(cell)


def _failed(cell: Mapping[str, Any]) -> bool:
    return cell["verdict"] is not None and cell["verdict"]["outcome"] != "booted"


def _row(
    cell: Mapping[str, Any], anchors: set[str], cells: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    mark = expectation_mark(cell)
    anchor = _anchor(cell)
    return {
        "cell": cell,
        "anchor": anchor if anchor in anchors else "",
        "way": way_in_words(cell),
        "outcome": cell_outcome(cell),
        "mark": mark.plain,
        "style": _STYLES.get(str(mark.style), "host"),
        "several": len(cells) > 1,
    }


def _anchor(cell: Mapping[str, Any]) -> str:
    """Return a name that fits into HTML, whatever the cell's name is."""
    words = (char if char.isascii() and char.isalnum() else "-" for char in cell["name"])
    return f"cell-{''.join(words)}"


def _view(document: Mapping[str, Any], cell: Mapping[str, Any], consoles: _Consoles) -> CellView:
    verdict = cell["verdict"]
    data, start = (
        consoles.read(cell["name"]) if _failed(cell) or not cell["as_expected"] else (b"", 0)
    )
    offset = verdict.get("offset") if verdict else None
    place = None if offset is None or offset < start else offset - start
    good = _good(document, cell)
    passing = consoles.read(good["name"])[0] if good is not None and data else b""
    return CellView(
        cell=cell,
        anchor=_anchor(cell),
        message=cell["error"] or (verdict["message"] if verdict and _failed(cell) else ""),
        lines=tuple(_lines(cell)),
        frames=tuple(frame_lines(verdict["symbolized"])) if verdict else (),
        console=excerpt_of(data, place) if data else None,
        text=consoles.keep(data) if data else "",
        good=good["name"] if good is not None and passing else "",
        diff=difference(passing, data, place) if passing else (),
        retry=() if cell["as_expected"] else ("harness", "runs", "retry", document["name"],
                                              cell["name"]),
    )  # fmt: skip


def _lines(cell: Mapping[str, Any]) -> Iterator[str]:
    yield from check_lines(cell.get("host"), verbose=True)
    yield from check_lines(cell.get("check"), verbose=True)
    if command_failed(cell):
        yield from program_lines(cell["program"])
    if cell.get("origin"):
        yield cell["origin"]
    yield from repeat_lines(cell)
    if cell["verdict"] is None:
        return
    yield from report_lines(cell)
    yield from (f"warning: {warning}" for warning in cell["verdict"]["warnings"])
    if not cell["as_expected"]:
        yield from identity_lines(cell)
    yield from debug_lines(cell, whole=True)


def _good(document: Mapping[str, Any], cell: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return a cell that booted on an equal guest, one of the other side first."""
    if not _failed(cell):
        return None
    alike = [
        other for other in document["cells"]
        if other["verdict"] is not None and not _failed(other)
        and (other["nodes"], other["sanitizer"], other.get("options"))
        == (cell["nodes"], cell["sanitizer"], cell.get("options"))
    ]  # fmt: skip
    alike.sort(key=lambda other: other["side"] == cell["side"])
    return next(iter(alike), None)


def _mutant(each: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "mutant": each,
        "result": mutant_result(each),
        "why": mutant_why(each),
        "good": each["as_it_should_be"],
        "generated": is_generated(each),
    }


def _tests(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the tests of suites, those that are not good first."""
    tests = sorted(document.get("tests", ()), key=lambda test: (test["good"], test["test"]))
    return tests[:_LISTED]


def _bisection(document: Mapping[str, Any], consoles: _Consoles) -> dict[str, Any]:
    bisect = document["bisect"]
    words = words_of(bisect)
    tests = []
    for test in bisect["tests"]:
        data, _ = consoles.read(test["cell"])
        result = "; ".join(test["titles"]) or test["outcome"] or test["kind"]
        place = consoles.keep(data) if data and test["mark"] != "good" else ""
        excerpt = excerpt_of(data, None) if place else None
        tests.append({"test": test, "result": result, "console": excerpt, "text": place})
    named = set(bisect["answer"]["commits"])
    return {
        "kernel": "", "error": "",  # older records have neither
        **bisect,
        "guests": guests_in_words(document),
        "remarks": list(remark_lines(bisect)),
        "steps_of_proof": [
            {"step": step, "expected": words.passes if step["expected"] == "good" else words.fails,
             "result": step["problem"] or counts_in_words(step, words)}
            for step in bisect["proof"]
        ],
        "tested": [
            {"revision": one, "result": counts_in_words(one, words),
             "culprit": one["commit"] in named}
            for one in reversed(bisect["line"])
        ],
        "tests": tests,
    }  # fmt: skip
