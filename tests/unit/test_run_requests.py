"""Every kind of run, from a request to its result and record, on guests that follow a script."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from fake_environment import NODES, FakeProvider, does_not_build, fake_environment, host_fails
from fake_guests import boots, hangs, number_of, panics, stays_up
from model_guest import ModelGuest
from small_tree import numbered_revisions

from harness.bisect.search import Culprit
from harness.errors import BuildError, UsageError
from harness.guest.fake import FakeBackend, Script
from harness.guest.spec import GuestSpec
from harness.mutation.judgement import MutantOutcome
from harness.outcome import Outcome
from harness.results.record import Cell
from harness.results.store import Store
from harness.runs.bisect import BisectResult, bisect
from harness.runs.bisectrequest import BisectRequest
from harness.runs.boot import BootRequest, boot, describe_boot
from harness.runs.check import check
from harness.runs.checkrequest import CheckRequest, On
from harness.runs.compare import CompareRequest, Expectations, Pair, compare
from harness.runs.environment import Environment, Retry
from harness.runs.mutants import MutantsRequest, mutants
from harness.runs.view import Unseen
from harness.sanitizers import NONE, parse_sanitizers
from harness.source.change import Change
from harness.source.opentree import open_tree
from harness.source.request import KernelRequest
from harness.subsystems.table import SUBSYSTEMS, find_subsystem
from harness.subsystems.uma.model.variants import find_variant

MADE = KernelRequest("made")
UMA = find_subsystem("uma")
Play = Callable[[GuestSpec], Script]


def outcomes(cells: tuple[Cell, ...]) -> list[Outcome | None]:
    return [cell.verdict.outcome if cell.verdict else None for cell in cells]


def started(env: Environment) -> int:
    assert isinstance(env.backend, FakeBackend)
    return len(env.backend.started)


def wrong_from(number: int) -> Play:
    """Kernels of that number and higher ones panic."""
    return lambda spec: panics(spec) if number_of(spec) >= number else boots(spec)


def numbered(what: KernelRequest) -> int:
    """The revision is the kernel's number."""
    return int(what.change.revision or 0)


# --- boot -------------------------------------------------------------------------------------


def test_a_boot_has_a_record_with_its_verdict_and_console(tmp_path: Path) -> None:
    with fake_environment(tmp_path, boots) as env:
        result = boot(BootRequest(MADE, NODES), env)
    assert (result.exit_code, outcomes(result.run.cells)) == (0, [Outcome.BOOTED])
    record = Store(env.runs).load("latest")
    assert (record["name"], record["state"], record["exit_code"], record["command"]) == (
        result.directory.name, "ended", 0, list(env.command),
    )  # fmt: skip
    assert (result.directory / "none-numa2" / "console.log").is_file()


def test_a_kernel_that_panics_is_the_kernels_failure(tmp_path: Path) -> None:
    with fake_environment(tmp_path, panics) as env:
        result = boot(BootRequest(MADE, NODES), env)
    assert (result.exit_code, outcomes(result.run.cells)) == (1, [Outcome.PANIC])


def test_a_failure_that_is_not_reproduced_says_nothing_of_the_kernel(tmp_path: Path) -> None:
    def play(spec: GuestSpec) -> Script:
        return boots(spec) if "again" in spec.name else hangs(spec)

    with fake_environment(tmp_path, play) as env:
        result = boot(BootRequest(MADE, NODES), env)
    assert (result.exit_code, outcomes(result.run.cells)) == (3, [Outcome.UNVERIFIED])


def test_repeated_boots_have_a_cell_each(tmp_path: Path) -> None:
    with fake_environment(tmp_path, boots) as env:
        result = boot(BootRequest(MADE, NODES, repeat=3), env)
        assert started(env) == 3
    assert [cell.name for cell in result.run.cells] == [
        "none-numa2-1", "none-numa2-2", "none-numa2-3",
    ]  # fmt: skip


