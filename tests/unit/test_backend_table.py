"""The table of backends says what each takes, and its modules offer what it names."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from harness.config import BootSettings, QemuSettings, Settings, load_settings
from harness.errors import UsageError
from harness.guest.backends import (
    BACKENDS,
    OFFERED,
    BackendHost,
    BackendRow,
    backend_options,
    backend_values,
    find_backend,
)
from harness.host.clock import HostClock
from harness.host.process import HostRunner
from harness.host.workspace import Workspace

EACH = pytest.mark.parametrize("row", BACKENDS, ids=[row.name for row in BACKENDS])


@EACH
def test_the_module_of_a_row_makes_the_backend_of_that_name(
    row: BackendRow, tmp_path: Path
) -> None:
    if not row.offered:
        return
    if row.has_machines:
        assert row.type.read_machine is not None
        return
    workspace = Workspace(tmp_path / "cache", tmp_path / "state", tmp_path / "run")
    backend = row.type.make(BackendHost(HostRunner(), HostClock(), workspace))
    assert backend.name == row.name
    assert list(inspect.signature(backend.start).parameters) == ["spec", "keep", "inspect"]


def test_names_and_flags_are_told_apart() -> None:
    names = [row.name for row in BACKENDS]
    flags = [option.name for option in backend_options()]
    assert sorted(set(names)) == sorted(names)
    assert sorted(set(flags)) == sorted(flags)


def test_a_backend_that_there_is_not_names_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="no backend 'bhyve'") as caught:
        find_backend("bhyve")
    assert all(name in caught.value.remedy for name in OFFERED)


def test_a_flag_beats_a_variable_and_that_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_QEMU_USER", raising=False)
    settings = Settings(boot=BootSettings(libvirt_uri="set:///"), qemu=QemuSettings(user="set"))
    qemu, libvirt = find_backend("qemu"), find_backend("libvirt")
    assert backend_values(qemu, {}, Settings()) == {}
    assert backend_values(qemu, {}, settings) == {"user": "set"}
    assert backend_values(libvirt, {"libvirt_uri": None}, settings) == {"libvirt_uri": "set:///"}
    assert backend_values(libvirt, {"libvirt_uri": "x:///"}, settings) == {"libvirt_uri": "x:///"}
    monkeypatch.setenv("HARNESS_QEMU_USER", "variable")
    assert backend_values(qemu, {}, settings) == {"user": "variable"}


@pytest.mark.parametrize("name", ["fake", "", "qemu "])
def test_settings_name_only_what_is_offered(name: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'[boot]\nbackend = "{name}"\n')
    with pytest.raises(UsageError, match=r"boot\.backend: it must be "):
        load_settings(file)
