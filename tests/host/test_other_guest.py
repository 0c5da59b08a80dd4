"""Guests that are not what was asked for: outcomes and exit codes.

A script stands in QEMU's place and starts another machine or another kernel, or shows the console
of another boot. Nothing of that may pass, and nothing of it may be the kernel's failure.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from cell_table import Table
from command import Home, Said

pytestmark = pytest.mark.guest

QEMU = "qemu-system-x86_64"
GUEST = ("--source", "embedded", "--accelerator", "tcg", "--numa", "2")
OLD_NONCE = "fedcba9876543210"
#: What sed(1) does to each word of QEMU's command line.
REWRITTEN = {
    "half the memory": "s/=1024M/=512M/; s/^2048M/1024M/",
    "CPUs in the other node": "s/=0,cpus=0,/=0,cpus=1,/; t; s/=1,cpus=1,/=1,cpus=0,/",
    "other distances": "s/dst=1,val=20/dst=1,val=31/",
    "an old nonce": f"s/harness.nonce=[0-9a-f]*/harness.nonce={OLD_NONCE}/",
    "no nonce": "s/harness.nonce=/other=/",
    "another kernel": "s,^/.*/kernel$,{other},",
}

WRAPPER = """#!{python} -IS
import os, re, subprocess, sys
words = [subprocess.run(["sed", {script!r}], input=word, text=True, capture_output=True).stdout
         if re.search("=|^[0-9]|^/", word) else word for word in sys.argv[1:]]
os.execv({qemu!r}, [{qemu!r}, *words])
"""

#: The machine is the one that was asked for, but the console comes from a file.
REPLAYER = """#!{python} -IS
import os, re, socket, sys
words = sys.argv[1:]
where = next(n for n, word in enumerate(words) if word.startswith("socket,id=serial0,"))
number = int(re.search("fd=([0-9]*)", words[where])[1])
words[where] = "null,id=serial0"
if os.fork() == 0:
    with socket.socket(fileno=number) as line, open({console!r}, "rb") as console:
        line.sendall(console.read())
        line.recv(1)
    os._exit(0)
os.close(number)
os.execv({qemu!r}, [{qemu!r}, *words])
"""


class Place:
    """A directory that comes first in PATH, with a program in QEMU's place."""

    def __init__(self, home: Home, directory: Path) -> None:
        self._home, self._directory = home, directory
        self._path = f"{directory}{os.pathsep}{home.env['PATH']}"
        self._qemu = next(
            str(path) for place in home.env["PATH"].split(os.pathsep)
            if (path := Path(place, QEMU)).exists()
        )  # fmt: skip

    def fill(self, text: str, **values: str) -> None:
        program = self._directory / QEMU
        program.write_text(text.format(python=sys.executable, qemu=self._qemu, **values))
        program.chmod(0o755)

    def run(self, *words: str | Path) -> Said:
        return self._home.run(*words, PATH=self._path)


@pytest.fixture
def place(shared_home: Home, tmp_path: Path) -> Place:
    return Place(shared_home, tmp_path)


@pytest.fixture(scope="session")
def other_kernel(shared_home: Home) -> Path:
    """The built-in guest before the commit, which comes up on one node."""
    assert shared_home.run("build", "--source", "embedded", "--mutant", "drop-commit").code == 0
    kernels = shared_home.cache.glob("kernels/*/identity.json")
    return next(
        path.with_name("kernel") for path in kernels if json.loads(path.read_text())["mutant"]
    )


def cells_of(said: Said) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(said.stdout)["cells"]
    return found


@pytest.mark.parametrize("fault", REWRITTEN)
def test_no_other_guest_passes(place: Place, other_kernel: Path, table: Table, fault: str) -> None:
    place.fill(WRAPPER, script=REWRITTEN[fault].replace("{other}", str(other_kernel)))
    one_node = ("--numa", "1") if fault == "another kernel" else ()
    said = place.run("boot", *GUEST, *one_node, "--json")
    (cell,) = cells_of(said)
    table.enter(fault, "boot", f"{cell['verdict']['outcome']}, {said.code}")
    assert (cell["verdict"]["outcome"], said.code) == ("unverified", 3)
    assert not cell["verified"]
    assert cell["verification"]["doubts"]
    assert cell["console"]


def test_console_of_another_boot_does_not_pass(
    place: Place, shared_home: Home, tmp_path: Path, table: Table
) -> None:
    said = shared_home.run("boot", *GUEST, "--json")
    (cell,) = cells_of(said)
    assert (cell["verified"], said.code) == (True, 0)
    run = json.loads(said.stdout)["name"]
    console = shared_home.runs / run / cell["name"] / "console.log"
    place.fill(REPLAYER, console=str(console))
    said = place.run("boot", *GUEST, "--json", "--timeout", "20")
    (cell,) = cells_of(said)
    assert cell["verdict"], cell["error"]
    table.enter("the console of another boot", "boot", f"{cell['verdict']['outcome']}, {said.code}")
    assert (cell["verdict"]["outcome"], said.code) == ("unverified", 3)
    assert "no report with this boot's nonce" in " ".join(cell["verification"]["doubts"])


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("boot", *GUEST, "--git-bisect"), 128),
        (("boot", *GUEST, "--mutant", "drop-commit"), 3),
        (("compare", *GUEST), 3),
        (("check", *GUEST, "--ops", "20"), 3),
    ],
    ids=["boot --git-bisect", "boot of a kernel that panics", "compare", "check"],
)
def test_no_command_takes_another_machine_for_the_one_asked_for(
    place: Place, table: Table, command: tuple[str, ...], code: int, request: pytest.FixtureRequest
) -> None:
    place.fill(WRAPPER, script=REWRITTEN["half the memory"])
    said = place.run(*command)
    table.enter("half the memory", request.node.callspec.id, f"{said.code}")
    assert said.code == code


def test_kernel_that_sees_another_machine_than_qemu_gave_it_fails(
    shared_home: Home, table: Table
) -> None:
    """The built-in guest with more CPUs than it has room for."""
    said = shared_home.run("boot", *GUEST, "--cpus", "33", "--json")
    (cell,) = cells_of(said)
    table.enter("none: the kernel differs", "boot", f"{cell['verdict']['outcome']}, {said.code}")
    assert (cell["verdict"]["outcome"], said.code) == ("differs", 1)
    assert cell["verified"]
    assert cell["disagreements"] == ["domain 1 has CPUs 33-63, not CPUs 33-65"]
