"""What the boot and the counters of a mutant's guests are taken for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cells import IDENTITY, cell

from harness.boot.plan import BootPlan
from harness.console.report import GuestReport
from harness.guest.topology import Topology
from harness.host.accelerator import Accelerator
from harness.kernel.artifact import KernelArtifact, KernelIdentity
from harness.mutation.oracle import Caught, Survived
from harness.outcome import Outcome, Until
from harness.results.record import Cell
from harness.runs.oracles import BootOracle, CountersOracle
from harness.sanitizers import KASAN, Sanitizers
from harness.source.codefacts import Facts
from harness.subsystems.uma.codeforms import NAME
from harness.subsystems.uma.model.variants import VARIANTS
from harness.subsystems.uma.zonereport import ReportedZones, ZoneDomain, ZoneReport


def with_form(name: str) -> KernelIdentity:
    facts = {NAME: Facts(dataclasses.asdict(VARIANTS[name]))}
    return replace(IDENTITY, sanitizer=Sanitizers({KASAN}), facts=facts)


KNOWN = with_form("13-after")
UNMUTATED = KernelArtifact(KNOWN, Path("kernel"), Path("kernel.debug"), None)
MUTANT = replace(UNMUTATED, identity=replace(KNOWN, mutant="uma_prealloc.round-down"))


def with_zones(domains: int, zones: Mapping[str, ZoneReport]) -> GuestReport:
    told = {"uma": ReportedZones(zones)}
    return GuestReport("FreeBSD", "13.2", 1302001, "X", domains, {}, {}, {}, {}, subsystems=told)


def saying(pages: int, free_items: int) -> GuestReport:
    zone = ZoneReport(2, 42, {0: ZoneDomain(pages, free_items, 0)})
    return with_zones(1, {"Z": zone})


def with_entries_in(*slabs: int) -> GuestReport:
    domains = {domain: ZoneDomain(pages, pages, 0) for domain, pages in enumerate(slabs)}
    entries = ZoneReport(2, 42, domains)
    return with_zones(2, {"KMAP_ENTRY": entries})


def booted(report: GuestReport) -> Cell:
    return cell(report=report, seconds=10.0)


@dataclass
class FakeBoots:
    """Gives the cells that it was made with, by kernel, nodes and which boot."""

    cells: Mapping[tuple[str | None, int, int | str], Cell]
    plans: Mapping[int, BootPlan] = field(
        default_factory=lambda: {
            nodes: BootPlan(Topology.even(nodes), Until.INIT, Accelerator.TCG) for nodes in (2, 4)
        }
    )

    def boot(self, kernel: KernelArtifact, nodes: int, which: int | str = 1) -> Cell:
        return self.cells[kernel.identity.mutant, nodes, which]


def mutants(*cells: Cell, nodes: int = 2) -> dict[tuple[str | None, int, int | str], Cell]:
    whiches: tuple[int | str, ...] = (1, "again")
    name = MUTANT.identity.mutant
    return {(name, nodes, which): each for which, each in zip(whiches, cells, strict=False)}


def beside(told: GuestReport) -> dict[tuple[str | None, int, int | str], Cell]:
    return {(None, 2, f"beside-{MUTANT.identity.mutant}"): booted(told)}


def counted(told: list[GuestReport], boots: FakeBoots) -> Caught | Survived:
    return CountersOracle(boots, UNMUTATED, {2: told}).judge(MUTANT)


class TestBoot:
    def test_a_panic_is_caught_and_no_further_topology_is_booted(self) -> None:
        boots = FakeBoots(mutants(cell(Outcome.PANIC, seconds=7.0)))
        found = BootOracle(boots, KNOWN).judge(MUTANT)
        assert found == Caught(7.0, "2 nodes: panic: kernel resources exhausted")

    def test_a_panic_that_the_kernel_without_the_mutant_dies_of_too_is_not(self) -> None:
        before = with_form("13-before")
        panics = mutants(cell(Outcome.PANIC)) | mutants(cell(Outcome.PANIC), nodes=4)
        assert isinstance(BootOracle(FakeBoots(panics), before).judge(MUTANT), Survived)

    def test_what_boots_on_every_topology_survives(self) -> None:
        boots = FakeBoots(mutants(cell(seconds=7.0)) | mutants(cell(seconds=9.0), nodes=4))
        assert BootOracle(boots, KNOWN).judge(MUTANT) == Survived(16.0)


RIGHT, WRONG = saying(10, 39), saying(20, 39)


class TestCounters:
    def test_the_same_counters_survive_after_one_boot(self) -> None:
        assert counted([RIGHT], FakeBoots(mutants(booted(RIGHT)))) == Survived(0.0)

    def test_a_counter_far_off_in_two_boots_is_caught(self) -> None:
        cells = mutants(booted(WRONG), booted(WRONG)) | beside(RIGHT)
        found = counted([RIGHT, RIGHT], FakeBoots(cells))
        assert found == Caught(20.0, "2 nodes: Z domain 0 pages: far from 10")

    def test_a_counter_far_off_in_one_boot_of_two_is_not(self) -> None:
        cells = mutants(booted(WRONG), booted(RIGHT)) | beside(RIGHT)
        assert counted([RIGHT, RIGHT], FakeBoots(cells)) == Survived(20.0)

    def test_what_the_kernel_without_the_mutant_says_too_by_now_is_not(self) -> None:
        told = [RIGHT, RIGHT]
        cells = mutants(booted(WRONG), booted(WRONG)) | beside(WRONG)
        assert isinstance(counted(told, FakeBoots(cells)), Survived)
        assert told == [RIGHT, RIGHT, WRONG]

    def test_a_mutant_that_does_not_boot_a_second_time_is_caught(self) -> None:
        cells = mutants(booted(WRONG), cell(Outcome.PANIC, seconds=5.0)) | beside(RIGHT)
        found = counted([RIGHT], FakeBoots(cells))
        assert isinstance(found, Caught)
        assert found.why == "2 nodes, a second time: panic: kernel resources exhausted"

    def test_slabs_where_the_model_has_none_are_caught_though_they_are_few(self) -> None:
        right, wrong = with_entries_in(1, 1), with_entries_in(2, 0)
        cells = mutants(booted(wrong), booted(wrong)) | beside(right)
        found = counted([right], FakeBoots(cells))
        assert isinstance(found, Caught)
        assert "differ from the model's prediction" in found.why
