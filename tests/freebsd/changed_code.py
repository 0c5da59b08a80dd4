"""Changes that a developer might make, function by function, as patches of a tree."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.cedit.definitions import definitions
from harness.subsystems.domainset.codeforms import DOMAINSET
from harness.subsystems.uma.codeforms import UMA_CORE


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of one function: what a pattern finds in it, and what stands there afterwards."""

    function: str
    pattern: str
    replacement: str | Callable[[re.Match[str]], str]
    path: str = UMA_CORE

    def patch(self, tree: Path) -> str:
        before = (tree / self.path).read_text("utf-8", "surrogateescape")
        text = definitions(before.encode("utf-8", "surrogateescape"))[self.function].text
        function = text.decode("utf-8", "surrogateescape")
        changed, count = re.subn(self.pattern, self.replacement, function, flags=re.DOTALL)
        assert count, f"{self.function} has no {self.pattern}"
        after = before.replace(function, changed)
        sides = (before.splitlines(keepends=True), after.splitlines(keepends=True))
        return "".join(difflib.unified_diff(*sides, f"a/{self.path}", f"b/{self.path}"))


def stepped_otherwise(found: re.Match[str]) -> str:
    return f"{found['place']}++" if found["before"] else f"++{found['place']}"


WRONG = {
    "operator": Edit("keg_fetch_free_slab", r"<= reserve", "< reserve"),
    "order": Edit(
        "keg_first_slab",
        r"(if \(\(slab = [^;]*ud_part_slab[^;]*;\s*)(if \(\(slab = [^}]*\}\s*)",
        r"\2\1",
    ),
    "condition": Edit("slab_free_item", r"us_freecount \+ 1 == ", "us_freecount == "),
    "removed statement": Edit("slab_alloc_item", r"\n\s*dom->ud_free_items--;", ""),
    "wrong domain": Edit(
        "keg_fetch_slab", r"vm_wait_domain\(domain\)", "vm_wait_domain((domain + 1) % vm_ndomains)"
    ),
    "lost last look": Edit(
        "keg_fetch_slab", r"if \(\(slab = keg_fetch_free_slab[^;]*return \(slab\);", ""
    ),
    "iterator": Edit(
        "vm_domainset_iter_rr",
        r"(?P<before>\+\+)?(?P<place>\(\*di->di_iter\))(\+\+)?",
        stepped_otherwise,
        DOMAINSET,
    ),
}

HARMLESS = {
    "renamed variable": Edit("keg_fetch_slab", r"\bslab\b", "found"),
    "counter and assertion": Edit(
        "slab_alloc_item",
        r"^(.*)\tdom->ud_free_items--;",
        "static u_long slab_items_taken;\n"
        "SYSCTL_ULONG(_vm, OID_AUTO, slab_items_taken, CTLFLAG_RD,\n"
        '    &slab_items_taken, 0, "Items taken from slabs");\n\n'
        r'\1\tKASSERT(dom->ud_free_items > 0, ("%s: none free", __func__));'
        "\n"
        r"\tdom->ud_free_items--;\n\tslab_items_taken++;",
    ),
    "extracted helper": Edit(
        "keg_fetch_free_slab",
        r"^(?P<head>.*?)(?P<name>\nkeg_fetch_free_slab)(?P<rest>.*)"
        r"\(flags & M_USE_RESERVE\) != 0 \? 0 : keg->uk_reserve",
        r"static uint32_t\nkeg_held_back(uma_keg_t keg, int flags)\n{\n"
        r"\treturn ((flags & M_USE_RESERVE) != 0 ? 0 : keg->uk_reserve);\n}\n\n"
        r"\g<head>\g<name>\g<rest>keg_held_back(keg, flags)",
    ),
}
