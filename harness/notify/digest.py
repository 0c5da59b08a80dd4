"""The digest of a night: subject, text and HTML. Pure.

Titles, subjects of commits and errors come from guests and trees. A digest's subject is one line
of printable characters, and HTML is escaped by jinja2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2

from harness.nightly.news import culprit_in_words, places_in_words
from harness.nightly.sentence import night_sentence
from harness.printable import printable

if TYPE_CHECKING:
    from harness.nightly.night import JudgedNight, News, Problem

_TEMPLATES: Final = Path(__file__).parent / "templates"

#: Characters of a subject, and of any other line.
_SUBJECT: Final = 200
_LINE: Final = 500

#: News and problems that a digest lists; of more, it states the number.
_LISTED: Final = 40


@dataclass(frozen=True, slots=True)
class Digest:
    """A message.

    Args:
        subject: one line of printable characters.
        text: the message as plain text.
        html: the same as HTML.
    """

    subject: str
    text: str
    html: str


def night_digest(judged: JudgedNight, page: str | None = None) -> Digest:
    """Return the digest of a night.

    Args:
        judged: the night.
        page: URL of the plan's pages.
    """
    sentence = one_line(night_sentence(judged))
    return _digest(judged, sentence, judged.news, page, why="")


def author_digest(judged: JudgedNight, news: Sequence[News], page: str | None = None) -> Digest:
    """Return the message for the author of a commit that was proven to break something.

    Args:
        judged: the night.
        news: those about the author's commits.
        page: URL of the plan's pages.
    """
    sentence = one_line(news[0].text)
    why = 'You get this because the plan\'s "authors" matches your address.'
    return _digest(judged, sentence, news, page, why)


def late_digest(plan: str, text: str) -> Digest:
    """Return the message that a night is missing.

    Args:
        plan: name of the plan.
        text: what is missing, in a sentence.
    """
    values: dict[str, Any] = {
        "sentence": one_line(text), "night": "", "why": "", "news": [], "problems": [],
        "notes": [], "page": "", "more": 0, "command": "harness nightly status",
    }  # fmt: skip
    return _rendered(f"[{plan}] a night is missing: {one_line(text)}", values)


def one_line(text: str, most: int = _LINE) -> str:
    """Return a text of a guest as one line of printable characters, cut to ``most``."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"


def _digest(
    judged: JudgedNight, sentence: str, news: Sequence[News], page: str | None, why: str
) -> Digest:
    night = judged.night
    wanted = {each.problem for each in news}
    problems = [each for each in judged.problems if each.id in wanted]
    values = {
        "sentence": sentence,
        "night": f"Night {night.number} of {night.plan}, {night.started:%Y-%m-%d %H:%M} UTC",
        "news": [(str(each.kind), one_line(each.text)) for each in news[:_LISTED]],
        "problems": [_problem(each, page) for each in problems[:_LISTED]],
        "notes": [one_line(note) for note in night.notes],
        "more": max(0, len(news) - _LISTED),
        "page": _place(page, f"nights/{night.number}/index.html"),
        "why": why,
        "command": f"harness nightly show --night {night.number} -v",
    }
    return _rendered(f"[{night.plan}] {sentence}", values)


def _place(page: str | None, path: str) -> str:
    """Return the URL of one of the pages that ``harness.pages.nightsite`` writes."""
    return f"{page.rstrip('/')}/{path}" if page else ""


def _problem(problem: Problem, page: str | None) -> dict[str, Any]:
    """Return what a digest says of a problem."""
    rate = problem.rate
    since, proof = "", []
    if problem.culprit is not None:
        since = f"since {culprit_in_words(problem.culprit)}"
        proof = [one_line(line) for line in problem.culprit.proof[:4]]
    elif problem.why_unknown and problem.open:
        since = f"culprit unknown: {problem.why_unknown}"
    return {
        "id": problem.id,
        "title": one_line(problem.title),
        "judged": str(problem.classification) if problem.open else "fixed",
        "where": one_line(places_in_words(problem.slots)),
        "rate": f"{rate.failed} of {rate.boots} boots",
        "why": one_line(problem.why),
        "since": one_line(since),
        "proof": proof,
        "page": _place(page, f"problems/{problem.id}.html"),
    }


def _rendered(subject: str, values: dict[str, Any]) -> Digest:
    html = _environment().get_template("digest.html").render(values)
    return Digest(one_line(subject, _SUBJECT), "\n".join(_lines(values)) + "\n", html)


def _lines(values: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the plain text."""
    yield values["sentence"]
    if values["night"]:
        yield values["night"]
    for kind, text in values["news"]:
        yield ""
        yield f"* {kind}: {text}"
    if values["more"]:
        yield f"* and {values['more']} more"
    for each in values["problems"]:
        yield ""
        yield f"{each['id']}  {each['judged']}: {each['title']}"
        where = f"{each['where']}; {each['rate']}"
        rest = (where, each["why"], each["since"], *each["proof"], each["page"])
        yield from (f"    {line}" for line in rest if line)
    if values["notes"]:
        yield ""
        yield from values["notes"]
    yield ""
    yield values["command"]
    if values["page"]:
        yield values["page"]
    if values["why"]:
        yield values["why"]


def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    return jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
