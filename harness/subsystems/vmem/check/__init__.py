"""Arenas of a guest or a host program, compared with the model."""
