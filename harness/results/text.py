"""Runs for people: a table of cells, and below it what went wrong; or one of mutants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.check.result import Conclusion
from harness.mutation.fate import Fate
from harness.outcome import Outcome
from harness.printable import printable
from harness.results.evidence import CONSOLE_INDENT, console_lines, identity_lines
from harness.results.record import Cell, Run, backtrace_lines, to_cell_document, to_document
from harness.results.unfinished import RUNNING, not_booted, not_judged

_MAX_FRAMES = 24
_MAX_WARNINGS = 5
_MAX_REPORTS = 8
_MAX_WHY = 160


def outcome_in_words(cell: Cell) -> str:
    """``panic: vm_map_entry_create: …`` or what the host's trouble was."""
    return _outcome(to_cell_document(cell))


def print_run(run: Run, console: Console, *, verbose: bool = False) -> None:
    """The table, then each failure's backtrace and warnings; ``verbose`` adds changed code."""
    print_document(to_document(run), console, verbose=verbose)


def print_document(document: Mapping[str, Any], console: Console, *, verbose: bool = False) -> None:
    """The same of a record that was kept; of mutants, what became of each."""
    if document.get("mutants"):
        _print_mutants(document["mutants"], console)
        _print_unfinished(document, console)
        return
    if document["cells"]:
        _print_table(document["cells"], console)
    for rate in document.get("rates", ()):
        console.print(Text(_rate_in_words(rate)))
    for cell in document["cells"]:
        _print_trouble(cell, console, verbose=verbose)
    _print_unfinished(document, console)
    if document["cells"]:
        console.print(summary(document))


def _print_unfinished(document: Mapping[str, Any], console: Console) -> None:
    for line in unfinished_lines(document):
        print_line(console, line)


