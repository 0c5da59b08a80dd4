"""The reference model of FreeBSD's UMA where it hands out slabs: what a kernel should do.

It stands on nothing else of the harness but the model of iterators over domains, so that nothing a
guest says can leak into it. ``zone.py``, ``keg.py`` and ``memory.py`` are to be read beside
``sys/vm/uma_core.c``.
"""
