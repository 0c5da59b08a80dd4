"""Pages in a real browser: under Jenkins' policy, on a phone, in the dark, and for everybody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from browser import Browser
from documents import documents
from publisher import published

MODULES = Path(sys.prefix) / "npm" / "node_modules"
"""What ``ci/run`` installs of npm's packages."""

WIDE, PHONE = 1280, 390


def module(name: str) -> Path:
    path = MODULES / name
    assert path.is_file(), f"there is no {path}: ci/run installs it"
    return path


def pages_of(site: Path) -> list[Path]:
    """One page of each kind, those with failures first."""
    kinds: dict[str, Path] = {}
    for file, _ in sorted(documents(site), key=lambda each: -each[0].stat().st_size):
        kind = file.parent.name if file.name != "index.html" else str(file.relative_to(site))
        kinds.setdefault("night" if kind == "nights/2/index.html" else kind, file)
    return list(kinds.values())


def test_jenkins_policy_changes_nothing(browser: Browser, hostile: Path, tmp_path: Path) -> None:
    """Every picture is the same as without it, and the browser has nothing to report."""
    with published(hostile) as url:
        for number, page in enumerate(pages_of(hostile)):
            files = tmp_path / f"{number}-file.png", tmp_path / f"{number}-jenkins.png"
            browser.open(page.as_uri())
            browser.screenshot(files[0])
            browser.open(f"{url}/{page.relative_to(hostile)}")
            browser.screenshot(files[1])
            assert files[0].read_bytes() == files[1].read_bytes(), page
    assert not browser.problems


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing(browser: Browser, hostile: Path, dark: bool) -> None:
    axe = module("axe-core/axe.min.js").read_text("utf-8")
    for page in pages_of(hostile):
        browser.open(page.as_uri(), dark=dark)
        browser.value("document.querySelectorAll('details').forEach(each => each.open = true)")
        browser.value(axe)
        found = browser.value(
            "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']})"
            ".then(found => found.violations.map(each => each.id + ': ' + each.nodes.map("
            "node => node.html + ' ' + node.failureSummary).slice(0, 3).join('; ')))"
        )
        assert not found, (page, found)


def test_nothing_is_wider_than_a_phone(browser: Browser, hostile: Path) -> None:
    for page in pages_of(hostile):
        browser.open(page.as_uri(), PHONE)
        assert browser.value("document.documentElement.scrollWidth") == PHONE, page


def test_what_scrolls_can_be_reached_by_keyboard(browser: Browser, hostile: Path) -> None:
    """Whatever is wider than its box takes the focus, and the first stop skips the header."""
    for page in pages_of(hostile):
        browser.open(page.as_uri(), PHONE)
        unreachable = browser.value(
            "[...document.querySelectorAll('main *')].filter(each => "
            "each.scrollWidth > each.clientWidth + 1 && each.tabIndex < 0 && "
            "['auto', 'scroll'].includes(getComputedStyle(each).overflowX)).length"
        )
        assert unreachable == 0, page
        assert browser.value("document.querySelector('a').getAttribute('href')") == "#main"


def test_the_validator_finds_nothing(hostile: Path) -> None:
    argv = ["java", "-Xss8m", "-XX:TieredStopAtLevel=1", "-jar",
            str(module("vnu-jar/build/dist/vnu.jar")), "--skip-non-html", str(hostile)]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
