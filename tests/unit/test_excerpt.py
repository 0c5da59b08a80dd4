"""A few lines of a console, fit for any report."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.console.excerpt import excerpt


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "console.log"


def test_lines_around_a_place(log: Path) -> None:
    lines = [f"line {number}\r\n" for number in range(1000)]
    log.write_text("".join(lines), newline="")
    offset = len("".join(lines[:500])) + 3
    found = excerpt(log, offset)
    assert found[0] == "line 494"
    assert "line 500" in found
    assert found[-1] == "line 517"


def test_last_lines_without_a_place(log: Path) -> None:
    log.write_text("".join(f"line {number}\n" for number in range(1000)) + "cut")
    found = excerpt(log, None)
    assert found[-2:] == ("line 999", "cut")
    assert len(found) < 30


def test_long_lines_are_cut_and_bytes_escaped(log: Path) -> None:
    log.write_bytes(b"\x1b[2J\xff" + b"x" * 5000 + b"\n")
    (line,) = excerpt(log, 0)
    assert line.startswith("\\x1b[2J\\xffxxx")
    assert line.endswith("x...")


def test_missing_log_has_no_lines(tmp_path: Path) -> None:
    assert excerpt(tmp_path / "none", 7) == ()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=2000), st.none() | st.integers(0, 3000))
def test_any_console_gives_short_printable_lines(
    log: Path, data: bytes, offset: int | None
) -> None:
    log.write_bytes(data)
    for line in excerpt(log, offset):
        assert line.isascii()
        assert line.isprintable()
        assert len(line) <= 4 * 200 + 3
