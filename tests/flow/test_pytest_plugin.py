"""Tests of a user's that run on guests, with pytest as a program."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest
from command import GLANCE, SECONDS, Home, Said

pytestmark = pytest.mark.guest

FAILING = """
import pytest

pytestmark = pytest.mark.guest(numa=2, memory=64)

def test_passes(guest):
    assert guest.run("true").succeeded

def test_panics(guest):
    guest.run("panic 'out of ideas'")

def test_fails(guest):
    guest.run("echo a line")
    assert guest.sysctl("vm.ndomains") == "3"

def test_expects_a_panic(guest):
    with guest.panic_expected("do_panic"):
        guest.run("panic")

def test_has_a_new_guest(guest):
    assert guest.run("true").succeeded
    assert "panic" not in guest.console
"""

HANGING = """
import pathlib, pytest

pytestmark = pytest.mark.guest(memory=64)

def test_boots(guest):
    guest.boot()
    pathlib.Path("up").touch()

@pytest.mark.timeout(1)
def test_hangs(guest):
    guest.run("plant hang")

def test_passes(guest):
    assert guest.run("true").succeeded
"""

OF_OTHERS = """
import sys, pytest

@pytest.fixture
def guest():
    return "a guest of a hotel"

@pytest.mark.guest("of honour", table=4)
def test_own_fixture(guest):
    assert guest == "a guest of a hotel"

@pytest.mark.parametrize("kernel", ["popcorn"])
def test_own_argument(kernel):
    assert kernel == "popcorn"

def test_nothing_is_imported():
    ours = {name for name in sys.modules if name.partition(".")[0] == "harness"}
    assert ours <= {"harness", "harness.pytest_plugin", "harness.plugin", "harness.plugin.options"}
