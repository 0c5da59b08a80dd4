"""What this host can do, what it lacks, and what killed harnesses have left on it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest
from fake_qemu import DIES, FakeQemu

from harness.cli.doctor import source_finding
from harness.cli.main import run
from harness.errors import InfraError
from harness.guest.accelerator_choice import choose_accelerator
from harness.guest.backends import find_about_backends
from harness.host.clock import HostClock
from harness.host.doctor import (
    HEADERS,
    LEAST_MEMORY,
    PROGRAMS,
    Doctor,
    HostFinding,
    can_do_main_job,
    missing_packages,
)
from harness.host.inuse import in_use
from harness.host.process import HostRunner
from harness.host.repair import sweep
from harness.host.workspace import Workspace
from harness.source.clone import unreachable

LIBVIRT = ("libvirtd", "virtlogd")


@dataclass(frozen=True)
class Host:
    """What a host has; everything, unless told otherwise."""

    programs: frozenset[str] = frozenset({*PROGRAMS, *LIBVIRT, "bwrap", "timeout"})
    headers: frozenset[str] = frozenset(HEADERS)
    llvms: Mapping[int, Path] = field(
        default_factory=lambda: {n: Path(f"/llvm-{n}/bin") for n in (14, 19)}
    )
    firmware: Path | None = Path("/OVMF.fd")
    memory: int = LEAST_MEMORY
    module: str | None = "12.8.0"

    def find_firmware(self) -> Path:
        if self.firmware is None:
            raise InfraError("no UEFI firmware")
        return self.firmware


class Examine(Protocol):
    """What the doctor finds on a host, whose accelerators it measures if told to."""

    def __call__(self, host: Host, *, measured: bool = False) -> list[HostFinding]: ...


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The workspace that the command line uses, too."""
    for name in ("CACHE_HOME", "STATE_HOME", "RUNTIME_DIR", "CONFIG_HOME"):
        monkeypatch.setenv(f"XDG_{name}", str(tmp_path / name))
    monkeypatch.delenv("HARNESS_SOURCE", raising=False)
    return Workspace.of_user()


@pytest.fixture
def qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeQemu:
    fake = FakeQemu.installed(tmp_path / "bin", monkeypatch)
    fake.behaves()
    return fake


@pytest.fixture
def examine(workspace: Workspace, qemu: FakeQemu) -> Examine:
    """What the doctor finds on a host with a working QEMU.

    Guests are started for a choice of the accelerator only where a test is about it.
    """
    compiler = qemu.directory / "cc"

    def measure(refresh: bool) -> str:
        return str(choose_accelerator(workspace, HostRunner(), HostClock(), refresh=refresh))

    def on(host: Host, *, measured: bool = False) -> list[HostFinding]:
        said = "".join(f"found {header}\n" for header in host.headers)
        compiler.write_text(f"#!/bin/sh\ncat >/dev/null\necho '{said}'\n")
        compiler.chmod(0o755)
        return Doctor(
            workspace=workspace,
            runner=HostRunner(),
            accelerator=measure if measured else lambda _: "tcg: assumed",
            firmware=host.find_firmware,
            llvms=lambda: host.llvms,
            program=lambda name: Path("/bin", name) if name in host.programs else None,
            module=lambda _: host.module,
            memory=lambda: host.memory,
            backends=find_about_backends,
        ).examine()

    return on


def failed(findings: list[HostFinding]) -> list[HostFinding]:
    return [finding for finding in findings if not finding.ok]


def test_host_with_everything_can_do_the_main_job(examine: Examine) -> None:
    findings = examine(Host(), measured=True)
    assert failed(findings) == []
    assert can_do_main_job(findings)
    found = {finding.name: finding.found for finding in findings}
    assert found["QEMU"] == "7.2.22"
    assert found["clang and lld 14"] == "/llvm-14/bin (best for FreeBSD 13)"
    assert found["accelerator"].startswith(("kvm: every result is right", "tcg: "))