def test_the_hosts_failure_is_tried_again_and_each_try_has_a_record(tmp_path: Path) -> None:
    view, tries = Unseen(), iter((Script(failure="no QEMU"),))
    with fake_environment(tmp_path, lambda spec: next(tries, None) or boots(spec)) as env:
        result = boot(BootRequest(MADE, NODES, host_retries=1), env, view)
    assert result.exit_code == 0
    assert len(Store(env.runs).names()) == 2
    assert any("trying again (0 times left)" in warning for warning in view.warnings)


def test_what_does_not_build_leaves_no_record_and_the_hosts_failure_one(tmp_path: Path) -> None:
    for number in (does_not_build, host_fails):
        provider = FakeProvider(tmp_path, number)
        with fake_environment(tmp_path, boots, provider) as env:
            if number is does_not_build:
                with pytest.raises(BuildError):
                    boot(BootRequest(MADE, NODES), env)
                assert Store(env.runs).names() == []
            else:
                assert boot(BootRequest(MADE, NODES), env).exit_code == 3
                assert started(env) == 0


@pytest.mark.parametrize(
    ("guest", "words"),
    [
        (replace(NODES, numa="1,2"), "names several guests, and boot boots one"),
        (replace(NODES, method="loader"), "--boot loader cannot start a made kernel"),
        (replace(NODES, vm="numa2"), "--numa and --vm both give"),
        (replace(NODES, numa="x"), "number of nodes 'x'"),
    ],
)
def test_a_guest_that_cannot_be_is_refused_before_a_kernel_is_built(
    tmp_path: Path, guest: object, words: str
) -> None:
    provider = FakeProvider(tmp_path)
    with fake_environment(tmp_path, boots, provider) as env:
        with pytest.raises(UsageError, match=words):
            boot(BootRequest(MADE, guest), env)  # type: ignore[arg-type]
        assert not provider.asked
        assert Store(env.runs).names() == []


def test_a_boot_is_described_without_a_guest(tmp_path: Path) -> None:
    with fake_environment(tmp_path, boots) as env:
        assert "none-numa2" in describe_boot(BootRequest(MADE, NODES), env)
        assert (started(env), Store(env.runs).names()) == (0, [])


# --- compare ----------------------------------------------------------------------------------


def test_both_sides_are_booted_on_each_number_of_nodes(tmp_path: Path) -> None:
    pair = Pair(before="1", after="0")
    with fake_environment(tmp_path, wrong_from(1), FakeProvider(tmp_path, numbered)) as env:
        result = compare(CompareRequest(MADE, pair, replace(NODES, numa="1,2")), env)
    assert {cell.name: cell.as_expected for cell in result.run.cells} == {
        "before-none-numa1": False, "before-none-numa2": False,
        "after-none-numa1": True, "after-none-numa2": True,
    }  # fmt: skip
    assert result.exit_code == 1


def test_an_outcome_that_is_expected_of_a_side_is_no_failure(tmp_path: Path) -> None:
    expected: Expectations = {(None, "before"): (Outcome.PANIC,)}
    request = CompareRequest(MADE, Pair(before="1", after="0"), NODES, expected=expected)
    with fake_environment(tmp_path, wrong_from(1), FakeProvider(tmp_path, numbered)) as env:
        assert compare(request, env).exit_code == 0


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (Pair(), "nothing was given"),
        (Pair(before="1"), "only one of --before and --after"),
        (Pair(before="1", after="0", mutant="x"), "--before and --after and --mutant was given"),
    ],
)
def test_half_a_pair_or_two_are_refused(tmp_path: Path, pair: Pair, words: str) -> None:
    with fake_environment(tmp_path, boots) as env, pytest.raises(UsageError, match=words):
        compare(CompareRequest(MADE, pair, NODES), env)


def test_only_the_cells_that_a_retry_names_are_booted(tmp_path: Path) -> None:
    provider = FakeProvider(tmp_path, numbered)
    with fake_environment(tmp_path, boots, provider) as env:
        again = replace(env, retry=Retry("before", (), frozenset({"after-none-numa2"})))
        vars(again)["settings"] = env.settings
        result = compare(CompareRequest(MADE, Pair(before="1", after="0"), NODES), again)
    assert [cell.name for cell in result.run.cells] == ["after-none-numa2"]
    assert Store(env.runs).load("latest")["retry_of"] == "before"


