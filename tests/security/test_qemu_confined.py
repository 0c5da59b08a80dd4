"""A guest that takes over its QEMU finds another user, no privileges, and no way to a program."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from attacker import AS_NOBODY, NOBODY, needs_root, open_python
from command import Home

from harness.errors import HarnessError
from harness.guest.qemu import QemuBackend
from harness.guest.serialtap import SerialTap
from harness.guest.spec import GuestSpec
from harness.guest.topology import Topology
from harness.host.accelerator import Accelerator
from harness.host.clock import HostClock
from harness.host.confinement import FIRST_UNUSED, LAST_UNUSED
from harness.host.process import HostRunner
from harness.host.staging import staged
from harness.image.media import DirectKernel

pytestmark = pytest.mark.guest

BOOT = ("boot", "--source", "embedded", "--accelerator", "tcg", "--numa", "2")
HANG = (*BOOT, "-v", "--tunable", "harness.plant=hang")


def status(process: psutil.Process) -> dict[str, str]:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def qemu_of(home: Home) -> psutil.Process:
    (found,) = [one for one in home.processes() if one.name().startswith("qemu-system")]
    return found


def assert_confined(process: psutil.Process) -> None:
    found = status(process)
    assert found["NoNewPrivs"] == "1"
    assert found["Seccomp"] == "2", "QEMU filters its system calls"
    held = {name: found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
    assert not any(int(value, 16) for value in held.values()), held
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    assert re.search(r"Max core file size +0 ", limits)
    assert re.search(r"Max file size +67108864 ", limits)
    assert re.search(r"Max open files +\d{1,4} ", limits)
    assert re.search(r"Max address space +\d+ +\d+ ", limits)


def assert_of_nobody_else(process: psutil.Process) -> None:
    found = status(process)
    (uid,) = set(found["Uid"].split())
    assert FIRST_UNUSED <= int(uid) <= LAST_UNUSED
    assert set(found["Gid"].split()) == {uid}
    assert found["Groups"].split() == []
    assert int(found["CapBnd"], 16) == 0
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    assert re.search(r"Max processes +130 ", limits)


def test_qemu_of_a_running_guest_is_confined(home: Home) -> None:
    with home.started(*HANG) as running:
        running.wait_for_words("none-numa2: kernel at")
        qemu = qemu_of(home)
        assert_confined(qemu)
        if os.geteuid() == 0:
            assert_of_nobody_else(qemu)


def test_a_kept_guest_stays_confined_and_a_later_harness_finds_and_ends_it(home: Home) -> None:
    assert home.run(*BOOT, "--keep").code == 0
    qemu = qemu_of(home)
    assert_confined(qemu)
    if os.geteuid() == 0:
        assert_of_nobody_else(qemu)
    assert "none-numa2" in home.run("ps").stdout
    assert "The operating system has halted." in home.run("console").stdout
    assert home.run("stop").code == 0
    home.wait_until_nothing_runs()


@needs_root
def test_two_guests_are_two_users(home: Home) -> None:
    assert home.run(*BOOT, "--keep").code == 0
    assert home.run(*BOOT, "--keep").code == 0
    users = {one.uids().real for one in home.processes() if one.name().startswith("qemu-system")}
    assert home.run("stop", "--all").code == 0
    assert len(users) == 2


@needs_root
def test_the_settings_name_the_user(home: Home) -> None:
    home.configure('[qemu]\nuser = "nobody"\n')
    with home.started(*HANG) as running:
        running.wait_for_words("none-numa2: kernel at")
        qemu = qemu_of(home)
        assert qemu.uids() == (NOBODY, NOBODY, NOBODY)
        assert_confined(qemu)
    home.configure('[qemu]\nuser = "no-such-user"\n')
    said = home.run(*BOOT)
    assert said.code == 2
    assert "setting qemu.user: there is no user 'no-such-user'" in said.error


@needs_root
def test_a_strict_umask_and_a_private_kernel_are_no_obstacle(home: Home) -> None:
    before = os.umask(0o077)
    try:
        assert home.run(*BOOT).code == 0
        kernel = home.directory / "kernel"
        (built,) = home.cache.glob("kernels/*/kernel")
        shutil.copyfile(built, kernel)
        said = home.run("boot", "--kernel", kernel, "--accelerator", "tcg")
    finally:
        os.umask(before)
    assert "cannot" not in said.stderr
    assert "Permission denied" not in said.stdout + said.stderr
    assert kernel.stat().st_mode & 0o777 == 0o600
    assert kernel.stat().st_uid == 0


@pytest.fixture
def stolen(home: Home) -> tuple[QemuBackend, GuestSpec]:
    """A guest whose control socket the test holds, as somebody might who has taken over QEMU."""
    assert home.run("build", "--source", "embedded").code == 0
    (kernel,) = home.cache.glob("kernels/*/kernel")
    backend = QemuBackend(HostRunner(), HostClock())
    identity = backend.identity(Accelerator.TCG)
    place = home.directory / "guest"
    place.mkdir(mode=0o700)
    media = DirectKernel(staged(kernel, place, identity), "harness.plant=hang")
    spec = GuestSpec(
        "stolen", Topology.even(1, memory_mib_per_node=64), media, Accelerator.TCG, None,
        home.directory / "console", identity=identity,
    )  # fmt: skip
    return backend, spec


def test_migrate_exec_runs_nothing(stolen: tuple[QemuBackend, GuestSpec]) -> None:
    """The way by which a stolen control socket ran commands as root."""
    backend, spec = stolen
    with tempfile.TemporaryDirectory() as name, SerialTap(spec.console_socket):
        proof = Path(name, "proof")
        Path(name).chmod(0o777)
        guest = backend.start(spec)
        try:
            try:
                guest.query("migrate", {"uri": f"exec:id > {proof}; cat"})
                guest.query("query-migrate")
            except HarnessError:
                pass  # QEMU refuses, or its sandbox has ended it
            assert guest.wait(1.0) is None or not proof.exists()
            assert not proof.exists()
        finally:
            guest.destroy()


@needs_root
def test_an_ordinary_user_boots_a_confined_guest() -> None:
    with tempfile.TemporaryDirectory(prefix="home") as name:
        os.chown(name, NOBODY, NOBODY)
        script = (
            "import os, sys; os.environ.update(HOME=sys.argv[1], XDG_RUNTIME_DIR='',"
            " XDG_CACHE_HOME='', XDG_STATE_HOME='', XDG_CONFIG_HOME='', TMPDIR=sys.argv[1]);"
            " sys.argv[1:2] = []; from harness.cli.main import main; main()"
        )
        runner = HostRunner()
        python = open_python()
        path = {"PYTHONPATH": os.pathsep.join(sys.path)}
        words = [*AS_NOBODY, python, "-c", script, name]
        probe = [*AS_NOBODY, python, "-c", "import harness.cli.main, psutil, msgspec"]
        if runner.run(probe, cwd=Path("/"), env=path, check=False).returncode:
            pytest.skip("the harness is installed where only root may read it")
        kept = runner.run([*words, *BOOT, "--keep"], cwd=Path("/"), env=path, check=False)
        assert kept.returncode == 0, kept.stderr
        try:
            (qemu,) = [
                one
                for one in psutil.process_iter()
                if one.name().startswith("qemu-system") and one.uids().real == NOBODY
                and name in one.environ().get("TMPDIR", "")
            ]  # fmt: skip
            assert_confined(qemu)
        finally:
            ended = runner.run([*words, "stop"], cwd=Path("/"), env=path, check=False)
        assert ended.returncode == 0, ended.stderr
