"""Reports of runs as text: a table of cells, and details of failures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.check.result import conclusion_in_words
from harness.outcome import Outcome
from harness.printable import printable
from harness.results.checks import check_agreed, check_lines, failed_check_in_words
from harness.results.debug import debug_lines
from harness.results.lines import print_line
from harness.results.mutants import print_mutants
from harness.results.programs import program_in_words, program_lines
from harness.results.record import HOST, Cell, Run, backtrace_lines, to_cell_document, to_document
from harness.results.suitelines import suite_lines, suite_parts
from harness.results.unfinished import RUNNING, not_booted, not_judged
from harness.results.verification import (
    accelerators,
    console_lines,
    identity_lines,
    unproven_lines,
)

_MAX_FRAMES = 24
_MAX_WARNINGS = 5
_MAX_REPORTS = 8


def outcome_in_words(cell: Cell) -> str:
    """Return the outcome and its title (``panic: init died``), or the host's failure."""
    return cell_outcome(to_cell_document(cell))


def print_run(run: Run, console: Console, *, verbose: bool = False) -> None:
    """Print a run: the table, then backtrace and warnings of each failure.

    ``verbose`` adds the diff of the functions that differ from the specification.
    """
    print_document(to_document(run), console, verbose=verbose)


def print_document(document: Mapping[str, Any], console: Console, *, verbose: bool = False) -> None:
    """Print a stored record, in the form of ``print_run``; for mutants, the result of each."""
    if document.get("mutants"):
        print_mutants(document["mutants"], console)
        _print_unfinished(document, console)
        return
    if document["cells"]:
        _print_table(document["cells"], console)
    for rate in document.get("rates", ()):
        console.print(Text(rate_in_words(rate)))
    for cell in document["cells"]:
        _print_failure(cell, console, verbose=verbose)
    for line in suite_lines(document):
        print_line(console, line)
    _print_unfinished(document, console)
    if document["cells"]:
        console.print(summary(document))


def _print_unfinished(document: Mapping[str, Any], console: Console) -> None:
    for line in unfinished_lines(document):
        print_line(console, line)


def unfinished_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Generate the lines on a run that has not ended: why, what is missing, and the remedy."""
    state = document.get("state", "ended")  # older records do not have it
    if state == "ended":
        return
    left = [*not_booted(document), *not_judged(document)]
    if state == RUNNING:
        yield f"still running; {len(document['cells'])} cells have ended"
    else:
        yield f"did not finish: {document.get('cause', '')}"
    if left:
        yield f"without a result: {', '.join(left)}"
    if state != RUNNING:
        yield f"to repeat what failed: harness runs retry {document['name']}"


def rate_in_words(rate: Mapping[str, Any]) -> str:
    """Return the outcomes of repeated boots, with their numbers."""
    first, last = rate["cells"][0], rate["cells"][-1]
    boots = rate["boots"]
    counts = (f"{outcome} {count} of {boots}" for outcome, count in rate["outcomes"].items())
    return printable(f"{first} … {last}: {', '.join(counts)}")


def cell_outcome(cell: Mapping[str, Any]) -> str:
    """Return the outcome of a cell's JSON document with its title, or the host's failure."""
    verdict = cell["verdict"]
    if _is_on_host(cell) and not cell["host_failed"]:
        return f"{conclusion_in_words(cell['check']['conclusion'])}, on the host"
    if verdict is None:
        error = cell["error"] or "no verdict"
        return printable(f"host: {error.splitlines()[0]}")
    if verdict["outcome"] == Outcome.BOOTED:
        check = cell.get("check")
        conclusion = [conclusion_in_words(check["conclusion"])] if check else []
        program = cell.get("program")
        command = [program_in_words(program)] if program else []
        return ", ".join(["booted", *conclusion, *command, *_report_count(verdict)])
    return printable(f"{verdict['outcome']}: {verdict['title']}")


def _is_on_host(cell: Mapping[str, Any]) -> bool:
    """Return whether a cell is of a host program; older records have no such key."""
    return bool(cell.get("on") == HOST)


def _report_count(verdict: Mapping[str, Any]) -> list[str]:
    """Return the number of sanitizer reports; older records do not have them."""
    count = len(verdict.get("reports", ()))
    return [f"{count} report{'s' if count > 1 else ''}"] if count else []


#: The width of a terminal from which tables show the guest's full name.
_WIDE = 100

#: The least width of a terminal for a table, and of its column ``outcome``.
_NARROW = 60
_LEAST_OUTCOME = 16

#: The widths of the columns beside it: ``guest``, ``expected`` and ``seconds``, ``backend``.
_BESIDE = (12 + 2) + (2 + 11) + (2 + 7)
_BACKEND = 9 + 2


def _print_table(cells: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print a row for each cell; a backend that all cells share is printed above the table."""
    ways = list(dict.fromkeys(way_in_words(cell) for cell in cells))
    if len(ways) == 1:
        guests = ", ".join(dict.fromkeys(cell["guest"] for cell in cells))
        how = "not booted:" if all(map(_is_on_host, cells)) else "booted by"
        console.print(Text(printable(f"{guests}, {how} {ways[0]}")))
    several = len(ways) > 1
    beside = max(len(cell["name"]) for cell in cells) + 2 + _BESIDE + several * _BACKEND
    if console.width < max(_NARROW, beside + _LEAST_OUTCOME):
        _print_blocks(cells, console, ways=several)
    else:
        console.print(_table(cells, console.width, ways=several))
    for line in unproven_lines(cells):
        print_line(console, line, "yellow")


