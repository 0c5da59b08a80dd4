"""Each reader on its seeds, and on inputs that one of them has failed on before."""

from __future__ import annotations

from pathlib import Path

import pytest
from targets import Target, targets

CORPUS = Path(__file__).parent / "corpus"
TARGETS = targets()

EACH_TARGET = pytest.mark.parametrize("name", TARGETS)

#: Beginnings of every kind of document, nested far beyond the interpreter's limit.
DEEP = [
    first + text * 20_000
    for first, text in ((b"", b"["), (b"", b'{"a":'), (b"a=", b"["), (b"a=", b"{a="), (b"[", b"a."))
]


def inputs(name: str, target: Target) -> list[bytes]:
    kept = sorted((CORPUS / name).glob("*"))
    return [*target.seeds(), *(path.read_bytes() for path in kept)]


@EACH_TARGET
def test_what_was_found_stays_mended(name: str) -> None:
    target = TARGETS[name]
    for data in inputs(name, target):
        target(data)


@EACH_TARGET
def test_cut_and_damaged_inputs_give_a_value_or_the_documented_error(name: str) -> None:
    target = TARGETS[name]
    for data in inputs(name, target)[:20]:
        for cut in range(0, len(data), len(data) // 8 + 1):
            target(data[:cut])
            target(data[:cut] + bytes([data[cut] ^ 0x80]) + data[cut + 1 :])


@EACH_TARGET
def test_deep_nesting_is_refused_like_anything_else(name: str) -> None:
    for data in DEEP:
        TARGETS[name](data)
        TARGETS[name](b"\0\0\0" + data)


def test_every_kept_input_belongs_to_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)