@pytest.mark.parametrize(
    ("host", "packages"),
    [
        *(
            (Host(programs=Host().programs - {name}), [package])
            for name, package in PROGRAMS.items()
            if name != "cc"
        ),
        *((Host(headers=Host().headers - {name}), [pkg]) for name, pkg in HEADERS.items()),
        (Host(firmware=None), ["ovmf"]),
        (Host(programs=Host().programs - {"bwrap"}), ["bubblewrap"]),
        (Host(llvms={}), ["clang-14", "lld-14", "llvm-14"]),
        (Host(programs=Host().programs - {"cc"}), ["gcc"]),
    ],
)
def test_each_missing_thing_is_told_with_the_command_that_installs_it(
    examine: Examine, host: Host, packages: list[str]
) -> None:
    findings = examine(host)
    assert not can_do_main_job(findings)
    assert missing_packages(findings, needed=True) == packages
    (needed,) = (finding for finding in failed(findings) if finding.needed)
    assert needed.remedy == f"apt-get install {' '.join(packages)}"


def test_missing_qemu_names_its_package(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    doctor = Doctor(workspace, HostRunner(), str, Host().find_firmware, dict)
    first = doctor.examine()[0]
    assert (first.name, first.remedy) == ("QEMU", "apt-get install qemu-system-x86")


def test_qemu_that_runs_no_guest_is_told_as_such(examine: Examine, qemu: FakeQemu) -> None:
    qemu.behaves(kvm=DIES, tcg=DIES)
    (finding,) = failed(examine(Host(), measured=True))
    assert finding.name == "accelerator"
    assert "runs no guest on this host" in finding.found
    assert finding.needed


@pytest.mark.parametrize(
    ("host", "names"),
    [
        (Host(llvms={14: Path("/llvm-14/bin")}), ["clang and lld 19"]),
        (Host(llvms={16: Path("/llvm-16/bin")}), ["clang and lld 14", "clang and lld 19"]),
        (Host(programs=Host().programs - {"libvirtd"}), ["libvirtd"]),
        (Host(module=None), ["libvirt's Python module"]),
    ],
)
def test_optional_things_do_not_fail_it(examine: Examine, host: Host, names: list[str]) -> None:
    findings = examine(host)
    assert [finding.name for finding in failed(findings)] == names
    assert all(finding.remedy for finding in failed(findings))
    assert can_do_main_job(findings)


def test_too_little_memory_for_a_guest_fails_it(examine: Examine) -> None:
    (finding,) = failed(examine(Host(memory=LEAST_MEMORY - 1)))
    assert (finding.name, finding.needed) == ("memory", True)
    assert finding.remedy.startswith("end other programs")


@pytest.mark.usefixtures("qemu")
def test_real_compiler_is_asked_for_headers(workspace: Workspace) -> None:
    doctor = Doctor(workspace, HostRunner(), str, Host().find_firmware, dict)
    found = {finding.name: finding.ok for finding in doctor.examine()}
    for header in HEADERS:
        program = f"#include <{header}>\n".encode()
        compiles = HostRunner().run(
            ["cc", "-fsyntax-only", "-x", "c", "-"], stdin=program, check=False
        )
        assert found[header] == (compiles.returncode == 0)


class TestSource:
    """The configured source."""

    def test_url_that_answers_is_good(self, tmp_path: Path) -> None:
        subprocess.run(["git", "init", "-q", "--bare", tmp_path / "a.git"], check=True)
        made = ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty")
        work = ["git", f"--git-dir={tmp_path}/a.git", f"--work-tree={tmp_path}"]
        subprocess.run([*work, *made, "-m", "a"], check=True)
        found = source_finding(f"file://{tmp_path}/a.git", HostRunner())
        assert found.ok, found

    def test_url_that_does_not_answer_is_told_with_the_cause(self, tmp_path: Path) -> None:
        gone = source_finding(f"file://{tmp_path}/gone.git", HostRunner())
        assert (gone.ok, gone.needed) == (False, True)
        assert f"file://{tmp_path}/gone.git: " in gone.found
        assert "HARNESS_SOURCE" in gone.remedy

    def test_repository_that_stays_silent_is_not_waited_for(self, tmp_path: Path) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(1)
            url = f"git://127.0.0.1:{silent.getsockname()[1]}/src.git"
            assert "did not end within 0.5 s" in unreachable(url, HostRunner(), 0.5)

    def test_built_in_guest_is_told_apart(self) -> None:
        assert "not FreeBSD" in source_finding("embedded", HostRunner()).found

    def test_tree_says_its_release(self, tmp_path: Path) -> None:
        newvers = tmp_path / "sys/conf/newvers.sh"
        newvers.parent.mkdir(parents=True)
        newvers.write_text('REVISION="14.3"\nBRANCH="RELEASE-p2"\n')
        assert (
            source_finding(str(tmp_path), HostRunner()).found
            == f"{tmp_path}: FreeBSD 14.3-RELEASE-p2"
        )
        newvers.write_text('REVISION="12.4"\nBRANCH="RELEASE"\n')
        assert not source_finding(str(tmp_path), HostRunner()).ok

    def test_tree_that_is_not_there_fails_it(self, tmp_path: Path) -> None:
        finding = source_finding(str(tmp_path / "src"), HostRunner())
        assert not can_do_main_job([finding])
        assert "No such file or directory" in finding.found
        assert "source.tree" in finding.remedy


def leave_scratch(workspace: Workspace) -> Path:
    directory = workspace.cache / "scratch" / "guest-abc"
    directory.mkdir(parents=True)
    directory.with_name("guest-abc.lock").touch()
    return directory


def leave_socket(workspace: Workspace) -> Path:
    path = workspace.runtime / "numa2.console"
    workspace.runtime.mkdir(mode=0o700, parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    return path


def leave_kernel(workspace: Workspace) -> Path:
    directory = workspace.cache / "kernels" / ".0123.abcdef"
    directory.mkdir(parents=True)
    (directory / "kernel").write_bytes(b"\x7fELF")
    return directory


def leave_temporary(workspace: Workspace) -> Path:
    path = workspace.runs / "1" / f".verdict.json.{2**22 + 1}.tmp"  # above Linux' last pid
    path.parent.mkdir(parents=True)
    path.touch()
    return path


@pytest.mark.parametrize("leave", [leave_scratch, leave_socket, leave_kernel, leave_temporary])
def test_repair_removes_what_a_killed_harness_left_and_says_so(
    workspace: Workspace, leave: Callable[[Workspace], Path]
) -> None:
    leftover = leave(workspace)
    (sentence,) = sweep(workspace)
    assert str(leftover) in sentence
    assert not leftover.exists()
    assert sweep(workspace) == []


def test_repair_leaves_what_is_in_use(workspace: Workspace) -> None:
    kernel = leave_kernel(workspace)
    workspace.runtime.mkdir(mode=0o700, parents=True)
    console = workspace.runtime / "console"
    own = workspace.cache / f".accelerator.json.{os.getpid()}.tmp"
    own.touch()
    with (
        socket.socket(socket.AF_UNIX) as listener,
        workspace.scratch("guest") as scratch,
        in_use(kernel),
    ):
        listener.bind(str(console))
        assert sweep(workspace) == [f"kept {kernel}, which another process uses"]
        assert scratch.exists()
    assert all(path.exists() for path in (kernel, console, own))


@pytest.mark.usefixtures("workspace", "qemu")
def test_command_gives_a_document_and_the_exit_code_follows_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = run(["doctor", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == (0 if document["possible"] else 3)
    assert {"QEMU", "accelerator", "disk", "source"} <= {
        finding["name"] for finding in document["findings"]
    }


@pytest.mark.usefixtures("qemu")
def test_command_fails_on_a_tree_that_is_not_there(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HARNESS_SOURCE", str(workspace.cache / "src"))
    assert run(["doctor"]) == 3
    assert "this host cannot build, boot and compare FreeBSD kernels" in capsys.readouterr().out


def test_command_repairs(
    workspace: Workspace, qemu: FakeQemu, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["doctor"])
    assert "tcg" in qemu.guests()
    run(["doctor"])
    assert qemu.guests() == []
    leftover = leave_kernel(workspace)
    capsys.readouterr()
    run(["doctor", "--repair"])
    assert "tcg" in qemu.guests()
    assert f"repair: removed {leftover}" in capsys.readouterr().out.replace("\n", " ")
