"""Arenas of ``vmem(9)``: which addresses they hand out, and what becomes of the rest."""
