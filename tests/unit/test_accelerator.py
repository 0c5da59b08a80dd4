"""The accelerator is what a guest has run with."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from fake_qemu import DIES, HANGS, REFUSES, REPORTS_AND_HANGS, WORKS, FakeQemu

from harness.errors import InfraError
from harness.host.accelerator import (
    Accelerator,
    AcceleratorProof,
    boot_sector,
    exit_status,
    prove_accelerator,
    trial_argv,
)
from harness.host.clock import HostClock
from harness.host.process import HostRunner
from harness.host.workspace import Workspace


class FastClock(HostClock):
    """A clock on which a second passes in a third of one."""

    def monotonic(self) -> float:
        return super().monotonic() * 3

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds / 3)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "cache", tmp_path / "state", tmp_path / "runtime")


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "kvm"
    path.touch()
    return path


@pytest.fixture
def qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeQemu:
    return FakeQemu.installed(tmp_path / "bin", monkeypatch)


def prove(workspace: Workspace, device: Path, *, refresh: bool = False) -> AcceleratorProof:
    return prove_accelerator(workspace, HostRunner(), FastClock(), refresh=refresh, device=device)


def test_boot_sector_is_one_that_a_bios_starts() -> None:
    assert len(boot_sector()) == 512
    assert boot_sector().endswith(b"\x55\xaa")


def test_kvm_it_is_where_a_guest_runs_under_it(
    workspace: Workspace, device: Path, qemu: FakeQemu
) -> None:
    qemu.behaves()
    proof = prove(workspace, device)
    assert (proof.accelerator, proof.reason) == (Accelerator.KVM, "a guest ran under KVM")
    assert proof.qemu == "7.2.22"


@pytest.mark.parametrize(
    ("kvm", "reason"),
    [
        (HANGS, "did not end within"),
        (REPORTS_AND_HANGS, "stopped under KVM (KVM internal error. Suberror: 1)"),
        (REFUSES, "ended with exit status 1 under KVM (failed to initialize kvm: Invalid arg"),
        (DIES, "ended with exit status -11 under KVM"),
        ("exit 0", "ended with exit status 0 under KVM"),
    ],
    ids=["hangs", "reports and hangs", "refuses", "dies", "says nothing"],
)
def test_kvm_that_runs_no_guest_is_not_taken_and_the_reason_is_kept(
    workspace: Workspace, device: Path, qemu: FakeQemu, kvm: str, reason: str
) -> None:
    qemu.behaves(kvm=kvm)
    proof = prove(workspace, device)
    assert proof.accelerator is Accelerator.TCG
    assert reason in proof.reason
    qemu.guests()
    assert prove(workspace, device) == proof
    assert qemu.guests() == []


def test_without_the_device_kvm_is_not_tried(workspace: Workspace, qemu: FakeQemu) -> None:
    qemu.behaves()
    proof = prove(workspace, Path("/nonexistent/kvm"))
    assert proof.accelerator is Accelerator.TCG
    assert proof.reason == "there is no /nonexistent/kvm"
    assert qemu.guests() == ["tcg"]


def test_no_accelerator_at_all_is_the_hosts_fault(
    workspace: Workspace, device: Path, qemu: FakeQemu
) -> None:
    qemu.behaves(kvm=REFUSES, tcg=DIES)
    with pytest.raises(InfraError, match=r"QEMU 7\.2\.22 runs no guest on this host") as caught:
        prove(workspace, device)
    assert "kvm: the test guest ended with exit status 1" in caught.value.detail
    assert "tcg: the test guest ended with exit status -11" in caught.value.detail


def test_failure_of_both_is_not_kept(workspace: Workspace, device: Path, qemu: FakeQemu) -> None:
    qemu.behaves(kvm=REFUSES, tcg=DIES)
    with pytest.raises(InfraError):
        prove(workspace, device)
    qemu.behaves(kvm=REFUSES)
    assert prove(workspace, device).accelerator is Accelerator.TCG


def test_missing_qemu_names_its_package(
    workspace: Workspace, device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InfraError, match="apt-get install qemu-system-x86"):
        prove(workspace, device)


def test_guests_run_once(workspace: Workspace, device: Path, qemu: FakeQemu) -> None:
    qemu.behaves()
    first = prove(workspace, device)
    assert qemu.guests() == ["tcg", "kvm"]
    assert prove(workspace, device) == first
    assert qemu.guests() == []


def test_another_qemu_is_proven_anew(workspace: Workspace, device: Path, qemu: FakeQemu) -> None:
    qemu.behaves(kvm=REFUSES)
    prove(workspace, device)
    qemu.behaves(version="10.0.0")
    assert prove(workspace, device).accelerator is Accelerator.KVM


def test_another_device_is_proven_anew(workspace: Workspace, device: Path, qemu: FakeQemu) -> None:
    qemu.behaves()
    prove(workspace, device)
    device.unlink()
    assert prove(workspace, device).accelerator is Accelerator.TCG


def test_refreshing_asks_again(workspace: Workspace, device: Path, qemu: FakeQemu) -> None:
    qemu.behaves(kvm=REFUSES)
    prove(workspace, device)
    qemu.behaves(kvm=WORKS)
    assert prove(workspace, device).accelerator is Accelerator.TCG
    assert prove(workspace, device, refresh=True).accelerator is Accelerator.KVM
    assert prove(workspace, device).accelerator is Accelerator.KVM


@pytest.mark.parametrize("kept", ["", "[]", '{"basis": 1}', "\0"])
def test_answer_that_cannot_be_read_is_proven_anew(
    workspace: Workspace, device: Path, qemu: FakeQemu, kept: str
) -> None:
    qemu.behaves()
    prove(workspace, device)
    qemu.guests()
    (workspace.cache / "accelerator.json").write_text(kept)
    assert prove(workspace, device).accelerator is Accelerator.KVM
    assert qemu.guests() == ["tcg", "kvm"]


@pytest.mark.guest
def test_real_guest_tells_that_it_has_run(workspace: Workspace, tmp_path: Path) -> None:
    proof = prove_accelerator(workspace, HostRunner(), HostClock())
    assert isinstance(proof.proven_at, datetime)
    for value in (1, 0x3F):
        disk = tmp_path / "a,b.img"
        disk.write_bytes(boot_sector(value))
        argv = trial_argv(proof.accelerator, disk)
        assert HostRunner().run(argv, deadline=60, check=False).returncode == exit_status(value)
