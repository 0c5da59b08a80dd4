"""A kernel before and after its fix, on guests with 1, 2 and 4 NUMA nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.guest.topology import Topology
    from harness.plugin.guest import SharedGuest, TestedKernel


@pytest.mark.guest(numa=[1, 2, 4], before_after=True, mutant="drop-commit")
def test_the_fix_lets_the_kernel_boot_on_every_topology(
    guest: SharedGuest, kernel: TestedKernel, topology: Topology
) -> None:
    if kernel.side == "before" and len(topology.nodes) > 1:
        with guest.panic_expected("vm_map_entry_create"):
            guest.boot()
    else:
        assert int(guest.sysctl("vm.ndomains")) == len(topology.nodes)


@pytest.mark.guest(numa=2)
def test_commands_run_in_the_guest(guest: SharedGuest) -> None:
    finished = guest.run("echo two nodes")
    assert (finished.status, finished.stdout) == (0, b"two nodes\n")
    assert guest.run("no-such-program").status == 127


@pytest.mark.guest(numa=2)
def test_an_expected_panic_passes(guest: SharedGuest) -> None:
    with guest.panic_expected() as panic:
        guest.run("panic")
    assert panic.failure is not None
    assert any("panic" in frame.function for frame in panic.failure.frames)


@pytest.mark.guest(numa=2)
def test_the_next_test_gets_another_guest(guest: SharedGuest, topology: Topology) -> None:
    guest.boot()
    assert "panic:" not in guest.console
    assert int(guest.sysctl("hw.ncpu")) == topology.cpus
