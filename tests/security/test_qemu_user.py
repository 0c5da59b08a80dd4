"""Whom root's guests run as where no user id of their own can be had, and who may use KVM.

KVM is TCG in truth (``fake_kvm.py``), and its device another one: what counts is who opens it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import fake_kvm
import psutil
import pytest
from attacker import NOBODY, needs_root, open_python
from command import GLANCE, PROGRAM, Home, Said
from own_mounts import DEVICES, in_namespace, mounts_as_root
from test_qemu_confined import assert_confined, qemu_of, status

from harness.host.confinement import FIRST_UNUSED, LAST_UNUSED

pytestmark = [pytest.mark.guest, needs_root]

BOOT = ("boot", "--source", "embedded", "--json")
GROUP = 4242

#: As many as a container is commonly given: none that is unused by the rest of a system.
FEW_USERS = f"0 0 {NOBODY + 2}\n"


def with_few_users(home: Home, *words: str) -> Said:
    """A harness that is root among those users alone (user_namespaces(7))."""
    process = subprocess.Popen(
        ["unshare", "--user", "sh", "-c", 'read -r go && exec "$@"', "sh", *PROGRAM, *words],
        env=dict(home.env), cwd=home.directory, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    namespace = Path(f"/proc/{process.pid}/ns/user")
    ours = os.readlink("/proc/self/ns/user")
    while process.poll() is None and os.readlink(namespace) == ours:
        time.sleep(GLANCE)
    if process.poll() is None:
        for table in ("uid_map", "gid_map"):
            Path(f"/proc/{process.pid}/{table}").write_text(FEW_USERS)
    stdout, stderr = process.communicate("go\n")
    if stderr.startswith("unshare: "):
        pytest.skip(f"no user namespaces here: {stderr}")
    return Said(process.returncode, stdout, stderr)


def test_a_guest_is_nobody_where_no_user_id_of_its_own_can_be_had(home: Home) -> None:
    said = with_few_users(home, *BOOT, "--accelerator", "tcg", "--keep")
    assert said.code == 0, said.stderr
    qemu = qemu_of(home)
    found = status(qemu)
    assert set(found["Uid"].split()) == {str(NOBODY)}
    assert set(found["Gid"].split()) == {str(NOBODY)}
    assert found["Groups"].split() == []
    assert_confined(qemu)
    assert int(found["CapBnd"], 16) == 0
    assert home.run("stop").code == 0
    home.wait_until_nothing_runs()


@pytest.fixture
def path() -> Iterator[str]:
    """A PATH with a QEMU that any user may start, whose KVM is fast and right."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        program = shutil.copyfile(fake_kvm.__file__, directory / "fake_kvm.py")
        guest = fake_kvm.command(python=open_python(), file=str(program))
        yield fake_kvm.install_probed(directory / "bin", fake_kvm.GOOD, fake_kvm=guest)


def device(group: int, mode: str) -> str:
    """A /dev with null(4) in the place of KVM's device, of that group and mode."""
    return f"{DEVICES}\nmknod /dev/kvm c 1 3\nchown 0:{group} /dev/kvm\nchmod {mode} /dev/kvm"


def told_by_doctor(home: Home, mounts: str, path: str) -> str:
    """What it says of the accelerator, once the host is not too busy to measure."""
    while "too busy" in (told := in_namespace(home, mounts, "doctor", PATH=path).stdout):
        pass
    return told


def accelerator(said: Said) -> str:
    (cell,) = json.loads(said.stdout)["cells"]
    return str(cell["accelerator"])


@mounts_as_root
@pytest.mark.parametrize(
    ("group", "mode", "groups"), [(GROUP, "660", [str(GROUP)]), (GROUP, "666", [str(GROUP)]),
                                  (0, "666", [])],
)  # fmt: skip
def test_a_guest_under_kvm_is_in_the_group_of_its_device_and_in_no_other(
    home: Home, path: str, group: int, mode: str, groups: list[str]
) -> None:
    mounts = device(group, mode)
    assert "kvm: " in told_by_doctor(home, mounts, path)
    said = in_namespace(home, mounts, *BOOT, "--keep", PATH=path)
    assert said.code == 0, said.stderr
    assert accelerator(said) == "kvm"
    qemu: psutil.Process = qemu_of(home)
    found = status(qemu)
    assert FIRST_UNUSED <= int(found["Uid"].split()[0]) <= LAST_UNUSED
    assert set(found["Gid"].split()) == set(found["Uid"].split())
    assert found["Groups"].split() == groups
    assert_confined(qemu)
    assert home.run("stop").code == 0
    home.wait_until_nothing_runs()


@mounts_as_root
@pytest.mark.parametrize(
    ("group", "mode"), [(GROUP, "600"), (GROUP, "640"), (GROUP, "604"), (0, "660")]
)
def test_where_the_group_is_not_enough_tcg_is_taken_and_the_reason_told(
    home: Home, path: str, group: int, mode: str
) -> None:
    mounts = device(group, mode)
    told = " ".join(told_by_doctor(home, mounts, path).split())
    assert "tcg: guests run as an unprivileged user, who cannot use /dev/kvm" in told
    assert f"(mode 0{mode}, group {group}; to change that: chgrp kvm /dev/kvm; " in told
    said = in_namespace(home, mounts, *BOOT, "--keep", PATH=path)
    assert (said.code, accelerator(said)) == (0, "tcg"), said.stderr
    assert status(qemu_of(home))["Groups"].split() == []
    assert home.run("stop").code == 0
