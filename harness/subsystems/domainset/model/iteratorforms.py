"""The iterators of the model, by the form of ``vm_domainset.c``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.subsystems.domainset.model.counted import CountedIter
from harness.subsystems.domainset.model.form import Form
from harness.subsystems.domainset.model.phased import PhasedIter
from harness.subsystems.domainset.model.restart import RestartIter

if TYPE_CHECKING:
    from harness.subsystems.domainset.model.iterator import DomainsetIter

ITERATORS: Mapping[Form, type[DomainsetIter]] = MappingProxyType(
    {Form.COUNTED: CountedIter, Form.RESTART: RestartIter, Form.PHASED: PhasedIter}
)
