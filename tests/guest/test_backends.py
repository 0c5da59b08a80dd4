"""Both backends give the guest the same machine, and leave nothing running."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from backend_guests import (
    BACKENDS,
    SECONDS,
    MakeBackend,
    acpi_table,
    boot,
    daemons,
    guest_spec,
    listening,
    plenty,
    qemus,
    query,
    slit_distances,
    srat_cpus,
    srat_memory,
    until,
)
from embedded_guest import Kernels

from harness.errors import InfraError, UsageError
from harness.guest.backend import Backend, Guest, GuestEnding
from harness.guest.libvirt import LibvirtBackend
from harness.guest.memory import MIB
from harness.guest.qemu import QemuBackend
from harness.guest.spec import GuestSpec
from harness.guest.topology import Topology
from harness.guest.vmconfig import load_vmconfig, vmconfig_names
from harness.host.clock import HostClock
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.image.embedded import CommitSide
from harness.image.media import DirectKernel, EfiDirectory
from harness.sanitizers import NONE

pytestmark = pytest.mark.guest

LAYOUTS = [name for name in vmconfig_names() if not name.endswith("-kmsan")]
"""The KMSAN guests differ from others in the size of their nodes only."""


VGA_HOLE = 384 * 1024
"""From 640 KiB to 1 MiB: memory of the first node that QEMU's SRAT does not mention."""


@pytest.fixture
def endless(directory: Path) -> GuestSpec:
    """A guest that stays in its firmware, since there is nothing to boot."""
    media = directory / "media"
    media.mkdir()
    return guest_spec(directory, Topology.even(1, memory_mib_per_node=128), EfiDirectory(media))


def embedded(
    directory: Path, kernels: Kernels, variant: CommitSide = CommitSide.AFTER, nodes: int = 2
) -> GuestSpec:
    kernel = DirectKernel(kernels(variant, NONE))
    return guest_spec(directory, Topology.even(nodes, memory_mib_per_node=64), kernel)


# The machine


@pytest.mark.parametrize("name", LAYOUTS)
def test_both_backends_give_the_guest_the_same_tables_and_those_are_the_layout(
    name: str, make_backend: MakeBackend, kernels: Kernels, directory: Path
) -> None:
    topology = load_vmconfig(name).topology
    kernel = DirectKernel(kernels(CommitSide.AFTER, NONE))
    spec = guest_spec(directory, topology, kernel, name)
    tables = {}
    for backend in BACKENDS:
        report, _ = boot(make_backend(backend), spec)
        records = report.records("table")
        tables[backend] = (acpi_table(records, "SRAT"), acpi_table(records, "SLIT"))
    assert tables["qemu"] == tables["libvirt"]
    srat, slit = tables["qemu"]
    assert srat_cpus(srat) == {
        cpu: node for node, cpus in enumerate(topology.cpu_ids()) for cpu in cpus
    }
    memory = {i: node.memory_mib * MIB for i, node in enumerate(topology.nodes) if node.memory_mib}
    memory[min(memory)] -= VGA_HOLE
    assert srat_memory(srat) == memory
    assert slit_distances(slit) == (topology.distances if len(topology.nodes) > 1 else ())


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_serial_port_has_its_own_socket(
    backend: str, make_backend: MakeBackend, endless: GuestSpec, directory: Path
) -> None:
    spec = GuestSpec(
        **{
            **{name: getattr(endless, name) for name in endless.__dataclass_fields__},
            "serial_sockets": (directory / "com2",),
        }
    )
    with listening(spec.console_socket) as console, listening(directory / "com2") as second:
        guest = make_backend(backend).start(spec)
        try:
            until(lambda: console.data)
            assert not second.closed.is_set()
        finally:
            guest.destroy()
        assert second.closed.wait(SECONDS)


# How guests end


