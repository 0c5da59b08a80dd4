"""The forms that ``vm_domainset.c`` was seen in."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.subsystems.domainset.model.counted import CountedIter
from harness.subsystems.domainset.model.phased import PhasedIter
from harness.subsystems.domainset.model.restart import RestartIter

if TYPE_CHECKING:
    from harness.subsystems.domainset.model.iterator import DomainsetIter


class Form(StrEnum):
    """One form of the code."""

    COUNTED = "counted"
    """13.x and 14.x: counts its steps, and visits short domains again"""
    RESTART = "masked-with-restart"
    """main at 0206ec4350ca: masks; after sleeping it may search only short domains"""
    PHASED = "phased"
    """15.1: masks; each search visits each domain once"""


ITERATORS: Mapping[Form, type[DomainsetIter]] = MappingProxyType(
    {Form.COUNTED: CountedIter, Form.RESTART: RestartIter, Form.PHASED: PhasedIter}
)
