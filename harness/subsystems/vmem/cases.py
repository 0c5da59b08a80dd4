"""Named cases of arenas: valid calls that an unchanged kernel does not survive, or refuses."""

from __future__ import annotations

from typing import Final

from harness.cases import NamedCase, Shown
from harness.outcome import Outcome


def _case(name: str, story: str, functions: str, shown: Shown, trace: str) -> NamedCase:
    """A case of both releases, which have the same code; ``functions`` are words."""
    return NamedCase(
        name=name,
        story=story,
        introduced="",
        fixed="",
        functions=tuple(functions.split()),
        command=("check", "--numa", "2", "--kasan", "--case", name),
        shown=tuple(
            Shown(release, shown.outcome, shown.title, agrees=shown.agrees)
            for release in ("13.", "15.")
        ),
        trace=trace,
    )


VMEM_CASES: Final = (
    _case(
        "nextfit-unrounded",
        "vmem_xalloc() rounds a size up to the quantum, but gives vmem_xalloc_nextfit() the one "
        "that it was called with: what is left of a segment is no whole number of quanta",
        "vmem_xalloc vmem_xalloc_nextfit",
        Shown("", Outcome.PANIC, "in arena_alloc", agrees=False),
        """\
arena quantum=16 base=16 size=160
alloc slot=0 size=24 fit=next
""",
    ),
    _case(
        "nextfit-forever",
        "while the cursor is the first tag, as in a new arena, an M_NEXTFIT request that nothing "
        "fits steps over it and searches for ever, with the arena's lock held",
        "vmem_xalloc_nextfit",
        Shown("", Outcome.HANG, "silent during a check", agrees=False),
        """\
arena quantum=16 base=16 size=160
alloc slot=0 size=176 fit=next
""",
    ),
    _case(
        "nextfit-misfiled",
        "free segments that an M_NEXTFIT request joins stay in the list of the first one's size: "
        "other requests do not find them, though they would fit (the model does the same)",
        "vmem_xalloc_nextfit",
        Shown("", Outcome.BOOTED, agrees=True),
        """\
arena quantum=16 base=16 size=128
alloc slot=0 size=16 fit=next
alloc slot=1 size=16 fit=next
free slot=0
free slot=1
alloc slot=0 size=256 fit=next
alloc slot=0 size=128 fit=best
""",
    ),
    _case(
        "nextfit-release",
        "vmem_try_release() unlocks the arena, as its other caller returns at once; an M_NEXTFIT "
        "request that has joined a whole imported span goes on, and unlocks it again",
        "vmem_xalloc_nextfit vmem_try_release bt_freetrim",
        Shown("", Outcome.PANIC, "mutex harness not owned", agrees=False),
        """\
arena quantum=16 base=16 size=160 imports=64 releases
alloc slot=0 size=16 fit=best
alloc slot=1 size=16 fit=next
free slot=0
free slot=1
alloc slot=2 size=80 fit=next
""",
    ),
    _case(
        "import-twice",
        "a request whose first imported span does not fit, as it crosses the boundary, imports "
        "another without new boundary tags, of which too few are left",
        "vmem_xalloc vmem_try_fetch vmem_import bt_save",
        Shown("", Outcome.PANIC, "bt_save: insufficient free tags", agrees=False),
        """\
arena quantum=16 base=48 size=256 imports=16
alloc slot=0 size=32 fit=best nocross=32
""",
    ),
)
"""Bugs of an unchanged kernel; found on the host, and repeated by guests."""
