"""Symbols of object files: as llvm-nm lists them, and a damaged file is refused."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import InfraError
from harness.host.process import HostRunner
from harness.kernel.toolchain import newest_llvm
from harness.onhost.symboltable import read_symbols, undefined_in

ONE = """
extern int missing_data, other_data;
extern void missing_function(void);
int *used(void) { missing_function(); return &missing_data + other_data; }
static int hidden(void) { return 3; }
int (*pointer)(void) = hidden;
"""
OTHER = "int other_data = 3; static int missing_data = 4; int *own(void) { return &missing_data; }"


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    work, found = tmp_path_factory.mktemp("objects"), []
    for name, text in (("one", ONE), ("other", OTHER)):
        source, target = work / f"{name}.c", work / f"{name}.o"
        source.write_text(text)
        HostRunner().run([newest_llvm() / "clang", "-c", source, "-o", target])
        found.append(target)
    return found


def test_symbols_are_those_that_nm_lists(objects: list[Path]) -> None:
    for path in objects:
        listing = HostRunner().run([newest_llvm() / "llvm-nm", path]).text
        listed = {words[-1]: words[-2] for line in listing.splitlines() if (words := line.split())}
        found = {each.name: each for each in read_symbols(path) if not each.name.endswith(".c")}
        assert found.keys() == listed.keys()
        for name, letter in listed.items():
            symbol = found[name]
            assert symbol.is_defined == (letter != "U")
            assert symbol.is_code == (letter in "tT")
            assert symbol.is_global == letter.isupper()


def test_what_one_object_uses_and_another_defines_is_not_undefined(objects: list[Path]) -> None:
    """A symbol that only the other's own file sees does not count."""
    assert undefined_in(objects[:1]) == {"missing_data", "missing_function", "other_data"}
    assert undefined_in(objects) == {"missing_data", "missing_function"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_object_is_read_or_refused(
    objects: list[Path], tmp_path: Path, data: st.DataObject
) -> None:
    text = bytearray(objects[0].read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.o"
    path.write_bytes(text[: data.draw(st.integers(0, len(text)))])
    with contextlib.suppress(InfraError):
        assert all(symbol.name for symbol in read_symbols(path))
