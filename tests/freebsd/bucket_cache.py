"""Two threads at the cache of buckets of one domain, and changes of the function that guards it."""

from __future__ import annotations

import re

from changed_code import Edit

_ALLOCATED = "".join(f"alloc zone1 item={item} cpu=0 M_NOWAIT\n" for item in range(1, 17))
_FREED = "".join(f"thread1: free item={item} cpu=0\n" for item in range(1, 12))

PUT = f"""\
zones domains=2 cpus=0,1
zone1 size=4000
{_ALLOCATED}{_FREED}thread2: alloc zone1 item=20 cpu=0 domain=0 M_NOWAIT
"""
"""A trace in which one thread fills the cache that the other one takes from."""

SECTION = r"zdom = zone_domain_lock\(zone, domain\);(.*)"
"""What ``zone_put_bucket()`` does with the cache's lock."""


def without_lock(found: re.Match[str]) -> str:
    """Do the same without the lock."""
    return "zdom = ZDOM_GET(zone, domain);" + found[1].replace("ZDOM_UNLOCK(zdom);", "")


MISSING_LOCK = Edit("zone_put_bucket", SECTION, without_lock)
