"""The reference model of the slab layer of FreeBSD's UMA.

It imports nothing of the harness but the model of iterators over domains, so no guest's answer can
influence it. Read ``zone.py``, ``keg.py`` and ``memory.py`` beside ``sys/vm/uma_core.c``.
"""
