"""Pages as a browser parses them."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

ALLOWED = {
    "html", "head", "meta", "title", "link", "body", "a", "header", "nav", "main", "footer",
    "section", "h1", "h2", "h3", "p", "ul", "li", "dl", "div", "dt", "dd", "span", "code", "pre",
    "mark", "ins", "del", "img", "table", "thead", "tbody", "tr", "th", "td", "details", "summary",
}  # fmt: skip
"""Elements of templates; any other comes from a guest or a commit."""


class Document(HTMLParser):
    """A page: its elements, links and text.

    Attributes:
        tags: the elements.
        attributes: the names of all attributes.
        links: the targets of links, pictures and style sheets.
        ids: the values of ``id``.
        text: all text.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name in ("href", "src"):
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def documents(site: Path) -> Iterator[tuple[Path, Document]]:
    """Generate all pages of a site."""
    for file in sorted(site.rglob("*.html")):
        yield file, Document(file)


def broken_links(site: Path) -> list[str]:
    """Return the links that lead out of a site, or nowhere."""
    pages = dict(documents(site))
    broken = []
    for file, page in pages.items():
        for link in page.links:
            path, _, anchor = link.partition("#")
            target = (file.parent / path).resolve() if path else file
            known = target.is_relative_to(site.resolve()) and target.is_file()
            if not known or (anchor and anchor not in pages[target].ids):
                broken.append(f"{file}: {link}")
    return broken
