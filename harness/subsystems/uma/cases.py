"""Named cases of UMA."""

from __future__ import annotations

from typing import Final

from harness.cases import NamedCase, Shown
from harness.outcome import Outcome

UMA_CASES: Final = (
    NamedCase(
        name="reserve-domains",
        story="an M_USE_RESERVE allocation searched only one domain for a free item, so that a "
        "kernel with a sanitizer panicked at boot on two or more nodes",
        introduced="",
        fixed="the commit that drop-commit removes",
        functions=("keg_fetch_slab",),
        command=("compare", "--mutant", "drop-commit", "--numa", "2,4", "--kasan"),
        shown=(
            Shown("13.", Outcome.PANIC, "kernel resources exhausted", side="before"),
            Shown("13.", Outcome.BOOTED, side="after"),
        ),
    ),
)