@pytest.mark.parametrize("backend", BACKENDS)
def test_powering_off_and_resetting_are_told_apart(
    backend: str, make_backend: MakeBackend, kernels: Kernels, directory: Path
) -> None:
    after, ended_after = boot(make_backend(backend), embedded(directory, kernels))
    before, ended_before = boot(
        make_backend(backend), embedded(directory, kernels, CommitSide.BEFORE)
    )
    assert after.panic is None
    assert ended_after.ending is GuestEnding.POWEROFF
    assert before.panic
    assert ended_before.ending is GuestEnding.RESET


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_guest_is_inspected_before_it_runs_and_cannot_end_meanwhile(
    backend: str, make_backend: MakeBackend, endless: GuestSpec
) -> None:
    with listening(endless.console_socket) as console:
        seen = []

        def inspect(guest: Guest) -> None:
            time.sleep(1)
            seen.append((query(guest, "query-status")["running"], bytes(console.data)))

        guest = make_backend(backend).start(endless, inspect=inspect)
        try:
            until(lambda: console.data)
            assert seen == [(False, b"")]
            assert guest.stop_state() is None
        finally:
            guest.destroy()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_guest_that_we_end_is_killed_and_gone(
    backend: str, make_backend: MakeBackend, endless: GuestSpec
) -> None:
    with listening(endless.console_socket) as console:
        guest = make_backend(backend).start(endless)
        until(lambda: console.data)
        assert guest.wait(0.0) is None
        guest.destroy()
        assert not qemus(endless)
        ended = guest.wait(SECONDS)
        assert ended is not None
        assert ended.ending is GuestEnding.KILLED
        guest.destroy()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_qemu_that_dies_has_crashed(
    backend: str, make_backend: MakeBackend, endless: GuestSpec
) -> None:
    with listening(endless.console_socket):
        guest = make_backend(backend).start(endless)
        (qemu,) = qemus(endless)
        qemu.send_signal(signal.SIGSEGV)
        ended = guest.wait(SECONDS)
        assert ended is not None
        assert ended.ending is GuestEnding.CRASHED
        if backend == "qemu":
            assert ended.returncode == -signal.SIGSEGV


@pytest.mark.parametrize("backend", BACKENDS)
def test_qemu_answers_queries_and_tells_that_it_has_stopped_the_guest(
    backend: str, make_backend: MakeBackend, endless: GuestSpec
) -> None:
    with listening(endless.console_socket) as console:
        guest = make_backend(backend).start(endless)
        try:
            until(lambda: console.data)
            (qemu,) = qemus(endless)
            assert guest.pid == qemu.pid
            assert query(guest, "query-status")["status"] == "running"
            assert len(query(guest, "query-cpus-fast")) == 1
            assert guest.stop_state() is None
            query(guest, "stop")
            assert guest.stop_state() == "paused"
            query(guest, "cont")
            assert guest.stop_state() is None
            with pytest.raises(InfraError, match="QEMU refused no-such-query"):
                query(guest, "no-such-query")
        finally:
            guest.destroy()