def unfinished_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Of a run without its results: why, what was not booted, and how that is made up for."""
    state = document.get("state", "ended")  # which older records do not have
    if state == "ended":
        return
    left = [*not_booted(document), *not_judged(document)]
    if state == RUNNING:
        yield f"still running; {len(document['cells'])} cells have ended"
    else:
        yield f"did not end: {document.get('cause', '')}"
    if left:
        yield f"without a result: {', '.join(left)}"
    if state != RUNNING:
        yield f"repeat what failed: harness runs retry {document['name']}"


def _rate_in_words(rate: Mapping[str, Any]) -> str:
    first, last = rate["cells"][0], rate["cells"][-1]
    boots = rate["boots"]
    counts = (f"{outcome} {count} of {boots}" for outcome, count in rate["outcomes"].items())
    return printable(f"{first} … {last}: {', '.join(counts)}")


def _outcome(cell: Mapping[str, Any]) -> str:
    verdict = cell["verdict"]
    if verdict is None:
        error = cell["error"] or "no verdict"
        return printable(f"host: {error.splitlines()[0]}")
    if verdict["outcome"] == Outcome.BOOTED:
        check = cell.get("check")
        told = ["booted", *([f"check {check['conclusion']}"] if check else []), *_counted(verdict)]
        return ", ".join(told)
    return printable(f"{verdict['outcome']}: {verdict['title']}")


#: Of the second and further parts of a line that is too long for a terminal, and columns that
#: each part has at the least.
_FURTHER_IN, _LEAST_ROOM = "  ", 20


def _counted(verdict: Mapping[str, Any]) -> list[str]:
    """How many sanitizer reports the kernel survived, which older records do not have."""
    count = len(verdict.get("reports", ()))
    return [f"{count} report{'s' if count > 1 else ''}"] if count else []


#: Columns of a terminal in which each row has the guest's whole name.
_WIDE = 100


def _print_table(cells: Sequence[Mapping[str, Any]], console: Console) -> None:
    """A row for each cell. What all of them were booted by stands above, and has no column."""
    ways = list(dict.fromkeys(way_in_words(cell) for cell in cells))
    if len(ways) == 1:
        guests = ", ".join(dict.fromkeys(cell["guest"] for cell in cells))
        console.print(Text(printable(f"{guests}, booted by {ways[0]}")))
    console.print(_table(cells, console.width, ways=len(ways) > 1))


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
        outcome = Text(_outcome(cell))
        if cell["verdict"] is not None:
            booted = cell["verdict"]["outcome"] == Outcome.BOOTED
            good = booted and check_agreed(cell) and not cell.get("failing")
            outcome.stylize("green" if good else "red")
        table.add_row(
            Text(printable(cell["name"])),
            Text(printable(cell["guest"] if width >= _WIDE else _short_name(cell["guest"]))),
            *([Text(printable(way_in_words(cell)))] if ways else []),
            outcome,
            _mark(cell),
            f"{cell['seconds']:.1f}",
        )
    return table


def _short_name(guest: str) -> str:
    """The release, or that it is none."""
    return "not FreeBSD" if "not FreeBSD" in guest else guest.removeprefix("FreeBSD ")


def summary(document: Mapping[str, Any]) -> str:
    """``5 of 6 as expected, 1 failed by the host``."""
    cells, left = document["cells"], len(not_booted(document))
    good = sum(cell["as_expected"] for cell in cells)
    host = sum(cell["host_failed"] for cell in cells)
    told = [f"{good} of {len(cells) + left} as expected"]
    told += [f"{host} failed by the host"] if host else []
    told += [f"{left} without a result"] if left else []
    return ", ".join(told)


def way_in_words(cell: Mapping[str, Any]) -> str:
    """By what it was booted; the loader goes without saying."""
    words = [cell["backend"], cell["accelerator"]]
    boot = cell.get("boot", "loader")  # which older records do not have
    return "/".join(words if boot == "loader" else [*words, boot])


#: What is said of them, whatever was expected.
_UNPROVEN = {
    Outcome.UNVERIFIED.value: ("not verified", "yellow"),
    Outcome.DIFFERS.value: ("NOT the machine that was given", "red"),
}


def _mark(cell: Mapping[str, Any]) -> Text:
    outcome = cell["verdict"]["outcome"] if cell["verdict"] else None
    if outcome in _UNPROVEN:
        return Text(*_UNPROVEN[outcome])
    if cell["host_failed"]:
        return Text("host failed", "yellow")
    if not (cell["expected"] or cell.get("failing")):
        return Text("(nothing expected)", "yellow")
    if cell["as_expected"]:
        return Text("as expected", "green")
    return Text(_difference(cell, outcome), "red")


def _difference(cell: Mapping[str, Any], outcome: str | None) -> str:
    """Why a cell is not as expected."""
    if outcome not in (cell["expected"] or (Outcome.BOOTED,)):
        return " or ".join(cell["expected"])
    if cell.get("failing"):
        return "fails by reports"
    return "differs from the model"


def _print_trouble(cell: Mapping[str, Any], console: Console, *, verbose: bool) -> None:
    lines = [*check_lines(cell.get("check"), verbose=verbose), *_trouble(cell)]
    if not lines:
        return
    kernel = f", kernel {cell['kernel']['label']}" if cell["kernel"] else ""
    print_line(console, f"{cell['name']} ({cell['guest']}{kernel})", "bold")
    for line in lines:
        print_line(console, f"  {line}", whole=line.startswith(CONSOLE_INDENT))


def print_line(console: Console, line: str, style: str = "", *, whole: bool = False) -> None:
    """A line of any length: on a terminal it is broken between words, and goes on further in;
    elsewhere, or ``whole``, it is left to whatever shows it.
    """
    line = printable(line)
    if whole or not console.is_terminal:
        console.print(Text(line, style), soft_wrap=True)
        return
    body = line.lstrip(" ")
    indent = " " * (len(line) - len(body))
    room = max(_LEAST_ROOM, console.width - len(indent) - len(_FURTHER_IN))
    for number, part in enumerate(Text(body, style).wrap(console, room)):
        part.rstrip()
        console.print(Text(indent + _FURTHER_IN * (number > 0)) + part, soft_wrap=True)


def check_agreed(cell: Mapping[str, Any]) -> bool:
    """Whether the guest was held to the model and did what it says; true if it was not held."""
    check = cell.get("check")
    return check is None or check["conclusion"] == Conclusion.AGREED


def check_lines(check: Mapping[str, Any] | None, *, verbose: bool = False) -> list[str]:
    """What came of holding a guest to the model, for people.

    Args:
        check: ``CheckResult`` as JSON's types; None gives nothing.
        verbose: with the diff of the functions that somebody changed.
    """
    if check is None:
        return []
    lines = [_conclusion(check), *_held_to(check)]
    lines += check.get("diff", "").splitlines() if verbose else []
    lines += [check["why"]] if check["why"] and not check["difference"] else []
    lines += check.get("notes", [])
    difference = check["difference"]
    if difference is not None:
        lines += [
            f"after {difference['first']} operations; the shortest trace that shows it:",
            *(f"    {line}" for line in difference["trace"].splitlines()),
            *(f"step {difference['step']}: {line}" for line in difference["lines"]),
        ]
    return lines


def _conclusion(check: Mapping[str, Any]) -> str:
    # Records of before have neither title nor notes.
    title = check.get("title") or f"the specification {check['model']}"
    traces = f"{check['zones']} trace{'' if check['zones'] == 1 else 's'}"
    told = f"{check['operations']} operations in {traces}, seed {check['seed']}"
    if check["conclusion"] == Conclusion.AGREED:
        return f"check: behaves as {title} in {told}"
    if check["conclusion"] != Conclusion.DIFFERS:
        return f"check {check['conclusion']}: {told}, held to {title}"
    alike = check.get("alike", "")  # which older records do not have
    also = f"; behaves as {alike}" if alike else ""
    return f"check: differs from {title}{also} ({told})"


def _held_to(check: Mapping[str, Any]) -> Iterator[str]:
    """Where the specification comes from, and which functions are not as there."""
    if check.get("chosen"):
        yield f"specification {check['model']} ({check.get('asked', '')}: {check['chosen']})"
    if check.get("changed"):
        yield f"changed from there: {', '.join(check['changed'])}"


def _trouble(cell: Mapping[str, Any]) -> list[str]:
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
    if verdict["outcome"] == Outcome.BOOTED:  # its console ends in init's report, which is known
        return [*_assumption(cell), *warnings, *rest]
    rest += [] if cell["as_expected"] else console_lines(cell)
    frames = backtrace_lines(verdict["symbolized"])
    more = len(frames) - _MAX_FRAMES
    told = (verdict["message"] or verdict["title"]).split("\n")
    if {line.strip() for line in rest}.issuperset(told):
        told = []
    return [
        *told,
        *([cell["origin"]] if cell.get("origin") else []),
        *repeat_lines(cell),
        *frames[:_MAX_FRAMES],
        *([f"… and {more} frames more"] if more > 0 else []),
        *_assumption(cell),
        *warnings,
        *rest,
    ]


def _assumption(cell: Mapping[str, Any]) -> list[str]:
    """What was predicted for the code below the kernel's changes, and whether that held."""
    assumed = cell.get("assumed")  # which older records do not have
    if not assumed:
        return []
    held = "held" if cell["verdict"]["outcome"] in assumed else "did NOT hold"
    return [f"{cell.get('why_expected', '')} ({held})"]


