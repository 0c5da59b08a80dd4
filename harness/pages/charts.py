"""Charts as SVG files, with a text alternative for each. Pure.

A chart follows the reader's dark mode. Its texts are numbers and dates; names of cells stand in the
page beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

from harness.printable import printable

_WIDTH: Final = 720
_HEIGHT: Final = 190
_LEFT: Final = 52
_RIGHT: Final = 8
_TOP: Final = 28
_BOTTOM: Final = 26

#: As in ``style.css``; presentation attributes cannot follow a colour scheme.
_STYLE: Final = """
text { font: 12px system-ui, sans-serif; fill: #57606a }
.grid { stroke: #d0d7de } .line { stroke: #0a5bc4; fill: none; stroke-width: 2 }
.dot { fill: #0a5bc4 } .bad { fill: #b42318 } .host { fill: #8a5a00 }
@media (prefers-color-scheme: dark) {
text { fill: #9aa4b2 } .grid { stroke: #30363d } .line { stroke: #79b8ff } .dot { fill: #79b8ff }
.bad { fill: #ff8a80 } .host { fill: #e3b341 } }
"""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart.

    Args:
        svg: the text of the file.
        alternative: what it shows, in words.
        width, height: its size in pixels.
    """

    svg: str
    alternative: str
    width: int = _WIDTH
    height: int = _HEIGHT


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of two parts.

    Args:
        label: what it is of.
        bad: the lower part.
        host: the upper part.
    """

    label: str
    bad: int
    host: int = 0


@dataclass(frozen=True, slots=True)
class ChartPoint:
    """A point of a line.

    Args:
        label: what it is of.
        value: its value.
    """

    label: str
    value: float


def bars(values: Sequence[Bar], what: str) -> Chart:
    """Return a chart of bars in their order, the newest last."""
    most = max((each.bad + each.host for each in values), default=0)
    root, top = _frame(float(most), what, integers=True)
    step = (_WIDTH - _LEFT - _RIGHT) / max(1, len(values))
    width = max(1.0, min(28.0, 0.7 * step))
    for place, each in enumerate(values):
        x = _LEFT + step * place + (step - width) / 2
        y = float(_HEIGHT - _BOTTOM)
        for kind, count in (("bad", each.bad), ("host", each.host)):
            height = count / top * (_HEIGHT - _TOP - _BOTTOM)
            if count:
                y -= height
                _shape(root, "rect", kind, x=x, y=y, width=width, height=height)
    _ends(root, [each.label for each in values])
    worst = max(values, key=lambda each: each.bad + each.host, default=None)
    words = f"{what}: {_span([each.label for each in values])}; "
    if worst is None or not most:
        words += "none"
    else:
        newest = values[-1]
        words += (
            f"most {most} in {worst.label}, {newest.bad + newest.host} in {newest.label}; "
            f"in {sum(not each.bad + each.host for each in values)} none"
        )
    return Chart(_text(root, words), words)


def line(values: Sequence[ChartPoint], what: str, unit: str) -> Chart:
    """Return a chart of points joined by a line, the newest last."""
    root, top = _frame(max((each.value for each in values), default=0.0), f"{what} ({unit})")
    step = (_WIDTH - _LEFT - _RIGHT) / max(1, len(values))
    places = [
        (_LEFT + step * (place + 0.5), _y(each.value / top)) for place, each in enumerate(values)
    ]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    ET.SubElement(root, "polyline", {"class": "line", "points": points})
    for x, y in places:
        _shape(root, "circle", "dot", cx=x, cy=y, r=2.5)
    _ends(root, [each.label for each in values])
    words = f"{what}: {_span([each.label for each in values])}; "
    if values:
        lowest, highest = (f(each.value for each in values) for f in (min, max))
        words += f"{lowest:.3g} to {highest:.3g} {unit}, newest {values[-1].value:.3g} {unit}"
    return Chart(_text(root, words), words)


def _frame(most: float, what: str, *, integers: bool = False) -> tuple[ET.Element, float]:
    """Return an empty chart, and the value at its top."""
    root = ET.Element(
        "svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img",
        width=str(_WIDTH), height=str(_HEIGHT),
    )  # fmt: skip
    step = _round_step(most / 3)
    if integers:
        step = max(1.0, step)
    count = max(1, -int(-most // step))
    top = count * step
    for number in range(count + 1):
        y = _y(number / count)
        _shape(root, "line", "grid", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y)
        label = f"{number * step:g}"
        _label(root, label, _LEFT - 6, y + 4, "end")
    _label(root, what, _LEFT, 14, "start")
    return root, top


def _round_step(step: float) -> float:
    """Return the next larger of 1, 2, 5, 10, 20, 50, …, or their fractions."""
    if step <= 0:
        return 1.0
    scale = 1.0
    while scale * 10 <= step:
        scale *= 10
    while scale > step:
        scale /= 10
    return next(scale * factor for factor in (1, 2, 5, 10) if scale * factor >= step)


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _ends(root: ET.Element, labels: Sequence[str]) -> None:
    if labels:
        _label(root, labels[0], _LEFT, _HEIGHT - 8, "start")
    if len(labels) > 1:
        _label(root, labels[-1], _WIDTH - _RIGHT, _HEIGHT - 8, "end")


def _span(labels: Sequence[str]) -> str:
    if not labels:
        return "no data"
    return labels[0] if len(labels) == 1 else f"{labels[0]} to {labels[-1]}"


def _label(root: ET.Element, text: str, x: float, y: float, anchor: str) -> None:
    attributes = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
    ET.SubElement(root, "text", attributes).text = printable(text)


def _shape(root: ET.Element, tag: str, kind: str, **numbers: float) -> None:
    values = {name: f"{number:.1f}" for name, number in numbers.items()}
    ET.SubElement(root, tag, {"class": kind, **values})


def _text(root: ET.Element, words: str) -> str:
    title = ET.Element("title")
    title.text = printable(words)
    style = ET.Element("style")
    style.text = _STYLE
    root.insert(0, style)
    root.insert(0, title)
    return ET.tostring(root, "unicode") + "\n"
