"""The reference model of FreeBSD's UMA where it hands out slabs: what a kernel should do.

It stands on nothing else of the harness but sets of domains, so that nothing a guest says can leak
into it.
"""
