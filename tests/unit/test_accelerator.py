"""The accelerator is chosen by what a guest was measured to do under it."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fake_qemu import DIES, HANGS, REFUSES, REPORTS_AND_HANGS, WORKS, FakeQemu

from harness.errors import InfraError
from harness.guest.accelerator_choice import (
    BUDGET_SECONDS,
    MOST_SLOWNESS,
    USUAL_SLOWNESS,
    AcceleratorChoice,
    choose_accelerator,
    forget_accelerator,
    known_accelerator,
    measure,
    slowness,
)
from harness.guest.accelerator_probe import Patience, ProbeTrial, run_probe, wrong_result
from harness.host.accelerator import Accelerator, acceleration_basis
from harness.host.clock import HostClock, ManualClock
from harness.host.process import HostRunner
from harness.host.processid import find_processes
from harness.host.workspace import Workspace
from harness.image.assemble import accelerator_probe

TCG, KVM = Accelerator.TCG, Accelerator.KVM


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "kvm"
    path.touch()
    return path


@pytest.fixture
def qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeQemu:
    return FakeQemu.installed(tmp_path / "bin", monkeypatch)


@pytest.fixture(scope="module")
def probe_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``images`` of a cache with the probe."""
    parent = tmp_path_factory.mktemp("probe")
    made = Workspace(parent / "cache", parent / "state", parent / "runtime")
    return accelerator_probe(made, HostRunner()).parents[1]


@pytest.fixture
def workspace(workspace: Workspace, probe_images: Path) -> Workspace:
    """A workspace with the probe, which is not built for each test."""
    shutil.copytree(probe_images, workspace.cache / "images")
    return workspace


class SlowClock(HostClock):
    """A clock on which a second takes twenty, so that no limit depends on the host's load."""

    def monotonic(self) -> float:
        return super().monotonic() / 20


def choose(workspace: Workspace, device: Path, *, refresh: bool = False) -> AcceleratorChoice:
    return choose_accelerator(workspace, HostRunner(), SlowClock(), refresh=refresh, device=device)


# The decision


def right(seconds: float, start: float = 0.1) -> ProbeTrial:
    return ProbeTrial("", seconds, start)


def measured(
    tcg: Sequence[ProbeTrial],
    kvm: Sequence[ProbeTrial] = (),
    refusal: str = "",
    overhead: float = 0.1,
) -> tuple[AcceleratorChoice, list[Accelerator]]:
    """What is made of these trials, and which were run; each takes its time off the clock."""
    clock = ManualClock()
    left: dict[Accelerator, Iterator[ProbeTrial]] = {TCG: iter(tcg), KVM: iter(kvm)}
    ran = []

    def run(accelerator: Accelerator, patience: Patience) -> ProbeTrial:
        ran.append(accelerator)
        trial = next(left[accelerator])
        wanted = trial.seconds if trial.seconds is not None else patience.run
        clock.sleep(overhead + min(wanted, patience.run))
        return trial

    return measure(run, clock, refusal, "7.2.22"), ran


GOOD = [right(0.4)] * 3
FAST = [right(0.1)] * 3
CUT_OFF = ProbeTrial("the probe was cut off after 0.4 s at rdrand", None, 0.1, overdue=True)


@pytest.mark.parametrize(
    ("tcg", "kvm", "chosen", "reason", "trials"),
    [
        (GOOD, FAST, KVM, "every result is right", 6),
        (GOOD, [right(0.2)] * 3, KVM, "at least 2 times as fast as TCG", 6),
        (GOOD, [right(0.21)], TCG, "KVM took 0.21 s, TCG 0.40 s", 2),
        (GOOD, [right(0.1), right(0.1), right(0.3)], TCG, "KVM took 0.30 s", 6),
        (GOOD, [right(0.1), ProbeTrial("wrong rdrand")], TCG, "wrong rdrand", 4),
        (GOOD, [CUT_OFF], TCG, "cut off after 0.4 s at rdrand", 2),
        ([right(0.4), right(0.1)], FAST, TCG, "KVM took 0.10 s, TCG 0.10 s", 4),
    ],
    ids=["fast", "just fast", "slow", "slow once", "wrong once", "cut off", "TCG as fast once"],
)  # fmt: skip
def test_kvm_is_chosen_only_if_it_is_right_and_twice_as_fast_in_each_of_three_pairs(
    tcg: list[ProbeTrial], kvm: list[ProbeTrial], chosen: Accelerator, reason: str, trials: int
) -> None:
    choice, ran = measured(tcg, kvm)
    assert choice.accelerator is chosen
    assert reason in choice.reason
    assert choice.final
    assert ran == ([TCG, KVM] * 3)[:trials]


def test_kvm_gets_the_time_that_tcg_took() -> None:
    given = []

    def run(accelerator: Accelerator, patience: Patience) -> ProbeTrial:
        given.append(patience)
        return right(0.4) if accelerator is TCG else CUT_OFF

    measure(run, ManualClock(), "", "7.2.22")
    assert given[1].run == pytest.approx(0.4)


