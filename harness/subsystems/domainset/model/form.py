"""The forms that ``vm_domainset.c`` was seen in."""

from __future__ import annotations

from enum import StrEnum


class Form(StrEnum):
    """One form of the code."""

    COUNTED = "counted"
    """13.x and 14.x: counts its steps, and visits short domains again"""
    RESTART = "masked-with-restart"
    """main at 0206ec4350ca: masks; after sleeping it may search only short domains"""
    PHASED = "phased"
    """15.1: masks; each search visits each domain once"""
