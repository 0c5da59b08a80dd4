"""The wheel, installed where nothing of the checkout is in reach.

The dependencies that it declares, and nothing else, are lent to it by this test's own
environment, so that no network is needed and a dependency that is not declared is noticed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from command import Home
from packaging.requirements import Requirement

CHECKOUT = Path(__file__).parents[2]


def declared(name: str) -> set[str]:
    """A distribution and all that it needs, without extras."""
    found, asked = set(), {name}
    while asked:
        current = asked.pop()
        found.add(current)
        needs = map(Requirement, distribution(current).requires or ())
        asked |= {
            need.name
            for need in needs
            if need.marker is None or need.marker.evaluate({"extra": ""})
        } - found
    return found


def lend(package: Distribution, target: Path) -> None:
    """Put links to a distribution's files and directories into another environment."""
    source = Path(str(package.locate_file("")))
    tops = {file.parts[0] for file in package.files or () if file.parts[0] not in ("..", ".")}
    for top in tops - {"__pycache__"}:
        if not (target / top).exists():
            (target / top).symlink_to(source / top)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; gives its ``bin``."""
    directory = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--no-cache-dir"]
    _run(*pip, "wheel", *options, "--wheel-dir", directory, CHECKOUT)
    (wheel,) = directory.glob("*.whl")
    environment = directory / "env"
    _run(sys.executable, "-m", "venv", "--without-pip", environment)
    _run(*pip, "--python", environment, "install", "--no-deps", "--no-index", wheel)
    (packages,) = environment.glob("lib/python*/site-packages")
    for name in declared("harness") - {"harness"}:
        lend(distribution(name), packages)
    return environment / "bin"


def _run(*words: str | Path) -> None:
    finished = subprocess.run(words, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.guest
def test_it_compares_in_an_empty_directory(
    empty_home: Home, installed: Path, tmp_path: Path
) -> None:
    words = ("compare", "--source", "embedded", "--numa", "4", "--kasan", "--json")
    finished = subprocess.run(
        [installed / "harness", *words],
        cwd=tmp_path, env=empty_home.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    outcomes = [cell["verdict"]["outcome"] for cell in json.loads(finished.stdout)["cells"]]
    assert outcomes == ["panic", "booted"]
    assert list(tmp_path.iterdir()) == []


def test_it_brings_its_guests_and_images(installed: Path) -> None:
    (data,) = installed.parent.glob("lib/python*/site-packages/harness/_data")
    for directory in ("images", "vmconfigs"):
        shipped = {
            path.relative_to(data) for path in (data / directory).rglob("*") if path.is_file()
        }
        listed = subprocess.run(
            ["git", "-C", CHECKOUT, "ls-files", "-z", directory], capture_output=True, check=True
        )
        assert {str(path) for path in shipped} >= set(
            filter(None, listed.stdout.decode().split("\0"))
        )


def test_it_brings_the_c_of_its_subsystems(installed: Path) -> None:
    (package,) = installed.parent.glob("lib/python*/site-packages/harness")
    listed = subprocess.run(
        ["git", "-C", CHECKOUT, "ls-files", "-z", "harness/subsystems/*/c/*"],
        capture_output=True, check=True,
    )  # fmt: skip
    files = list(filter(None, listed.stdout.decode().split("\0")))
    assert {Path(name).suffix for name in files} >= {".c", ".h", ".mk"}
    for name in files:
        assert (package.parent / name).read_bytes() == (CHECKOUT / name).read_bytes()


def test_it_brings_its_json_schema(installed: Path) -> None:
    (schema,) = installed.parent.glob("lib/python*/site-packages/harness/schema.json")
    assert schema.read_bytes() == (CHECKOUT / "harness" / "schema.json").read_bytes()


@pytest.mark.parametrize("command", ["", "boot", "compare", "build", "doctor", "report"])
def test_every_command_helps(home: Home, installed: Path, command: str) -> None:
    finished = subprocess.run(
        [installed / "harness", *filter(None, [command]), "--help"],
        cwd=home.directory, env=home.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert "Example" in finished.stdout