def report_lines(cell: Mapping[str, Any], most: int | None = None) -> list[str]:
    """The sanitizer reports that the kernel survived, for people; first those that fail the cell.

    Args:
        cell: ``Cell`` as JSON's types; older records have no reports.
        most: lines for reports; None for all.
    """
    failing = cell.get("failing", ())
    reports = cell["verdict"].get("reports", ())
    lines = [
        *(f"report, fails: {title}" for title in failing),
        *(f"report: {title}" for title in reports if title not in failing),
    ]
    more = 0 if most is None else len(lines) - most
    return [*lines[:most], f"… and {more} reports more"] if more > 0 else lines


def repeat_lines(cell: Mapping[str, Any]) -> list[str]:
    """The boots that a failure needed besides, and what they say of it, for people."""
    opinion = cell.get("opinion")  # which older records do not have
    return [
        *([f"{'seen once: ' if cell.get('unrepeated') else ''}{opinion}"] if opinion else []),
        *(_repeat_in_words(cell["name"], repeat) for repeat in cell.get("repeats", ())),
    ]


def _repeat_in_words(cell: str, repeat: Mapping[str, Any]) -> str:
    came = repeat["error"].partition("\n")[0] or f"{repeat['outcome']}: {repeat['title']}"
    kernel = f", kernel {repeat['kernel']}" if repeat["purpose"] == "control" else ""
    way = f"{repeat['accelerator']}/{repeat['boot']}"
    return f"{repeat['purpose']} {way}{kernel}: {came} ({cell}/{repeat['name']}/console.log)"


def _print_mutants(mutants: Sequence[Mapping[str, Any]], console: Console) -> None:
    """What became of each, and below that how many each oracle caught."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("mutant", "fate", "by"):
        table.add_column(heading)
    table.add_column("seconds", justify="right")
    table.add_column("why", overflow="fold")
    for each in mutants:
        table.add_row(
            each["mutant"],
            Text(each["fate"], "green" if each["as_it_should_be"] else "red"),
            each["oracle"],
            f"{each['seconds']:.1f}" if each["seconds"] else "",
            Text(printable(_why(each))),
        )
    console.print(table)
    fates = Counter(each["fate"] for each in mutants)
    oracles = Counter(each["oracle"] for each in mutants if each["fate"] == Fate.CAUGHT)
    told = [f"{count} {fate}" for fate, count in fates.items()]
    told += [f"{count} by {oracle}" for oracle, count in oracles.items()]
    console.print(f"{len(mutants)} mutants: {', '.join(told)}", markup=False)


def _why(judgement: Mapping[str, Any]) -> str:
    if judgement["fate"] == Fate.SURVIVED:
        equivalent = judgement["equivalent"]
        return f"equivalent: {equivalent}" if equivalent else "NO REASON: no oracle sees it"
    first, *_ = judgement["why"].splitlines() or [""]
    why = first if len(first) <= _MAX_WHY else f"{first[:_MAX_WHY]}…"
    if judgement["fate"] == Fate.CAUGHT and judgement["equivalent"]:
        return f"SAID TO BE EQUIVALENT ({judgement['equivalent']}): {why}"
    return why
