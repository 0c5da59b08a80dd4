"""Boots, repeats, checks and bisections of fake guests: from the first byte to the cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fake_guests import (
    VERSION,
    banner,
    boots,
    console,
    facts_of,
    fake_booter,
    hangs,
    made_kernel,
    nonce_of,
    panics,
    plan,
    report,
)

from harness.boot.booter import Booter
from harness.boot.cellboot import boot_cell
from harness.boot.cellplan import CellPlan
from harness.boot.plan import Sampling
from harness.errors import UsageError
from harness.guest.backend import GuestEnding
from harness.guest.backends import BACKENDS, OFFERED, BackendHost, find_backend
from harness.guest.fake import FakeBackend, Piece, Script
from harness.guest.spec import GuestSpec
from harness.guest.topology import Topology
from harness.host.accelerator import Accelerator
from harness.host.clock import HostClock
from harness.host.loglimits import LogLimits
from harness.host.process import HostRunner
from harness.host.progress import Recorded
from harness.host.workspace import Workspace
from harness.image.media import DirectKernel
from harness.kernel.elf import content_digest, kernel_facts
from harness.outcome import Expectation, Outcome
from harness.results.record import Cell
from harness.sanitizers import NONE
from harness.source.request import KernelRequest

Play = Callable[[GuestSpec], Script]
Scripted = Callable[..., Cell]


@pytest.fixture
def cell_of(tmp_path: Path) -> Scripted:
    """The cell of a guest that follows a script, or several, one after the other."""

    def boot(*scripts: Play, sampling: Sampling = Sampling.SINGLE, **changed: object) -> Cell:
        played = iter((*scripts, *[scripts[-1]] * 20))

        def play(spec: GuestSpec) -> Script:
            return next(played)(spec)

        with fake_booter(tmp_path, play) as booter:
            cell = CellPlan(
                "made-numa2", "", KernelRequest("made"), NONE,
                replace(plan(), **changed), sampling=sampling,  # type: ignore[arg-type]
            )  # fmt: skip
            kernel = made_kernel(tmp_path)
            others = [made_kernel(tmp_path, 1)]
            expected = Expectation((Outcome.BOOTED,), "it is made so")
            run = tmp_path / "run"
            return boot_cell(cell, kernel, booter, run, Recorded(), expected, others)

    return boot


def outcome(cell: Cell) -> Outcome:
    assert cell.verdict, cell.error
    return cell.verdict.outcome


def test_a_good_boot_is_proven_and_says_that_nothing_ran(cell_of: Scripted) -> None:
    cell = cell_of(boots)
    assert outcome(cell) is Outcome.BOOTED
    assert cell.as_expected
    assert cell.backend == "fake"
    assert cell.verification is not None
    assert cell.verification.identified
    assert "a script printed" in cell.verification.unproven[0]
    assert list(cell.stages) == ["kernel", "init", "shutdown"]


def test_a_panic_counts_by_itself_with_its_frames(cell_of: Scripted, tmp_path: Path) -> None:
    cell = cell_of(panics)
    assert outcome(cell) is Outcome.PANIC
    assert cell.verdict is not None
    assert cell.verdict.title == "no ideas left in thinker"
    assert [frame.function for frame in cell.verdict.frames] == ["panic", "thinker"]
    assert cell.repeats == ()
    assert b"no ideas left" in (tmp_path / "run" / cell.name / "console.log").read_bytes()


def test_a_hang_counts_once_it_was_repeated(cell_of: Scripted) -> None:
    cell = cell_of(hangs)
    assert outcome(cell) is Outcome.HANG
    assert cell.opinion == "repeated under tcg by the direct start"
    assert len(cell.repeats) == 1


def test_a_hang_that_does_not_repeat_is_unverified(cell_of: Scripted) -> None:
    cell = cell_of(hangs, boots)
    assert outcome(cell) is Outcome.UNVERIFIED
    assert cell.opinion == "booted when repeated under tcg by the direct start"


def test_on_a_machine_that_exists_already_a_hang_is_repeated_there(cell_of: Scripted) -> None:
    cell = cell_of(hangs, accelerator=Accelerator.NONE)
    assert outcome(cell) is Outcome.HANG
    assert cell.opinion == "repeated on the same machine by the direct start"
    assert [repeat.accelerator for repeat in cell.repeats] == ["none"]


def test_one_of_several_boots_that_hangs_counts_as_seen_once(cell_of: Scripted) -> None:
    cell = cell_of(hangs, boots, sampling=Sampling.REPEATED)
    assert outcome(cell) is Outcome.HANG
    assert cell.unrepeated


def test_a_kernel_that_dies_before_its_banner_needs_another_that_boots(cell_of: Scripted) -> None:
    """Twice, as it has one way to boot; then the control."""

    def early(spec: GuestSpec) -> Script:
        del spec
        return Script((Piece(console("---<<BOOT>>---", "panic: too early")),), after=1.0)

    cell = cell_of(early, early, boots)
    assert outcome(cell) is Outcome.PANIC
    assert [repeat.purpose for repeat in cell.repeats] == ["repeat", "control"]
    assert "while another kernel boots" in cell.opinion


def test_a_report_of_another_boot_or_kernel_proves_nothing(cell_of: Scripted) -> None:
    def replayed(spec: GuestSpec) -> Script:
        said = report("0" * 16, facts_of(spec), spec.topology)
        return Script((Piece(banner()), Piece(said, after=1.0)))

    def swapped(spec: GuestSpec) -> Script:
        facts = facts_of(spec)
        other = type(facts)("00" * 20, facts.version, facts.sanitizers, facts.size)
        return Script((Piece(banner()), Piece(report(nonce_of(spec), other, spec.topology), 1.0)))

    for play, why in ((replayed, "another boot"), (swapped, "has the build id 0000")):
        cell = cell_of(play)
        assert outcome(cell) is Outcome.UNVERIFIED
        assert cell.verdict is not None
        assert why in cell.verdict.title
        assert cell.host_failed


def test_another_machine_than_was_asked_for_proves_nothing(cell_of: Scripted) -> None:
    cell = cell_of(lambda spec: boots(spec, differences=("node 1 is missing",)))
    assert outcome(cell) is Outcome.UNVERIFIED
    seen = cell_of(lambda spec: stays_up_on(spec, Topology.even(1)))
    assert outcome(seen) is Outcome.UNVERIFIED, "nothing but the kernel describes a fake machine"
    assert seen.verdict is not None
    assert "it sees 1 memory domains, not 2" in seen.verdict.title


def stays_up_on(spec: GuestSpec, topology: Topology) -> Script:
    said = report(nonce_of(spec), facts_of(spec), topology)
    return Script((Piece(banner()), Piece(said, after=1.0)), after=1.0)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (Script(failure="no memory for it"), "no memory for it"),
        (Script((Piece(banner()),), ending=GuestEnding.CRASHED), "QEMU died"),
        (Script((Piece(banner()),), ending=GuestEnding.KILLED), "ended from outside"),
        (Script((Piece(banner()),), ending=None, stopped="io-error"), "reports the state io-error"),
    ],
)
def test_what_fails_on_the_host_is_the_cells_error(
    script: Script, error: str, cell_of: Scripted
) -> None:
    cell = cell_of(lambda _: script)
    assert cell.verdict is None
    assert error in cell.error
    assert cell.host_failed


def test_a_guest_that_resets_itself_without_a_word_has_failed(cell_of: Scripted) -> None:
    cell = cell_of(lambda _: Script((Piece(banner()),), ending=GuestEnding.RESET, after=1.0))
    assert outcome(cell) is Outcome.RESET
    assert len(cell.repeats) == 1


def test_timeouts_are_seconds_of_the_guests_clock(cell_of: Scripted) -> None:
    slow = cell_of(hangs, timeout=50.0)
    assert outcome(slow) is Outcome.HANG
    assert slow.verdict is not None
    assert 50.0 <= slow.verdict.seconds < 51.0


def test_a_flood_is_cut(tmp_path: Path) -> None:
    def flood(spec: GuestSpec) -> Script:
        del spec
        return Script((Piece(banner()), *[Piece(b"x" * 1000 + b"\n")] * 50))

    with fake_booter(tmp_path, flood) as booter:
        small = Booter(
            booter.workspace, booter.runner, booter.clock, booter.backend,
            logs=LogLimits(keep=2000, end=9000),
        )  # fmt: skip
        booted = small.boot("flood", made_kernel(tmp_path), plan(), tmp_path / "cell", Recorded())
    assert booted.verdict.outcome is not Outcome.BOOTED
    assert (tmp_path / "cell" / "console.log").stat().st_size == 2000
    assert any("are not in console.log" in words for words in booted.verdict.warnings)


# --- the backend itself -------------------------------------------------------------------------


def test_no_user_can_choose_the_fake(tmp_path: Path) -> None:
    assert "fake" not in OFFERED
    assert "fake" in [row.name for row in BACKENDS]
    host = BackendHost(HostRunner(), HostClock(), Workspace(tmp_path, tmp_path, tmp_path))
    with pytest.raises(UsageError, match="only a test can give it"):
        find_backend("fake").type.make(host)


def test_bytes_come_when_the_script_says(tmp_path: Path) -> None:
    script = Script((Piece(b"a"), Piece(b"b", after=3.0)), after=2.0)
    with fake_booter(tmp_path, lambda _: script) as booter:
        backend, clock = booter.backend, booter.clock
        assert isinstance(backend, FakeBackend)
        spec = spec_of(tmp_path)
        with backend.open_port(spec.console_socket) as port:
            assert port.read(1.0) is None, "before its start it is silent"
            began = clock.monotonic()
            guest = backend.start(spec)
            assert port.read(0.0) == b"a"
            assert port.read(2.0) is None
            assert port.read(2.0) == b"b"
            assert clock.monotonic() - began == 3.0
            assert guest.wait() is None
            assert port.read(2.0) == b""
            ended = guest.wait()
            assert ended is not None
            assert ended.ending is GuestEnding.POWEROFF
            port.write(b"typed")
            assert guest.typed == b"typed"
            guest.destroy()


def spec_of(directory: Path) -> GuestSpec:
    return GuestSpec(
        "x", Topology.even(1), DirectKernel(made_kernel(directory).kernel), Accelerator.TCG, None,
        directory / "com1",
    )  # fmt: skip


def test_the_made_kernel_is_one_to_all_that_read_kernels(tmp_path: Path) -> None:
    one, other = made_kernel(tmp_path, 0), made_kernel(tmp_path, 1)
    facts = kernel_facts(one.kernel)
    assert facts.version == VERSION
    assert facts.sanitizers == NONE
    assert facts.build_id != kernel_facts(other.kernel).build_id
    assert content_digest(one) != content_digest(other)
