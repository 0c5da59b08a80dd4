"""The lock: each release that ci/run installs, with hashes, and from no particular index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

CHECKOUT = Path(__file__).parents[2]
FILES = sorted((CHECKOUT / "ci" / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]

NEEDED = {
    "harness": PROJECT["dependencies"],
    "freebsd": [
        *PROJECT["dependencies"],
        *(each for extra in ("libvirt", "ssh", "nightly", "group") for each in EXTRAS[extra]),
    ],
    "tests": [
        *PROJECT["dependencies"],
        *(each for extra in EXTRAS for each in EXTRAS[extra] if extra != "fuzz"),
    ],
}
"""What pyproject.toml says that each file must have."""


def locked(file: Path) -> dict[str, str]:
    """The releases in a file, by name."""
    entries = re.findall(r"(?m)^(\S+)==([^\s;]+)", file.read_text())
    return {name.lower().replace("_", "-"): version for name, version in entries}


def named(name: str) -> dict[str, str]:
    return locked(CHECKOUT / "ci" / "requirements" / f"{name}.txt")


@pytest.mark.parametrize("name", NEEDED)
def test_lock_has_what_the_project_needs(name: str) -> None:
    releases = named(name)
    for text in NEEDED[name]:
        requirement = Requirement(text)
        version = releases.get(requirement.name.lower())
        assert version, f"{requirement.name} is not locked: run ci/lock"
        assert requirement.specifier.contains(version), f"{text}, and {version} is locked"


def test_lock_has_what_the_project_is_built_with() -> None:
    assert {"hatchling", "setuptools", "wheel"} <= named("build").keys()


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_each_release_has_hashes_and_nothing_names_an_index(file: Path) -> None:
    release, digest = r"\S+==[^\s;]+( ; .*)? \\", r"    --hash=sha256:[0-9a-f]{64}( \\)?"
    for line in file.read_text().splitlines():
        assert re.fullmatch(rf"#.*|{release}|{digest}", line)
    entries = re.split(r"(?m)^(?=\S+==)", file.read_text())[1:]
    assert entries
    assert all("--hash=" in entry for entry in entries)


@pytest.mark.parametrize("name", ["build", "harness", "freebsd"])
def test_tests_run_with_the_releases_that_users_get(name: str) -> None:
    tests = named("tests")
    common = named(name).keys() & tests.keys()
    assert {each: named(name)[each] for each in common} == {each: tests[each] for each in common}
    assert name == "build" or common == named(name).keys()
