"""Sanitizers of host programs: what is compiled in, and what their reports say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.check.protocol import Nonsense
from harness.errors import UsageError
from harness.host.process import HostRunner
from harness.kernel.toolchain import newest_llvm
from harness.onhost.ending import EndingKind, Symbols, read_ending
from harness.onhost.instrumentation import PLAIN, Instrumentation
from harness.onhost.intended import IntendedRaces
from harness.onhost.places import Place, Places

KASAN = Instrumentation(sanitizers=frozenset({"kasan"}))
KCSAN = Instrumentation(interleaved=True, sanitizers=frozenset({"kcsan"}))

STARTS = (0x100, 0x200, 0x300, 0x400)
NAMES = ("zone_put_bucket", "zone_fetch_bucket", "__asan_load8_noabort", "items_alloc")
PLACES = {
    0x14F: Place("sys/vm/uma_core.c", 812, "\tzdom->uzd_nitems += n;"),
    0x24F: Place("sys/vm/uma_core.c", 750, "if (zdom->uzd_nitems == 0)"),
    0x44F: Place("harness/subsystems/zones/c/zones_items.c", 90),
}
SYMBOLS = Symbols(STARTS, NAMES, PLACES.get)


def test_without_sanitizers_nothing_is_added() -> None:
    assert PLAIN.words == PLAIN.of_tree == PLAIN.of_module == PLAIN.of_all == ()
    assert not PLAIN.options


def test_kasan_is_an_option_of_the_configuration_and_in_the_module_too() -> None:
    assert KASAN.options == "options KASAN\n"
    assert "-fsanitize=kernel-address" in KASAN.of_tree
    assert "-fsanitize=kernel-address" in KASAN.of_module
    assert "-fsanitize=thread" not in KASAN.of_tree


def test_overridden_variables_have_no_redzones() -> None:
    assert "-asan-globals=true" in KASAN.of_tree
    assert "-asan-globals=true" not in KASAN.of_weak
    assert len(KASAN.of_tree) == len(KASAN.of_weak)


def test_races_are_looked_for_in_the_tree_alone() -> None:
    assert "-fsanitize=thread" in KCSAN.of_tree
    assert KCSAN.of_module == ()
    assert KCSAN.keeps_texts


@pytest.mark.parametrize(
    ("interleaved", "names", "word"),
    [(False, {"kmsan"}, "KMSAN"), (True, {"kasan"}, "--kasan")],
)
def test_what_host_programs_do_not_have_is_refused(
    interleaved: bool, names: set[str], word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        Instrumentation(interleaved, sanitizers=frozenset(names))


def test_an_invalid_access_is_told_with_the_line_of_the_tree() -> None:
    line = "!end kasan frames=150,150,150 8 bytes are read, of a free item"
    ending = read_ending(line.replace("150,", "350,", 1), SYMBOLS)
    assert ending.kind is EndingKind.KASAN
    assert ending.is_finding
    assert ending.text.endswith("of a free item: zone_put_bucket, sys/vm/uma_core.c:812")
    assert ending.frames == ("zone_put_bucket", "zone_put_bucket")
    assert "812" not in ending.title


def test_an_invalid_access_of_the_harness_is_a_limit_of_the_program() -> None:
    ending = read_ending(
        "!end kasan frames=450 8 bytes are read, of a redzone of the stack", SYMBOLS
    )
    assert ending.kind is EndingKind.SHIM
    assert not ending.is_finding


def test_an_item_that_is_handed_out_though_it_is_not_valid_is_a_finding() -> None:
    ending = read_ending("!end kasan frames=450 8 bytes are read, of a free item", SYMBOLS)
    assert ending.kind is EndingKind.KASAN


def test_a_race_is_the_same_whichever_access_comes_first() -> None:
    one = read_ending("!end kcsan frames=100 read=250 write=150", SYMBOLS)
    other = read_ending("!end kcsan frames=200 write=150 read=250", SYMBOLS)
    assert one.text == other.text
    assert one.text.startswith("nothing orders: read in zone_fetch_bucket, sys/vm/uma_core.c:750 (")
    assert [access.function for access in one.race] == ["zone_fetch_bucket", "zone_put_bucket"]
    assert one.is_finding


def test_a_race_that_is_none_is_no_answer() -> None:
    with pytest.raises(Nonsense):
        read_ending("!end kcsan frames=100 read=250", SYMBOLS)


def test_a_race_with_an_intended_access_is_told_apart(tmp_path: Path) -> None:
    ending = read_ending("!end kcsan frames=100 read=250 write=150", SYMBOLS)
    read, write = ending.race
    assert IntendedRaces().of_ending(ending) == ()
    listed = tmp_path / "races.json"
    entry = {"function": read.function, "digest": read.digest, "why": "a hint"}
    listed.write_text(json.dumps([entry]))
    assert IntendedRaces.of([listed]).of_ending(ending) == (read,)
    assert write not in IntendedRaces.of([listed]).of_ending(ending)


def test_a_line_is_known_again_elsewhere_but_not_in_another_function() -> None:
    here = Place("a.c", 3, "\tx = y;")
    assert here.digest_in("f") == Place("b.c", 9, "  x =  y;").digest_in("f")
    assert here.digest_in("f") != here.digest_in("g")
    assert here.digest_in("f") != Place("a.c", 3, "\tx = z;").digest_in("f")
    assert not Place("a.c", 3).digest_in("f")


@pytest.mark.parametrize("version", [4, 5])
def test_places_are_those_of_the_line_tables(tmp_path: Path, version: int) -> None:
    source, program = tmp_path / "two.c", tmp_path / "two"
    source.write_text("int\none(void)\n{\n\treturn (1);\n}\nint main(void)\n{ return one(); }\n")
    flags = [f"-gdwarf-{version}", f"-ffile-prefix-map={tmp_path}/=", "-ffunction-sections"]
    linker = f"--ld-path={newest_llvm() / 'ld.lld'}"
    HostRunner().run(
        [newest_llvm() / "clang", "-no-pie", linker, *flags, "two.c", "-o", program], cwd=tmp_path
    )
    symbols = {symbol.name: symbol.value for symbol in _symbols(program)}
    place = Places(program).of(symbols["one"])
    assert place is not None
    assert (place.file.rpartition("/")[2], place.text) == ("two.c", "{")
    assert Places(program).of(0) is None


def _symbols(program: Path) -> list:  # type: ignore[type-arg]
    from harness.onhost.symboltable import read_symbols

    return read_symbols(program)


def test_a_program_without_line_tables_has_no_places(tmp_path: Path) -> None:
    program = tmp_path / "none"
    program.write_bytes(b"no program")
    assert Places(program).of(100) is None