@pytest.mark.parametrize("overhead", [1.5, 3.0, 20.0])
def test_a_host_too_busy_for_the_measurement_gets_tcg_and_measures_again_next_time(
    overhead: float,
) -> None:
    choice, _ = measured(GOOD, FAST, overhead=overhead)
    assert (choice.accelerator, choice.final) == (TCG, False)
    assert f"within {BUDGET_SECONDS:g} s" in choice.reason


def test_tcg_that_is_overdue_is_taken_without_a_measurement() -> None:
    choice, ran = measured([ProbeTrial("the probe was cut off", overdue=True)])
    assert (choice.accelerator, choice.final, ran) == (TCG, False, [TCG])


def test_kvm_that_may_not_be_used_is_not_tried() -> None:
    choice, ran = measured(GOOD, refusal="there is no /dev/kvm")
    assert (choice.accelerator, choice.reason, ran) == (TCG, "there is no /dev/kvm", [TCG])


def test_kvm_alone_is_taken_where_tcg_fails() -> None:
    choice, _ = measured([ProbeTrial("QEMU ended with exit status 1")], FAST)
    assert choice.accelerator is KVM
    assert "under TCG, QEMU ended with exit status 1" in choice.reason


def test_the_choice_prints_both_times_and_the_reason() -> None:
    choice, _ = measured(GOOD, [right(0.3)])
    assert str(choice).startswith("tcg: KVM took 0.30 s, TCG 0.40 s")
    assert "(TCG 0.40 s, KVM 0.30 s; measured 2026-01-01" in str(choice)


@pytest.mark.parametrize(
    ("letters", "wrong"),
    [
        ("mprcsfito", ""),
        ("mp---fito", ""),
        ("", ""),
        ("mpr", ""),
        ("mpR", "wrong result of rdrand"),
        ("mprcsfI", "wrong result of the second CPU and IPIs"),
        ("mpX", "exception at rdrand"),
        ("-", "wrong result of arithmetic in long mode"),
        ("mprcsfi-", "wrong result of the APIC timer"),
        ("mprcsfitom", "more results than checks"),
    ],
)
def test_each_letter_of_the_guest_is_looked_at(letters: str, wrong: str) -> None:
    assert wrong in wrong_result(letters)
    assert bool(wrong) == bool(wrong_result(letters))


# Limits


def with_times(tcg: float | None, kvm: float | None) -> AcceleratorChoice:
    return AcceleratorChoice(TCG, "", tcg, kvm, "7.2.22", ManualClock().now())


@pytest.mark.parametrize(
    ("accelerator", "choice", "factor"),
    [
        (TCG, None, USUAL_SLOWNESS),
        (TCG, with_times(0.01, None), USUAL_SLOWNESS),
        (TCG, with_times(0.6, None), 10.0),
        (TCG, with_times(10.0, None), MOST_SLOWNESS),
        (KVM, None, MOST_SLOWNESS),
        (KVM, with_times(0.2, None), MOST_SLOWNESS),
        (KVM, with_times(0.2, 0.01), 1.0),
        (KVM, with_times(0.2, 0.3), 5.0),
        (KVM, with_times(0.2, 9.0), MOST_SLOWNESS),
    ],
)
def test_limits_follow_the_measured_time(
    accelerator: Accelerator, choice: AcceleratorChoice | None, factor: float
) -> None:
    assert slowness(accelerator, choice) == pytest.approx(factor)


# QEMU


def test_kvm_it_is_where_a_guest_is_right_and_fast_under_it(
    workspace: Workspace, device: Path, qemu: FakeQemu
) -> None:
    qemu.behaves()
    choice = choose(workspace, device)
    assert (choice.accelerator, choice.qemu) == (KVM, "7.2.22")
    assert qemu.guests() == ["tcg", "kvm"] * 3


LONG = Patience(300, 300, 300)
SHORT = Patience(300, 0.2, 0.2)


@pytest.mark.parametrize(
    ("behaviour", "patience", "reason"),
    [
        (HANGS, Patience(0.2, 1, 1), "the probe was cut off after 0.2 s before the guest began"),
        (REPORTS_AND_HANGS, SHORT, "(KVM internal error. Suberror: 1)"),
        (f"printf '<mp'; {HANGS}", SHORT, "the probe was cut off after 0.2 s at rdrand"),
        (f"trap '' TERM; printf '<mprcsfito>'; {HANGS}", SHORT, "a triple fault did not end QEMU"),
        ("printf '<mpXcsfito>'", LONG, "the guest got an exception at rdrand"),
        ("printf '<mprcsfito>'; exit 3", LONG, "QEMU ended with exit status 3"),
        ("printf '<mprcs'", LONG, "ended with exit status 0 at fsin"),
        (REFUSES, LONG, "exit status 1 before the guest began (failed to initialize kvm: In"),
        (DIES, LONG, "ended with exit status -11 before the guest began"),
        ("head -c 100000 /dev/zero", LONG, "before the guest began"),
        ("exit 0", LONG, "ended with exit status 0 before the guest began"),
        (WORKS, LONG, ""),
    ],
    ids=[
        "hangs", "reports and hangs", "hangs later", "does not reset", "exception", "fails at end",
        "ends early", "refuses", "dies", "garbage", "silent", "works",
    ],
)  # fmt: skip
def test_the_probe_tells_how_qemu_fared_and_leaves_none(
    qemu: FakeQemu, tmp_path: Path, behaviour: str, patience: Patience, reason: str
) -> None:
    qemu.behaves(kvm=behaviour)
    trial = run_probe(KVM, tmp_path / "rom", patience, HostRunner(), HostClock())
    assert reason in trial.failure
    assert bool(reason) == bool(trial.failure)
    assert not find_processes(str(tmp_path / "rom"))


