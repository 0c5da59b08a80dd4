"""Reports as one HTML file without scripts, in which all output of guests is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from harness.printable import printable, printable_text
from harness.results.bisect import (
    Words,
    counts_in_words,
    guests_in_words,
    headline,
    remark_lines,
    words_of,
)
from harness.results.store import is_own

#: Bytes of the end of a console that a report shows.
_CONSOLE_BYTES = 64 * 1024

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem;
  color: #1b1f24; background: #fff }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #d8dee4;
  vertical-align: top }
th { font-weight: 600 } td.number { text-align: right; font-variant-numeric: tabular-nums }
code, pre { font: 13px/1.4 ui-monospace, monospace }
pre { background: #f6f8fa; padding: .8rem; overflow: auto; max-height: 30rem;
  white-space: pre-wrap; overflow-wrap: anywhere }
.line { display: flex; gap: 2px; margin: 1rem 0; height: 1.6rem }
.line span { flex: 1; min-width: 2px; background: #eaeef2 }
.line .good { background: #2da44e } .line .bad { background: #cf222e }
.line .skip { background: #bf8700 } .line .culprit { outline: 3px solid #1b1f24 }
.good { color: #1a7f37 } .bad { color: #cf222e } .skip, .infra { color: #9a6700 }
"""


def bisect_html(document: Mapping[str, Any], directory: Path) -> str:
    """Return the report of a bisection.

    Args:
        document: the record, with the key ``bisect``.
        directory: the directory of the run, which contains the tests' consoles.
    """
    bisect = document["bisect"]
    root = ET.Element("html", lang="en")
    head = ET.SubElement(root, "head")
    ET.SubElement(head, "meta", charset="utf-8")
    _text(head, "title", headline(bisect))
    _text(head, "style", _STYLE)
    body = ET.SubElement(root, "body")
    _text(body, "h1", headline(bisect))
    for guest in guests_in_words(document):
        _text(body, "p", f"Guest: {guest}")
    if bisect.get("kernel"):
        _text(body, "p", f"Compiled: {bisect['kernel']}")
    _failure(body, bisect)
    for remark in remark_lines(bisect):
        _text(body, "p", remark)
    _culprits(body, bisect)
    _proof(body, bisect["proof"], words_of(bisect))
    _line(body, bisect)
    _tests(body, bisect["tests"], directory)
    _text(body, "p", f"{' '.join(document['command'])} · {document['started']}")
    return "<!DOCTYPE html>\n" + ET.tostring(root, "unicode", method="html") + "\n"


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    element.text = printable_text(text)
    return element


def _table(
    parent: ET.Element, heads: Iterable[str], rows: Iterable[Iterable[tuple[str, str]]]
) -> None:
    """Add a table whose cells are pairs of text and CSS class."""
    table = ET.SubElement(parent, "table")
    row = ET.SubElement(table, "tr")
    for head in heads:
        _text(row, "th", head)
    for cells in rows:
        row = ET.SubElement(table, "tr")
        for text, kind in cells:
            _text(row, "td", text, **({"class": kind} if kind else {}))


def _failure(body: ET.Element, bisect: Mapping[str, Any]) -> None:
    failure = bisect["failure"]
    if bisect.get("error"):
        _text(body, "p", "First error:")
        _text(body, "pre", bisect["error"])
    elif failure["title"]:
        share = f"{100 * failure['rate']:.0f} %"
        _text(body, "p", f"Failure, in about {share} of a bad kernel's tests:")
        _text(body, "pre", failure["title"])
    if failure["own"]:
        _text(body, "p", "Ignored, because the good end fails in this way, too:")
        _text(body, "pre", "\n".join(failure["own"]))


def _culprits(body: ET.Element, bisect: Mapping[str, Any]) -> None:
    for culprit in bisect["culprits"]:
        _text(body, "h2", culprit["name"])
        _text(body, "p", f"{culprit['author']}, {culprit['date']}")
        _text(body, "pre", culprit["message"])
        _text(body, "pre", culprit["diffstat"])


def _proof(body: ET.Element, steps: Iterable[Mapping[str, Any]], words: Words) -> None:
    rows = [
        (
            (step["what"], ""),
            (step["commit"][:12], ""),
            (words.passes if step["expected"] == "good" else words.fails, ""),
            (step["problem"] or counts_in_words(step, words), ""),
            ("holds" if step["holds"] else "open" if step["problem"] else "does not hold",
             "good" if step["holds"] else "skip" if step["problem"] else "bad"),
        )
        for step in steps
    ]  # fmt: skip
    if rows:
        _text(body, "h2", "Proof")
        _table(body, ("", "revision", "expected", "result", ""), rows)


def _line(body: ET.Element, bisect: Mapping[str, Any]) -> None:
    _text(body, "h2", "Tested revisions, oldest first")
    named = set(bisect["answer"]["commits"])
    strip = ET.SubElement(body, "div", {"class": "line"})
    rows = []
    for one in bisect["line"]:
        kind = one["verdict"] + (" culprit" if one["commit"] in named else "")
        title = printable(f"{one['commit'][:12]} {one['subject']}")
        ET.SubElement(strip, "span", {"class": kind, "title": title})
        came = counts_in_words(one, words_of(bisect))
        rows.append(((one["commit"][:12], ""), (came, one["verdict"]), (one["subject"], "")))
    _table(body, ("revision", "tests", "subject"), rows)
    _text(
        body,
        "p",
        f"{bisect['revisions']} revisions between the ends, "
        f"{bisect['candidates']} of which change the kernel.",
    )


def _tests(body: ET.Element, tests: Iterable[Mapping[str, Any]], directory: Path) -> None:
    _text(body, "h2", "Tests, in order")
    for test in tests:
        details = ET.SubElement(body, "details")
        summary = ET.SubElement(details, "summary")
        _text(summary, "code", test["commit"][:12])
        _text(summary, "b", f" {test['mark']} ", **{"class": test["mark"]})
        result = "; ".join(test["titles"]) or test["outcome"] or test["kind"]
        _text(summary, "span", f"{result} · build {test['build_seconds']:.0f} s, "
              f"test {test['seconds']:.1f} s")  # fmt: skip
        if test["error"]:
            _text(details, "pre", test["error"])
        console = console_tail(directory, test["cell"])
        if console:
            _text(details, "pre", console)


def console_tail(directory: Path, cell: str) -> str:
    """Return the end of a test's console; empty if it cannot be read."""
    log = directory / cell / "console.log"
    if not cell or not is_own(log):
        return ""
    try:
        data = log.read_bytes()[-_CONSOLE_BYTES:]
    except OSError:
        return ""
    return data.decode("utf-8", "replace").replace("\r", "")