# --- check ------------------------------------------------------------------------------------


def answering(code: str) -> Play:
    """Guests whose allocator is of that form."""

    def play(spec: GuestSpec) -> Script:
        nodes = len(spec.topology.nodes)
        return stays_up(spec, lambda: ModelGuest(find_variant(code), nodes))

    return play


def checked(**changed: object) -> CheckRequest:
    guest = replace(NODES, cpus=2)
    made = CheckRequest(MADE, guest, operations=60, subsystem="uma", on=On.GUEST)
    return replace(made, **changed)  # type: ignore[arg-type]


def test_a_check_that_agrees_has_a_guest_for_each_seed(tmp_path: Path) -> None:
    with fake_environment(tmp_path, answering("13-after")) as env:
        result = check(checked(seeds=(1, 2)), env)
    assert [cell.name for cell in result.run.cells] == [
        "check-none-numa2-seed1", "check-none-numa2-seed2",
    ]  # fmt: skip
    assert (result.exit_code, result.traces) == (0, ())


def test_a_difference_is_kept_as_a_trace_that_shows_it_again(tmp_path: Path) -> None:
    with fake_environment(tmp_path, answering("13-before")) as env:
        found = check(checked(operations=600), env)
        assert found.exit_code == 1
        (trace,) = found.traces
        again = check(checked(replay=trace), env)
    assert again.exit_code == 1
    assert again.run.cells[0].check is not None
    assert again.run.cells[0].check.difference is not None


def test_kernels_of_which_no_program_is_made_are_checked_in_guests_alone(tmp_path: Path) -> None:
    with fake_environment(tmp_path, answering("13-after")) as env:
        result = check(checked(on=On.BOTH), env)
        (cell,) = result.run.cells
        assert (result.exit_code, cell.host) == (0, None)
        with pytest.raises(UsageError, match="not compiled as a host program"):
            check(checked(on=On.HOST), env)


def test_without_a_program_what_has_no_model_goes_to_a_guest_only_if_it_is_named(
    tmp_path: Path,
) -> None:
    with fake_environment(tmp_path, panics) as env:
        (cell,) = check(checked(on=On.BOTH, subsystem="zones"), env).run.cells
        assert cell.check is not None
        assert cell.check.subsystem == "zones"
        cells = check(checked(on=On.BOTH, subsystem=None), env).run.cells
    modelled = [subsystem.name for subsystem in SUBSYSTEMS if subsystem.is_modelled]
    assert [each.check.subsystem for each in cells if each.check] == modelled


@pytest.mark.parametrize("on", [On.BOTH, On.GUEST])
def test_a_fix_that_is_assumed_is_for_the_host_alone(tmp_path: Path, on: On) -> None:
    what = replace(MADE, change=Change(assumed=("bucket-domain",)))
    with (
        fake_environment(tmp_path, boots) as env,
        pytest.raises(UsageError, match="no guest judges it"),
    ):
        check(checked(on=on, what=what), env)


def test_a_subsystem_that_the_kernel_lacks_is_refused(tmp_path: Path) -> None:
    provider = FakeProvider(tmp_path, subsystems=(find_subsystem("domainset"),))
    words = "a made kernel has no subsystem uma"
    with (
        fake_environment(tmp_path, boots, provider) as env,
        pytest.raises(UsageError, match=words),
    ):
        check(checked(), env)


def test_a_machine_without_a_second_serial_port_is_refused_before_the_build(
    tmp_path: Path,
) -> None:
    file = tmp_path / "box.toml"
    programs = "".join(f'{key} = ["true"]\n' for key in ("power_on", "power_off", "console"))
    file.write_text(f'[command]\n{programs}methods = ["direct"]\n[[node]]\ncpus = 1\n')
    provider = FakeProvider(tmp_path)
    guest = replace(NODES, numa=None, vm=str(file), accelerator=None)
    with fake_environment(tmp_path, boots, provider) as env:
        with pytest.raises(UsageError, match="without a second serial port"):
            check(checked(guest=guest), env)
        with pytest.raises(UsageError, match="--keep or a command"):
            boot(BootRequest(MADE, guest, keep=True), env)
    assert not provider.asked