"""


@dataclass(frozen=True)
class Project:
    """A directory with tests, and the user who runs them."""

    directory: Path
    home: Home

    def write(self, text: str, name: str = "test_it.py") -> None:
        (self.directory / name).write_text(text)

    def start(self, *words: str) -> subprocess.Popen[str]:
        program = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA"]
        return subprocess.Popen(
            [*program, "--harness-source=embedded", "--harness-accelerator=tcg", *words],
            cwd=self.directory, env=dict(self.home.env), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def pytest(self, *words: str) -> Said:
        with self.start(*words) as popen:
            stdout, stderr = popen.communicate(timeout=4 * SECONDS)
        return Said(popen.returncode, stdout, stderr)


@pytest.fixture
def project(tmp_path: Path, shared_home: Home) -> Iterator[Project]:
    yield Project(tmp_path, shared_home)
    assert not shared_home.processes()


def outcomes(said: Said) -> dict[str, str]:
    """Return the outcome of each test, by name."""
    lines = (line.split() for line in said.stdout.splitlines())
    marks = {"PASSED", "FAILED", "ERROR"}
    return {words[1]: words[0] for words in lines if len(words) > 1 and words[0] in marks}


def wait_for(path: Path, popen: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert popen.poll() is None, popen.communicate()
        time.sleep(GLANCE)


def test_a_failing_test_shows_verdict_frames_and_console(project: Project) -> None:
    project.write(FAILING)
    said = project.pytest("--junitxml=junit.xml", "--harness-out=runs")
    marks = [
        (name.partition("[")[0].removeprefix("test_it.py::test_"), mark)
        for name, mark in outcomes(said).items()
    ]
    assert sorted(marks) == [
        ("expects_a_panic", "PASSED"), ("fails", "FAILED"), ("has_a_new_guest", "PASSED"),
        ("panics", "FAILED"), ("passes", "PASSED"),
    ], said.stdout  # fmt: skip
    assert "GuestFailed: panic: out of ideas in do_panic (none-numa2" in said.stdout
    for words in ("- guest verdict -", "do_panic at images/embedded/commands.c:", "panic: out of"):
        assert words in said.stdout
    junit = project.directory / "junit.xml"
    cases = {
        case.attrib["name"].partition("[")[0]: {
            each.attrib["name"]: each.attrib.get("value") or each.text or ""
            for each in case.iter("property")
        }
        for case in ElementTree.parse(junit).iter("testcase")  # noqa: S314
    }
    panicked = cases["test_panics"]
    assert panicked["harness_verdict"] == "panic: out of ideas in do_panic"
    assert "do_panic at images/embedded/commands.c:" in panicked["harness_frames"]
    assert "KDB: stack backtrace:" in panicked["harness_console"]
    assert Path(panicked["harness_record"], "record.json").is_file()
    assert "built-in guest" in cases["test_fails"]["harness_guest"]
    assert "harness_verdict" not in cases["test_fails"]
    assert cases["test_passes"] == {}
    # One guest until the panic, one until the expected one, and one for the last test.
    assert len(list((project.directory / "runs").glob("*/record.json"))) == 3


def test_workers_have_guests_of_their_own(project: Project) -> None:
    project.write(FAILING, "test_one.py")
    project.write(FAILING, "test_two.py")
    said = project.pytest("-n2", "--dist=loadfile", "-k", "not fails")
    assert sorted(outcomes(said).values()) == ["FAILED"] * 2 + ["PASSED"] * 6, said.stdout
    assert said.stdout.count("- guest frames -") == 2


def test_collection_starts_and_imports_nothing(project: Project) -> None:
    project.write(
        FAILING + "\nimport sys, atexit\n" + "atexit.register(lambda: print(*sys.modules))"
    )
    said = project.pytest("--collect-only", "-q")
    assert "test_panics[none-numa2]" in said.stdout
    modules = said.stdout.splitlines()[-1].split()
    heavy = {"harness.runs", "harness.boot", "harness.kernel", "elftools", "msgspec", "tree_sitter"}
    assert not heavy & set(modules)


def test_who_does_not_use_it_notices_nothing(project: Project) -> None:
    project.write(OF_OTHERS)
    said = project.pytest("-W", "ignore::pytest.PytestUnknownMarkWarning")
    assert (said.code, list(outcomes(said).values())) == (0, ["PASSED"] * 3), said.stdout


def test_a_wrong_marker_is_an_error_that_names_the_test(project: Project) -> None:
    project.write("import pytest\n@pytest.mark.guest(nmua=4)\ndef test_a(guest): pass", "test_x.py")
    project.write(
        "import pytest\n@pytest.mark.guest(numa=99)\ndef test_b(guest): pass", "test_y.py"
    )
    said = project.pytest()
    assert said.code == pytest.ExitCode.INTERRUPTED
    assert "test_x.py::test_a: guest: the marker has no argument 'nmua'" in said.stdout
    assert "test_y.py::test_b: guest: numa: " in said.stdout
    assert "Traceback" not in said.stdout


NOT_TO_BE_HAD = {
    "mutant='m'": "harness: the built-in guest has no mutant 'm'",
    "sanitizer='kmsan'": "harness: the built-in guest does not support KMSAN",
    "source='/nowhere'": "harness: the source tree /nowhere is not a directory",
    "vm='nowhere'": "harness: --vm: ",
}


def test_a_guest_that_cannot_be_made_is_an_error_in_a_few_words(project: Project) -> None:
    tests = (
        f"@pytest.mark.guest({argument})\ndef test_{number}(guest): pass\n"
        for number, argument in enumerate(NOT_TO_BE_HAD)
    )
    project.write("import pytest\n" + "".join(tests))
    said = project.pytest()
    assert list(outcomes(said).values()) == ["ERROR"] * len(NOT_TO_BE_HAD), said.stdout
    for words in NOT_TO_BE_HAD.values():
        assert words in said.stdout
    assert "Traceback" not in said.stdout


def test_a_test_that_takes_too_long_ends_its_guest(project: Project) -> None:
    project.write(HANGING)
    said = project.pytest("--timeout-method=signal")
    assert sorted(outcomes(said).values()) == ["FAILED", "PASSED", "PASSED"], said.stdout
    assert "Timeout" in said.stdout


def test_a_program_that_the_timeout_ends_leaves_no_guest(project: Project) -> None:
    project.write(HANGING)
    said = project.pytest("--timeout-method=thread")
    assert said.code != 0
    assert "Timeout" in said.stdout + said.stderr
    wait_until_none(project.home)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_pytest_leaves_no_guest(project: Project, signum: signal.Signals) -> None:
    project.write(HANGING)
    with project.start("-p", "no:timeout", "-W", "ignore", "-k", "not passes") as popen:
        wait_for(project.directory / "up", popen)
        guests = [each for each in project.home.names() if each.startswith("qemu")]
        popen.send_signal(signum)
        popen.communicate(timeout=SECONDS)
    assert guests
    assert popen.returncode == (pytest.ExitCode.INTERRUPTED if signum == signal.SIGINT else -signum)
    wait_until_none(project.home)


def test_a_guest_that_fails_while_a_test_does_something_else_fails_it(project: Project) -> None:
    project.write(
        "import time\ndef test_a(guest):\n"
        "    guest.boot()\n"
        "    guest._session._client.submit(lambda shell: shell.run('panic'))\n"
        "    while guest._session.failure is None: time.sleep(0.01)\n"
    )
    said = project.pytest()
    assert list(outcomes(said).values()) == ["FAILED"]
    assert "GuestFailed: panic: by command in do_panic" in said.stdout


def wait_until_none(home: Home) -> None:
    """Wait until no process of a home is left; a guard ends them just after pytest."""
    with contextlib.suppress(psutil.Error):
        psutil.wait_procs(home.processes(), timeout=SECONDS)
    assert not home.processes()
