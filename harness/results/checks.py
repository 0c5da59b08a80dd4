"""Results of checks, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from harness.check.result import Conclusion, conclusion_in_words


def check_agreed(cell: Mapping[str, Any]) -> bool:
    """Return whether the check found nothing, or there was none."""
    check = cell.get("check")
    return check is None or check["conclusion"] == Conclusion.AGREED


def failed_check_in_words(check: Mapping[str, Any]) -> str:
    """Return what made a check fail, for tables; ``check`` is a JSON document."""
    conclusion = check["conclusion"]
    if conclusion == Conclusion.FOUND:
        kind = check["host"]["kind"]
        return _FOUND.get(kind, str(kind))
    return _FAILED.get(conclusion, str(conclusion))


#: Findings of a host program, by ``onhost.ending.EndingKind``.
_FOUND: Mapping[str, str] = MappingProxyType(
    {
        "panic": "panics",
        "invariant": "breaks an invariant",
        "asleep": "a thread sleeps for ever",
        "deadlock": "threads wait for each other",
        "starvation": "a thread gets nowhere",
    }
)
_FAILED: Mapping[str, str] = MappingProxyType(
    {
        Conclusion.DIFFERS: "differs from the model",
        Conclusion.BROKEN: _FOUND["invariant"],
        Conclusion.GONE: "ended in the middle",
        Conclusion.SILENT: "stopped answering",
        Conclusion.NONSENSE: "answers are invalid",
        Conclusion.REFUSED: "refuses an operation",
    }
)


def check_lines(check: Mapping[str, Any] | None, *, verbose: bool = False) -> list[str]:
    """Return the result of a check, as lines of text.

    Args:
        check: ``CheckResult`` as a JSON document; None gives no lines.
        verbose: add the diff of the changed functions.
    """
    if check is None:
        return []
    lines = [_conclusion(check), *_specification(check)]
    lines += check.get("diff", "").splitlines() if verbose else []
    lines += _interleavings(check.get("interleavings") or {})
    lines += [check["why"]] if _has_reason(check) else []
    lines += check.get("notes", [])
    difference = check["difference"]
    if difference is not None:
        lines += [
            f"after {difference['first']} operations; shortest trace that reproduces it:",
            *(f"    {line}" for line in difference["trace"].splitlines()),
            *(f"step {difference['step']}: {line}" for line in difference["lines"]),
        ]
    elif check.get("host") and check.get("trace") and not check.get("findings"):
        lines += ["the shortest trace that shows it:"]
        lines += [f"    {line}" for line in check["trace"].splitlines()]
    for finding in check.get("findings", []):
        lines += _finding_lines(finding, verbose=verbose)
    return lines


#: Of a trace in a report.
_MOST_TRACE_LINES = 30


def _has_reason(check: Mapping[str, Any]) -> bool:
    """Return whether the reason does not stand elsewhere, too."""
    return bool(check["why"]) and not check["difference"] and not check.get("findings")


def _finding_lines(finding: Mapping[str, Any], *, verbose: bool) -> Iterator[str]:
    """Generate a finding of a search without a model, and the trace of a new one."""
    kind = f"known, {finding['case']}" if finding["case"] else "found"
    if not finding["counts"] and not finding["case"]:
        kind = "limit of the program"
    times = f"{finding['times']} time{'' if finding['times'] == 1 else 's'}"
    if finding["case"] and not verbose:
        yield f"{kind}: {times}, first after {finding['first']} operations"
        return
    yield f"{kind}: {finding['words']} ({times}, first after {finding['first']} operations)"
    if not finding["alone"]:
        yield "  in a fresh program its trace does not show it:"
    lines = finding["trace"].splitlines()
    yield from (f"    {line}" for line in lines[:_MOST_TRACE_LINES])
    if len(lines) > _MOST_TRACE_LINES:
        yield f"    … {len(lines) - _MOST_TRACE_LINES} more lines in the trace's file"


def _conclusion(check: Mapping[str, Any]) -> str:
    # Older records have no title, notes or number of setups.
    title = check.get("title") or f"the specification {check['model']}"
    setups = check.get("setups")
    traces = "" if setups is None else f" in {setups} trace{'' if setups == 1 else 's'}"
    extent = f"{check['operations']} operations{traces}, seed {check['seed']}"
    if check.get("host"):  # older records do not have it
        return _conclusion_on_host(check, title)
    if check["conclusion"] == Conclusion.AGREED:
        return f"check: agrees with {title} ({extent})"
    if check["conclusion"] == Conclusion.BROKEN:
        return f"check: breaks one of {title} ({extent})"
    if check["conclusion"] != Conclusion.DIFFERS:
        return f"{conclusion_in_words(check['conclusion'])}: {title} ({extent})"
    alike = check.get("alike", "")  # older records do not have it
    also = f", agrees with {alike}" if alike else ""
    return f"check: differs from {title}{also} ({extent})"


def _conclusion_on_host(check: Mapping[str, Any], title: str) -> str:
    """Return the conclusion of a host program's check, with what it was compiled from."""
    extent = (
        f"{check['operations']} operations, seed {check['seed']}, "
        f"sources {check['host']['sources'][:10]}, {check['host']['optimisation']}"
    )
    if check["conclusion"] == Conclusion.AGREED:
        return f"check on the host: agrees with {title} ({extent})"
    if check["conclusion"] == Conclusion.FOUND:
        return f"check on the host: failed ({extent}, {title})"
    if check["conclusion"] != Conclusion.DIFFERS:
        return f"check on the host: the program ended ({extent}, {title})"
    also = f", agrees with {check['alike']}" if check.get("alike") else ""
    return f"check on the host: differs from {title}{also} ({extent})"


def _interleavings(counts: Mapping[str, int]) -> Iterator[str]:
    """Generate what was run of schedules; none without threads."""
    if counts:
        yield (
            f"threads: {counts['schedules']} schedules of {counts['programs']} programs with up to "
            f"{counts['threads']} threads, {counts['operations']} operations, "
            f"{counts['points']} switch points; {counts['exhausted']} programs in all schedules "
            "with up to 2 preemptions"
        )


def _specification(check: Mapping[str, Any]) -> Iterator[str]:
    """Generate the specification's name and origin, and the changed functions."""
    if check.get("chosen"):
        yield f"specification {check['model']} ({check.get('asked', '')}: {check['chosen']})"
    if check.get("changed"):
        yield f"changed functions: {', '.join(check['changed'])}"