def test_kvm_that_fails_is_not_taken_and_the_reason_is_kept(
    workspace: Workspace, device: Path, qemu: FakeQemu
) -> None:
    qemu.behaves(kvm=REFUSES)
    choice = choose(workspace, device)
    assert choice.accelerator is TCG
    assert "failed to initialize kvm" in choice.reason
    assert qemu.guests() == ["tcg", "kvm"]
    assert choose(workspace, device) == choice
    assert qemu.guests() == []


def test_no_accelerator_at_all_is_the_hosts_fault_and_is_not_kept(
    workspace: Workspace, device: Path, qemu: FakeQemu
) -> None:
    qemu.behaves(kvm=REFUSES, tcg=DIES)
    with pytest.raises(InfraError, match=r"QEMU 7\.2\.22 runs no guest on this host") as caught:
        choose(workspace, device)
    assert "kvm: the probe ended with exit status 1" in caught.value.detail
    assert "tcg: the probe ended with exit status -11" in caught.value.detail
    qemu.behaves(kvm=REFUSES)
    assert choose(workspace, device).accelerator is TCG


def test_missing_qemu_names_its_package(
    workspace: Workspace, device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InfraError, match="apt-get install qemu-system-x86"):
        choose(workspace, device)


# What is kept


def test_another_qemu_and_another_device_are_measured_anew(
    workspace: Workspace, device: Path, qemu: FakeQemu
) -> None:
    qemu.behaves(kvm=REFUSES)
    choose(workspace, device)
    qemu.behaves(version="10.0.0")
    assert choose(workspace, device).accelerator is KVM
    device.unlink()
    assert choose(workspace, device).reason == f"there is no {device}"


def test_forgetting_and_refreshing_measure_again(
    workspace: Workspace, device: Path, qemu: FakeQemu
) -> None:
    qemu.behaves(kvm=REFUSES)
    choose(workspace, device)
    qemu.behaves(kvm=WORKS)
    assert choose(workspace, device).accelerator is TCG
    assert choose(workspace, device, refresh=True).accelerator is KVM
    assert known_accelerator(workspace, device) == choose(workspace, device)
    qemu.behaves(kvm=REFUSES)
    forget_accelerator(workspace)
    assert known_accelerator(workspace, device) is None
    assert choose(workspace, device).accelerator is TCG


@pytest.mark.parametrize(
    "kept", ["", "[]", '{"basis": 1}', "\0", "[" * 100_000, '{"basis": [], "tcg": -1}']
)
def test_choice_that_cannot_be_read_is_made_anew(
    workspace: Workspace, device: Path, qemu: FakeQemu, kept: str
) -> None:
    qemu.behaves(kvm=REFUSES)
    choose(workspace, device)
    qemu.guests()
    (workspace.cache / "accelerator.json").write_text(kept)
    assert choose(workspace, device).accelerator is TCG
    assert qemu.guests() == ["tcg", "kvm"]


def test_other_modules_and_parameters_of_kvm_are_another_host(tmp_path: Path) -> None:
    """And guests that run, which the modules count, are not."""
    module = tmp_path / "kvm_intel"
    (module / "parameters").mkdir(parents=True)
    (module / "refcnt").write_text("0")
    (module / "srcversion").write_text("A1")
    (module / "parameters" / "nested").write_text("N")
    first = acceleration_basis(modules=tmp_path)
    (module / "refcnt").write_text("3")
    assert acceleration_basis(modules=tmp_path) == first
    (module / "parameters" / "nested").write_text("Y")
    second = acceleration_basis(modules=tmp_path)
    (module / "srcversion").write_text("B2")
    third = acceleration_basis(modules=tmp_path)
    (tmp_path / "kvm_pvm").mkdir()
    basis = [first, second, third, acceleration_basis(modules=tmp_path)]
    assert all(one != other for one, other in itertools.pairwise(basis))


# The real thing


@pytest.mark.guest
def test_the_real_probe_finds_every_result_right_under_tcg(workspace: Workspace) -> None:
    rom = accelerator_probe(workspace, HostRunner())
    trial = run_probe(TCG, rom, Patience(60, 60, 60), HostRunner(), HostClock())
    assert trial.failure == ""
    assert trial.seconds is not None
    assert trial.seconds > 0


@pytest.mark.guest
def test_the_real_choice_is_kept_if_it_is_final(workspace: Workspace) -> None:
    choice = choose_accelerator(workspace, HostRunner(), HostClock())
    assert known_accelerator(workspace) == (choice if choice.final else None)
