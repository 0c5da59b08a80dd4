"""A guest with a world is up when its rc(8) says so, with the nonce of the boot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.boot.worldguest import world_tunables
from harness.console.events import Event, Panic, ReportComplete, ServiceReady
from harness.console.parser import ConsoleParser
from harness.console.stages import Stage, stage_after
from harness.image.media import BootMethod
from harness.outcome import Ending, Outcome, Until
from harness.verdict import judge
from harness.watch import Limits, Watch
from harness.world.image import World, WorldIdentity

NONCE = "0123456789abcdef"

IDENTITY = WorldIdentity(
    "k", "tree", "1a2b3c4d5e", None, "t", dirty=False, overlaid=(), release="15.1-RELEASE",
    kind="slim", suites=(), services="few", compiler="clang",
)  # fmt: skip


def heard(text: str) -> list[Event]:
    parser = ConsoleParser()
    return [*parser.feed(text.encode()), *parser.close()]


def watched(*events: Event, world: bool = True) -> Watch:
    watch = Watch(Limits(), 0.0, Stage.KERNEL, world=world)
    watch.observe(events, 1.0)
    return watch


def test_ready_line_is_an_event_with_nonce_and_service() -> None:
    assert heard(f"\n@harness-ready {NONCE} ssh.\n") == [ServiceReady(1, NONCE, "ssh")]


@pytest.mark.parametrize(
    "line",
    ["@harness-ready", f"@harness-ready {NONCE}", f"@harness-ready {NONCE} ssh",
     f"@harness-ready {NONCE[:8]}lo0: link state changed", f"@harness-ready {NONCE} telnet."],
)  # fmt: skip
def test_torn_ready_line_is_no_event(line: str) -> None:
    assert not [event for event in heard(f"{line}\n") if isinstance(event, ServiceReady)]


def test_ready_line_after_other_text_counts() -> None:
    events = heard(f"Starting sshd.@harness-ready {NONCE} ssh.\n")
    assert [type(event) for event in events] == [ServiceReady]


def test_ready_line_begins_the_stage_ssh() -> None:
    assert stage_after(Stage.INIT, ServiceReady(0, NONCE, "ssh")) is Stage.SSH


def test_report_alone_does_not_end_the_wait_for_a_world() -> None:
    watch = watched(ReportComplete(0, 9, NONCE))
    assert not watch.arrived
    assert watch.decision(30.0) is None


def test_ready_line_ends_the_wait_for_a_world() -> None:
    watch = watched(ReportComplete(0, 9, NONCE), ServiceReady(9, NONCE, "ssh"))
    assert watch.arrived
    assert watch.decision(1.0 + Limits().farewell) is Ending.STOPPED


def test_world_without_sshd_is_not_waited_for() -> None:
    watch = watched(ReportComplete(0, 9, NONCE), ServiceReady(9, NONCE, "nothing"))
    assert not watch.arrived
    assert watch.decision(1.0) is Ending.STOPPED


def test_panic_after_the_ready_line_counts() -> None:
    watch = watched(ServiceReady(9, NONCE, "ssh"), Panic(20, "vm_fault", 0))
    assert not watch.arrived


def test_guest_without_a_world_is_up_with_its_report() -> None:
    assert watched(ReportComplete(0, 9, NONCE), world=False).arrived


@pytest.mark.parametrize(
    ("service", "outcome"), [("ssh", Outcome.BOOTED), ("nothing", Outcome.ENDED)]
)
def test_boot_to_ssh_needs_sshd(service: str, outcome: Outcome) -> None:
    events = [ReportComplete(0, 9, NONCE), ServiceReady(9, NONCE, service)]
    verdict = judge(events, Ending.STOPPED, Until.SSH, first_stage=Stage.KERNEL)
    assert verdict.outcome is outcome


@pytest.mark.parametrize(
    ("method", "partition", "device"),
    [(BootMethod.DIRECT, "", "vtbd0"), (BootMethod.LOADER, "", "vtbd1"),
     (BootMethod.DIRECT, "p4", "vtbd0p4")],
)  # fmt: skip
def test_root_is_the_first_disk_after_the_loaders_volume(
    method: BootMethod, partition: str, device: str
) -> None:
    world = World(replace(IDENTITY, partition=partition), Path("/none"))
    assert world_tunables(method, world)["vfs.root.mountfrom"] == f"ufs:/dev/{device}"


def test_guest_without_a_world_has_no_root_on_a_disk() -> None:
    assert world_tunables(BootMethod.DIRECT, None) == {}