HARNESS = """
import sys, time
from pathlib import Path
from harness.guest.libvirt import LibvirtBackend
from harness.guest.qemu import QemuBackend
from harness.guest.topology import Topology
from harness.host.clock import HostClock
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.image.media import EfiDirectory
from backend_guests import guest_spec, listening

name, root, directory, keep = sys.argv[1:]
paths = [Path(root, part) for part in ("cache", "state", "run")]
runner, clock = HostRunner(), HostClock()
backend = QemuBackend(runner, clock) if name == "qemu" else LibvirtBackend(
    runner, clock, Workspace(*paths), idle_seconds=2
)
topology = Topology.even(1, memory_mib_per_node=128)
spec = guest_spec(Path(directory), topology, EfiDirectory(Path(directory, "media")))
with listening(spec.console_socket) as console:
    guest = backend.start(spec, keep=keep == "keep")
    while not console.data:
        time.sleep(0.05)
    print("running", flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def other_harness(backend: str, root: Path, directory: Path, keep: str) -> Iterator[None]:
    """Another process with a guest, killed with SIGKILL at the end."""
    here = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path])}
    words = [sys.executable, "-c", HARNESS, backend, str(root), str(directory), keep]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"running\n"
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_guest_is_gone_when_its_harness_was_killed(
    backend: str, workspace: Workspace, endless: GuestSpec, directory: Path
) -> None:
    with other_harness(backend, workspace.cache.parent, directory, "end"):
        assert qemus(endless)
    until(lambda: not qemus(endless))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_guest_to_be_kept_outlives_its_harness(
    backend: str, workspace: Workspace, endless: GuestSpec, directory: Path
) -> None:
    with other_harness(backend, workspace.cache.parent, directory, "keep"):
        (qemu,) = qemus(endless)
    with pytest.raises(psutil.TimeoutExpired):
        qemu.wait(1.0)
    qemu.terminate()
    until(lambda: not qemus(endless))


# The daemon for root

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="an ordinary user has libvirt's own session daemon"
)


@needs_root
def test_all_harnesses_share_one_daemon_that_goes_away_when_unused(
    make_backend: MakeBackend, workspace: Workspace, kernels: Kernels, directory: Path
) -> None:
    root = workspace.cache.parent
    specs = []
    for number in range(2):
        (directory / str(number)).mkdir()
        specs.append(embedded(directory / str(number), kernels))
    endings = []

    def run(spec: GuestSpec) -> None:
        endings.append(boot(make_backend("libvirt"), spec)[1].ending)

    until(lambda: not daemons(root))
    threads = [threading.Thread(target=run, args=(spec,)) for spec in specs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert endings == [GuestEnding.POWEROFF] * 2
    assert len(daemons(root)) == 1
    until(lambda: not daemons(root))


@needs_root
def test_a_daemon_that_dies_is_the_hosts_failure_and_leaves_no_guest(
    make_backend: MakeBackend, workspace: Workspace, endless: GuestSpec, kernels: Kernels,
    directory: Path, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with listening(endless.console_socket) as console:
        guest = make_backend("libvirt").start(endless)
        until(lambda: console.data)
        (daemon,) = daemons(workspace.cache.parent)
        daemon.kill()
        with pytest.raises(InfraError, match="lost libvirtd at qemu") as lost:
            guest.wait(SECONDS)
        assert "--backend qemu" in lost.value.remedy
        with pytest.raises(InfraError, match="lost libvirtd at qemu"):
            guest.stop_state()  # as it is looked at while a guest prints without a pause
        guest.destroy()
        until(lambda: not qemus(endless))
    _, ended = boot(make_backend("libvirt"), embedded(directory, kernels))
    assert ended.ending is GuestEnding.POWEROFF
    assert capfd.readouterr() == ("", "")


# What the host lacks


def test_a_libvirt_that_is_not_there_is_the_hosts_failure_without_noise(
    workspace: Workspace, endless: GuestSpec, capfd: pytest.CaptureFixture[str]
) -> None:
    uri = "qemu+unix:///session?socket=/nonexistent/libvirt-sock"
    backend = LibvirtBackend(HostRunner(), HostClock(), workspace, uri=uri, available=plenty)
    with pytest.raises(InfraError) as refused:
        backend.start(endless)
    assert uri in refused.value.message
    assert "No such file or directory" in refused.value.message
    assert "--libvirt-uri" in refused.value.remedy
    assert capfd.readouterr() == ("", "")


def test_a_libvirt_of_another_host_is_refused_since_it_cannot_reach_the_console(
    workspace: Workspace, endless: GuestSpec
) -> None:
    uri = "qemu+ssh://elsewhere/system"
    backend = LibvirtBackend(HostRunner(), HostClock(), workspace, uri=uri, available=plenty)
    with pytest.raises(UsageError) as refused:
        backend.start(endless)
    assert uri in refused.value.message
    assert "this host" in refused.value.remedy


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_missing_qemu_is_named_with_its_package(
    backend: str, make_backend: MakeBackend, endless: GuestSpec, directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    tools = directory / "bin"
    tools.mkdir()
    for program in ("unshare", "prlimit", "setpriv", "libvirtd"):
        path = shutil.which(program, path="/usr/bin:/usr/sbin:/bin:/sbin")
        assert path is not None
        (tools / program).symlink_to(path)
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(InfraError, match="qemu-system-x86_64 is not installed") as refused:
        make_backend(backend).start(endless)
    assert "qemu-system-x86" in refused.value.remedy


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_qemu_that_refuses_to_start_is_quoted(
    backend: str, make_backend: MakeBackend, directory: Path
) -> None:
    not_a_kernel = directory / "kernel"
    not_a_kernel.write_bytes(b"not a kernel" * 1000)
    spec = guest_spec(
        directory, Topology.even(1, memory_mib_per_node=64), DirectKernel(not_a_kernel)
    )
    with listening(spec.console_socket), pytest.raises(InfraError) as refused:
        make_backend(backend).start(spec)
    assert "invalid kernel header" in str(refused.value)
    assert refused.value.remedy
    assert not qemus(spec)


@pytest.mark.parametrize("backend", BACKENDS)
def test_memory_the_host_does_not_have_is_refused_with_the_figures(
    backend: str, workspace: Workspace, endless: GuestSpec
) -> None:
    runner, clock = HostRunner(), HostClock()
    refusing: Backend
    if backend == "qemu":
        refusing = QemuBackend(runner, clock, available=lambda: 200 * MIB)
    else:
        refusing = LibvirtBackend(runner, clock, workspace, available=lambda: 200 * MIB)
    with pytest.raises(InfraError, match="more memory than the host has") as refused:
        refusing.start(endless)
    assert "384 MiB (128 MiB in 1 nodes" in refused.value.message
    assert "200 MiB are available" in refused.value.message
    assert "fewer nodes" in refused.value.remedy


@pytest.mark.parametrize("backend", BACKENDS)
def test_describing_a_guest_starts_nothing(
    backend: str, make_backend: MakeBackend, workspace: Workspace, endless: GuestSpec
) -> None:
    text = make_backend(backend).describe(endless)
    assert str(endless.console_socket) in text
    assert not qemus(endless)