# --- mutants ----------------------------------------------------------------------------------

NAMES = tuple(UMA.mutants)[:2]


def judging(tmp_path: Path) -> FakeProvider:
    """The first mutant's kernel is 1, the second's 2."""

    def number(what: KernelRequest) -> int:
        return NAMES.index(what.change.mutant) + 1 if what.change.mutant else 0

    known = MappingProxyType({name: UMA.mutants[name] for name in NAMES})
    return FakeProvider(tmp_path, number, mutants=known)


def test_a_mutant_is_killed_by_its_boot_or_by_the_check(tmp_path: Path) -> None:
    def play(spec: GuestSpec) -> Script:
        number = number_of(spec)
        if "check" not in spec.name:
            return panics(spec) if number == 1 else boots(spec)
        return answering("13-before" if number == 2 else "13-after")(spec)

    request = MutantsRequest(MADE, guest=replace(NODES, cpus=2), baseline=1, operations=600)
    with fake_environment(tmp_path, play, judging(tmp_path)) as env:
        result = mutants(request, env)
    found = {each.mutant: (each.fate, each.oracle) for each in result.run.judgements}
    assert found == {
        NAMES[0]: (MutantOutcome.CAUGHT, "boot"), NAMES[1]: (MutantOutcome.CAUGHT, "check"),
    }  # fmt: skip
    assert result.exit_code == 0
    assert len(list((result.directory / "mutants").glob("*.json"))) == 2


def test_a_mutant_that_nothing_kills_survives(tmp_path: Path) -> None:
    def play(spec: GuestSpec) -> Script:
        return answering("13-after")(spec) if "check" in spec.name else boots(spec)

    request = MutantsRequest(MADE, NAMES[:1], replace(NODES, cpus=2), baseline=1, operations=60)
    with fake_environment(tmp_path, play, judging(tmp_path)) as env:
        result = mutants(request, env)
    assert [each.fate for each in result.run.judgements] == [MutantOutcome.SURVIVED]
    assert result.exit_code == 1


def test_a_kernel_without_a_mutant_that_is_caught_ends_the_run(tmp_path: Path) -> None:
    request = MutantsRequest(MADE, guest=NODES, baseline=1)
    with fake_environment(tmp_path, panics, judging(tmp_path)) as env:
        (judgement,) = mutants(request, env).run.judgements
    assert (judgement.mutant, judgement.oracle) == ("unmutated", "boot")
    assert not judgement.as_it_should_be


# --- bisect -----------------------------------------------------------------------------------


@contextmanager
def history(tmp_path: Path, play: Play, commits: list[str]) -> Iterator[Environment]:
    """An environment whose kernels are those of the repository, numbered along its line."""
    provider = FakeProvider(tmp_path, lambda what: commits.index(what.change.revision or ""))
    with fake_environment(tmp_path, play, provider) as env:
        provider.tree = open_tree(str(tmp_path / "tree"), env.workspace, env.runner)
        yield env


def searched(**changed: object) -> BisectRequest:
    return replace(BisectRequest(MADE, "c0", "c11", guest=NODES), **changed)  # type: ignore[arg-type]


def culprit(result: BisectResult) -> str:
    assert isinstance(result.findings.answer, Culprit)
    return result.findings.answer.commit


def test_a_bisection_finds_the_culprit_and_keeps_its_record(tmp_path: Path) -> None:
    commits = numbered_revisions(tmp_path / "tree", 12)
    with history(tmp_path, wrong_from(7), commits) as env:
        result = bisect(searched(), env)
    assert (culprit(result), result.exit_code) == (commits[7], 0)
    record = Store(env.runs).load("latest")
    assert (record["state"], record["bisect"]["answer"]["kind"]) == ("ended", "culprit")
    assert commits[7][:12] in (result.directory / "report.txt").read_text()