def _table(cells: Sequence[Mapping[str, Any]], width: int, *, ways: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("cell", no_wrap=True)
    table.add_column("guest", overflow="fold", min_width=12)
    if ways:
        table.add_column("backend", overflow="fold")
    table.add_column("outcome", overflow="fold")
    table.add_column("expected", overflow="fold", min_width=11)
    table.add_column("seconds", justify="right", no_wrap=True)
    for cell in cells:
        table.add_row(
            Text(printable(cell["name"])),
            Text(printable(cell["guest"] if width >= _WIDE else _short_name(cell["guest"]))),
            *([Text(printable(way_in_words(cell)))] if ways else []),
            Text(cell_outcome(cell), _outcome_style(cell)),
            expectation_mark(cell),
            f"{cell['seconds']:.1f}",
        )
    return table


def _print_blocks(cells: Sequence[Mapping[str, Any]], console: Console, *, ways: bool) -> None:
    """Print what a table says in some lines for each cell, on a narrow terminal."""
    for cell in cells:
        way = f", {way_in_words(cell)}" if ways else ""
        print_line(console, f"{cell['name']} ({_short_name(cell['guest'])}{way})", "bold")
        print_line(console, f"  {cell_outcome(cell)}", _outcome_style(cell))
        mark = expectation_mark(cell)
        words = mark.plain if mark.style == "green" else f"expected: {mark.plain}"
        print_line(console, f"  {words} ({cell['seconds']:.1f} s)", str(mark.style))


def _outcome_style(cell: Mapping[str, Any]) -> str:
    if _is_on_host(cell):
        return "green" if cell["as_expected"] else "red"
    if cell["verdict"] is None:
        return ""
    booted = cell["verdict"]["outcome"] == Outcome.BOOTED
    good = booted and check_agreed(cell) and not cell.get("failing")
    good = good and (not cell.get("program") or cell["as_expected"])
    return "green" if good else "red"


def _short_name(guest: str) -> str:
    """Return the release, or ``not FreeBSD``."""
    return "not FreeBSD" if "not FreeBSD" in guest else guest.removeprefix("FreeBSD ")


def summary(document: Mapping[str, Any]) -> str:
    """Return the last line: ``5 of 6 as expected, 1 host failure``."""
    cells, left = document["cells"], len(not_booted(document))
    good = sum(cell["as_expected"] for cell in cells)
    host = sum(cell["host_failed"] for cell in cells)
    suites = "tests" in document and (document["tests"] or document.get("wrong_suites"))
    what = "guests as expected" if suites else "as expected"
    parts = [f"{good} of {len(cells) + left} {what}"]
    parts += [f"{host} host failure{'' if host == 1 else 's'}"] if host else []
    parts += [f"{left} without a result"] if left else []
    return ", ".join([*parts, *suite_parts(document)])


def way_in_words(cell: Mapping[str, Any]) -> str:
    """Return backend and accelerator, the boot method unless it is the loader, and a restore."""
    if _is_on_host(cell):
        return "a host program"
    words = [cell["backend"], *accelerators(cell)]
    boot = cell.get("boot", "loader")  # older records do not have it
    words += [] if boot == "loader" else [boot]
    words += ["snapshot"] if cell.get("snapshot") else []
    return "/".join(words)


#: The column ``expected`` of these outcomes, whatever was expected.
_UNVERIFIED = {
    Outcome.UNVERIFIED.value: ("not verified", "yellow"),
    Outcome.UNCONFIRMED.value: ("found on the host alone", "yellow"),
    Outcome.DIFFERS.value: ("differs from the machine", "red"),
}


def expectation_mark(cell: Mapping[str, Any]) -> Text:
    """Return whether a cell is as expected, or what was expected, in green, yellow or red."""
    outcome = cell["verdict"]["outcome"] if cell["verdict"] else None
    if outcome in _UNVERIFIED:
        return Text(*_UNVERIFIED[outcome])
    if cell["host_failed"]:
        return Text("host failed", "yellow")
    if _is_on_host(cell):
        good = cell["as_expected"]
        return Text("as expected" if good else _difference(cell, Outcome.BOOTED),
                    "green" if good else "red")  # fmt: skip
    if not (cell["expected"] or cell.get("failing")):
        return Text("(no expectation)", "yellow")
    if cell["as_expected"]:
        return Text("as expected", "green")
    return Text(_difference(cell, outcome), "red")


def _difference(cell: Mapping[str, Any], outcome: str | None) -> str:
    """Return what was expected instead, or what else failed the cell."""
    if outcome not in (cell["expected"] or (Outcome.BOOTED,)):
        return " or ".join(cell["expected"])
    if cell.get("failing"):
        return "no sanitizer report"
    if cell.get("program"):
        return "another exit status" if cell.get("bad_expected") else "exit status 0"
    return failed_check_in_words(cell["check"])


def _print_failure(cell: Mapping[str, Any], console: Console, *, verbose: bool) -> None:
    lines = [
        *check_lines(cell.get("host"), verbose=verbose),
        *check_lines(cell.get("check"), verbose=verbose),
        *(program_lines(cell["program"]) if command_failed(cell) else ()),
    ]
    # A limit of a host program is both the check's reason and the error.
    failure = _failure_lines(cell, verbose=verbose)
    lines += [line for line in failure if not (_is_on_host(cell) and line in lines)]
    if not lines:
        return
    kernel = f", kernel {cell['kernel']['label']}" if cell["kernel"] else ""
    print_line(console, f"{cell['name']} ({cell['guest']}{kernel})", "bold")
    for line in lines:
        print_line(console, f"  {line}")


def command_failed(cell: Mapping[str, Any]) -> bool:
    """Return whether a command did not end as expected; older records have none."""
    return bool(cell.get("program")) and not cell["as_expected"]


def _failure_lines(cell: Mapping[str, Any], *, verbose: bool) -> list[str]:
    if cell["error"]:
        return list(cell["error"].splitlines())
    verdict = cell["verdict"]
    if verdict is None:
        return []
    warnings = [
        *report_lines(cell, _MAX_REPORTS),
        *(f"warning: {warning}" for warning in verdict["warnings"][:_MAX_WARNINGS]),
    ]
    rest = [] if cell["as_expected"] else identity_lines(cell)
    if verdict["outcome"] == Outcome.BOOTED:  # the console ends in init's report
        return [*_assumption(cell), *warnings, *rest]
    rest += [] if cell["as_expected"] else console_lines(cell)
    frames = backtrace_lines(verdict["symbolized"])
    more = len(frames) - _MAX_FRAMES
    message = (verdict["message"] or verdict["title"]).split("\n")
    if {line.strip() for line in rest}.issuperset(message):
        message = []
    return [
        *message,
        *([cell["origin"]] if cell.get("origin") else []),
        *repeat_lines(cell),
        *frames[:_MAX_FRAMES],
        *([f"… and {more} more frames"] if more > 0 else []),
        *_assumption(cell),
        *warnings,
        *rest,
        *debug_lines(cell, whole=verbose),
    ]


def _assumption(cell: Mapping[str, Any]) -> list[str]:
    """Return the prediction for the baseline, and whether it was right."""
    assumed = cell.get("assumed")  # older records do not have it
    if not assumed:
        return []
    right = "right" if cell["verdict"]["outcome"] in assumed else "wrong"
    return [f"{cell.get('why_expected', '')} (the prediction was {right})"]


def report_lines(cell: Mapping[str, Any], most: int | None = None) -> list[str]:
    """Return the reports of sanitizers, those that fail the cell first.

    Args:
        cell: ``Cell`` as a JSON document; older records have no reports.
        most: maximum number of reports; None: all.
    """
    failing = cell.get("failing", ())
    reports = cell["verdict"].get("reports", ())
    lines = [
        *(f"failing report: {title}" for title in failing),
        *(f"report: {title}" for title in reports if title not in failing),
    ]
    more = 0 if most is None else len(lines) - most
    return [*lines[:most], f"… and {more} more reports"] if more > 0 else lines


def repeat_lines(cell: Mapping[str, Any]) -> list[str]:
    """Return the second opinions on a failure, and their conclusion."""
    opinion = cell.get("opinion")  # older records do not have it
    return [
        *([f"{'seen once: ' if cell.get('unrepeated') else ''}{opinion}"] if opinion else []),
        *(_repeat_in_words(cell["name"], repeat) for repeat in cell.get("repeats", ())),
    ]


def _repeat_in_words(cell: str, repeat: Mapping[str, Any]) -> str:
    outcome = repeat["error"].partition("\n")[0] or f"{repeat['outcome']}: {repeat['title']}"
    kernel = f", kernel {repeat['kernel']}" if repeat["purpose"] == "control" else ""
    way = "/".join([*accelerators(repeat), repeat["boot"]])
    return f"{repeat['purpose']} {way}{kernel}: {outcome} ({cell}/{repeat['name']}/console.log)"
