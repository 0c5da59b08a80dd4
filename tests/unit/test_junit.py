"""JUnit files, read back as a CI reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import cell, run, unproven
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

from harness.console.stages import Stage
from harness.errors import InfraError
from harness.outcome import Outcome
from harness.results.junit import write_junit
from harness.results.record import Cell
from harness.verdict import Verdict


def suite_of(path: Path, *cells: Cell) -> TestSuite:
    write_junit(run(*cells), path)
    (suite,) = JUnitXml.fromfile(str(path))
    return suite


def case_of(path: Path, one: Cell) -> TestCase:
    (case,) = suite_of(path, one)
    return case


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "junit.xml"


def test_each_cell_is_a_case(path: Path) -> None:
    suite = suite_of(
        path, cell(name="a"), cell(Outcome.PANIC, name="b"), cell(None, name="c", error="QEMU died")
    )
    assert [case.name for case in suite] == ["a", "b", "c"]
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (3, 1, 1, 0)
    assert suite.time == pytest.approx(3 * 12.345)
    assert suite.name == "harness.20260102-030405-boot"


def test_case_says_which_guest_it_was(path: Path) -> None:
    assert case_of(path, cell()).classname == "FreeBSD 13.2-RELEASE"


def test_failure_has_the_kernels_words_and_the_backtrace(path: Path) -> None:
    (result,) = case_of(path, cell(Outcome.PANIC)).result
    assert isinstance(result, Failure)
    assert (result.type, result.message) == ("panic", "panic: kernel resources exhausted")
    assert result.text.splitlines()[:4] == [
        "expected booted",
        "kernel resources: 4096",
        "#0  panic at sys/kern/kern_shutdown.c:843",
        "#1  vm_map_init (inlined) at sys/vm/vm_map.c:3",
    ]


def test_unexpected_boot_is_a_failure_too(path: Path) -> None:
    (result,) = case_of(path, cell(expected=(Outcome.PANIC, Outcome.TRAP))).result
    assert isinstance(result, Failure)
    assert result.text.startswith("expected panic or trap\n")


def test_boot_without_proof_is_an_error_with_all_that_is_known(path: Path) -> None:
    case = case_of(path, unproven())
    (result,) = case.result
    assert isinstance(result, Error)
    assert result.type == "unverified"
    assert "the build id 77" in result.message
    for words in ("build id ab12", "KASAN", "qemu/tcg", "verified: no", "the last line"):
        assert words in case.system_out


def test_kernel_that_differs_is_a_failure(path: Path) -> None:
    differences = ("it sees 1 memory domains, not 2",)
    words = {"title": "it sees n domains", "message": differences[0]}
    one = cell(Outcome.DIFFERS, words=words, disagreements=differences)
    (result,) = case_of(path, one).result
    assert isinstance(result, Failure)
    assert differences[0] in result.text


def test_expected_panic_has_passed(path: Path) -> None:
    assert case_of(path, cell(Outcome.PANIC, expected=(Outcome.PANIC,))).result == []


FIRMWARE = Verdict(Outcome.FIRMWARE, "no volume to boot", Stage.FIRMWARE, kernel_entered=False)


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (cell(None, error="QEMU died\nsee below"), "QEMU died"),
        (cell(None), "no verdict"),
        (cell(None, verdict=FIRMWARE), "no volume to boot"),
        (cell(None, error="QEMU died", expected=(Outcome.PANIC,)), "QEMU died"),
    ],
)
def test_hosts_trouble_is_an_error_and_no_failure(path: Path, one: Cell, message: str) -> None:
    (result,) = case_of(path, one).result
    assert isinstance(result, Error)
    assert result.message == message


ANY = st.text(st.characters(exclude_categories=["Cs"]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(title=ANY, message=ANY, error=ANY)
def test_whatever_a_guest_prints_is_well_formed(
    tmp_path: Path, title: str, message: str, error: str
) -> None:
    hostile = {"title": title, "message": message}
    suite = suite_of(
        tmp_path / "junit.xml",
        cell(Outcome.PANIC, words=hostile, name="a"),
        cell(None, error=error, name="b", guest=title),
    )
    assert [type(case.result[0]) for case in suite] == [Failure, Error]


def test_control_characters_and_markup_stay_out_of_it(path: Path) -> None:
    hostile = {"title": "\x1b[2J\x00]]><x a='&'>", "message": "\x07\ufffe"}
    (result,) = case_of(path, cell(Outcome.PANIC, words=hostile)).result
    assert result.message == "panic: \ufffd[2J\ufffd]]><x a='&'>"
    assert b"\x1b" not in path.read_bytes()


def test_file_that_cannot_be_written_is_the_hosts_trouble() -> None:
    with pytest.raises(InfraError, match=r"cannot write /proc/junit\.xml"):
        write_junit(run(cell()), Path("/proc/junit.xml"))
