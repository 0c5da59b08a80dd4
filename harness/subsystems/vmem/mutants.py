"""The mutants of ``sys/kern/subr_vmem.c``; the kernel boots with each of them."""

from __future__ import annotations

from typing import Final

from harness.cedit.edits import Decide, Replace
from harness.mutation.mutant import InFunction
from harness.subsystems.vmem.codeforms import VMEM

_fit = InFunction(VMEM, "vmem_fit")
_add = InFunction(VMEM, "vmem_add1")
_nextfit = InFunction(VMEM, "vmem_xalloc_nextfit")
_import = InFunction(VMEM, "vmem_import")
_release = InFunction(VMEM, "vmem_try_release")
_toalloc = InFunction(VMEM, "bt_freehead_toalloc")

VMEM_MUTANTS: Final = (
    _fit(
        "one-too-early",
        "takes a segment that ends one quantum short of the request for one that fits",
        Replace("end - start >= size - 1", "end - start >= size"),
    ),
    _add(
        "spans-apart",
        "does not coalesce a span with the one that it follows",
        Decide("vm->vm_releasefn == NULL", holds=False),
    ),
    _toalloc(
        "first-fit-too-small",
        "with M_FIRSTFIT, begins with a list whose segments may be too small",
        Decide("strat == M_FIRSTFIT && ORDER2SIZE(idx) != qsize", holds=False),
    ),
    _nextfit(
        "coalesce-nothing",
        "does not coalesce the free segments on both sides of the cursor",
        Replace("prev->bt_start + prev->bt_size == next->bt_start", "false"),
    ),
    _import(
        "import-unaligned",
        "does not import more where an alignment is asked for",
        Decide("align != vm->vm_quantum_mask + 1", holds=False),
    ),
    _release(
        "keep-spans",
        "does not give free spans back to the arena that they were imported from",
        Decide("vm->vm_releasefn == NULL", holds=True),
    ),
)