def test_what_mended_a_kernel_is_found(tmp_path: Path) -> None:
    def play(spec: GuestSpec) -> Script:
        return boots(spec) if number_of(spec) >= 4 else panics(spec)

    commits = numbered_revisions(tmp_path / "tree", 12)
    with history(tmp_path, play, commits) as env:
        result = bisect(searched(good="c11", bad="c0", fixed=True), env)
    assert culprit(result) == commits[4]


def test_an_interrupted_bisection_goes_on_where_it_was(tmp_path: Path) -> None:
    calls: list[str] = []

    def play(spec: GuestSpec) -> Script:
        calls.append(spec.name)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return wrong_from(7)(spec)

    commits, view = numbered_revisions(tmp_path / "tree", 12), Unseen()
    with history(tmp_path, play, commits) as env, pytest.raises(KeyboardInterrupt):
        bisect(searched(), env)
    with history(tmp_path, play, commits) as env:
        result = bisect(searched(), env, view)
    assert culprit(result) == commits[7]
    assert any(note.startswith("resuming") for note in view.notes)
    assert len(Store(env.runs).names()) == 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"bad": "c0"}, "--good and --bad are the same revision"),
        ({"good": "c11", "bad": "c0"}, "is an ancestor of"),
        ({"good": None}, "--good is missing"),
        ({"good": "no-such"}, "--good"),
        ({"how": "check", "command": ("true",)}, "both judge the revisions"),
    ],
)
def test_ends_between_which_nothing_can_be_found_are_refused(
    tmp_path: Path, changed: dict[str, object], words: str
) -> None:
    commits = numbered_revisions(tmp_path / "tree", 12)
    with history(tmp_path, boots, commits) as env, pytest.raises(UsageError, match=words):
        bisect(searched(**changed), env)
    assert Store(env.runs).names() == []


def test_a_bisection_of_builds_starts_no_guest(tmp_path: Path) -> None:
    commits = numbered_revisions(tmp_path / "tree", 12)
    with history(tmp_path, boots, commits) as env:
        assert isinstance(env.provider, FakeProvider)

        def number(what: KernelRequest) -> int:
            found = commits.index(what.change.revision or "")
            if found >= 5:
                raise BuildError("it does not build", detail="sys/a.c:1:1: error: one\n")
            return found

        env.provider.number = number
        result = bisect(searched(how="build"), env)
        assert started(env) == 0
    assert culprit(result) == commits[5]


def test_a_bisection_can_hold_each_kernel_to_the_model(tmp_path: Path) -> None:
    def play(spec: GuestSpec) -> Script:
        return answering("13-before" if number_of(spec) >= 3 else "13-after")(spec)

    commits = numbered_revisions(tmp_path / "tree", 5)
    with history(tmp_path, play, commits) as env:
        request = searched(bad="c4", how="check", guest=replace(NODES, cpus=2))
        result = bisect(request, env)
    assert culprit(result) == commits[3]


def test_a_kernel_has_the_sanitizers_of_the_guests_file_unless_others_are_asked_for(
    tmp_path: Path,
) -> None:
    guest = replace(NODES, numa=None, vm="numa2-kasan")
    with fake_environment(tmp_path, boots) as env:
        for asked, name in ((None, "kasan-numa2"), (NONE, "none-numa2")):
            result = boot(BootRequest(MADE, guest, asked), env)
            assert [cell.name for cell in result.run.cells] == [name]


def test_what_may_be_wrong_is_told_to_the_view(tmp_path: Path) -> None:
    view = Unseen()
    with fake_environment(tmp_path, boots) as env:
        describe_boot(
            BootRequest(MADE, replace(NODES, memory=64), parse_sanitizers("kasan")), env, view
        )
    assert [warning for warning in view.warnings if "64 MiB" in warning]


def test_runs_import_no_command_line() -> None:
    program = (
        "import sys\n"
        "import harness.runs.bisect, harness.runs.boot, harness.runs.check\n"
        "import harness.runs.compare, harness.runs.mutants\n"
        "print([name for name in sys.modules if name in ('click', 'harness.cli')])\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert told.stdout == b"[]\n"
