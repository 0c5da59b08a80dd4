"""Boots of one good and one bad kernel on a busy host: how many verdicts are wrong.

Half of the boots go through the loader, half start the kernel directly. What was counted, and the
load at which, is printed; ``-s`` shows it. A report with frames is the kernel's own, whatever it
is of: a busy host shows races that an idle one does not. HARNESS_BOOTS is how often each kernel is
booted.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness_command import harness

pytestmark = [pytest.mark.freebsd, pytest.mark.long, pytest.mark.timeout(7200)]

BOOTS = int(os.environ.get("HARNESS_BOOTS", "60"))
BUSY = 4
REPORT = "with frames"
EXHAUSTED = "vm_map_entry_create: kernel resources exhausted"


@pytest.fixture
def busy_host() -> Iterator[None]:
    """As many processes that compute and do nothing else."""
    idlers = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
    try:
        yield
    finally:
        for idler in idlers:
            idler.kill()
            idler.wait()


def boots(tree: Path, out: Path, method: str, *words: str) -> Counter[str]:
    answer = harness(
        "boot", "--source", tree, "--numa", "2", "--kasan", "--boot", method,
        "--repeat", str(BOOTS // 2), *words, out=out,
    )  # fmt: skip
    return Counter(_in_words(cell["verdict"]) for cell in answer.document["cells"])


def _in_words(verdict: dict[str, Any] | None) -> str:
    if verdict is None:
        return "host"
    own = f"{REPORT}: " if verdict["frames"] else ""
    return f"{own}{verdict['outcome']}: {verdict['title']}"


@pytest.mark.usefixtures("busy_host")
@pytest.mark.parametrize(
    ("words", "right"),
    [
        ((), "booted: booted to init"),
        (("--mutant", "drop-commit"), f"{REPORT}: panic: {EXHAUSTED}"),
    ],
    ids=["with the commit", "without it"],
)
def test_no_verdict_is_wrong(
    freebsd_tree: Path, tmp_path: Path, words: tuple[str, ...], right: str
) -> None:
    seen = sum((boots(freebsd_tree, tmp_path, how, *words) for how in ("loader", "direct")),
               Counter[str]())  # fmt: skip
    print(f"load {os.getloadavg()[0]:.1f}: {dict(seen)}")  # noqa: T201
    wrong = {told for told in seen if told != right and not told.startswith(REPORT)}
    assert not wrong
    assert seen[right] > BOOTS // 2
