"""FreeBSD runs commands from init, and a user's tests on every topology."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.runs.environment import Environment
from harness.runs.guests import GuestRequest
from harness.runs.session import SessionRequest, open_session
from harness.sanitizers import parse_sanitizers
from harness.shell.shell import ShellRefusedError
from harness.source.request import KernelRequest

pytestmark = pytest.mark.freebsd

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_init_runs_commands_until_the_kernel_panics(freebsd_tree: Path, tmp_path: Path) -> None:
    what, guest = KernelRequest(str(freebsd_tree)), GuestRequest(numa="2")
    request = SessionRequest(what, guest, parse_sanitizers("kasan"))
    sent, got = tmp_path / "sent", tmp_path / "got"
    sent.write_bytes(bytes(range(256)) * 3)
    with open_session(request, Environment.of_user(tmp_path / "runs")) as session:
        assert session.sysctl("vm.ndomains") == "2"
        assert session.sysctl("kern.ostype") == "FreeBSD"
        assert session.run("sysctl kern.maxprocperuid=500").stdout.endswith(b"-> 500\n")
        assert session.run("sysctl no.such").status == 1
        session.run("mkdir /dir")
        session.put(sent, "/dir/file")
        session.get("/dir/file", got)
        assert got.read_bytes() == sent.read_bytes()
        with pytest.raises(ShellRefusedError, match="No such file or directory"):
            session.get("/dir/none", got)
        with session.panic_expected("kdb_sysctl_panic") as panic:
            session.run("panic")
    assert panic.failure is not None
    assert any(frame.file == "sys/kern/subr_kdb.c" for frame in panic.failure.frames)


@pytest.mark.long
@pytest.mark.parametrize("workers", ["0", "2"])
def test_the_examples_hold_on_freebsd(freebsd_tree: Path, tmp_path: Path, workers: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", EXAMPLES, f"-n{workers}", "--dist=load", "-p",
         "no:cacheprovider", f"--harness-source={freebsd_tree}", "--harness-kasan",
         f"--harness-out={tmp_path}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout
    assert "9 passed" in finished.stdout
