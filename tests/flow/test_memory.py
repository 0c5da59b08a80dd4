"""However much a guest says, the harness stays small: below 150 MiB.

The whole harness is real, and runs as a program of its own. In QEMU's place is one that
connects to the console as QEMU does, says far too much, and switches itself off.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import Home, own_qemu

LIMIT_MIB = 150

SECONDS = 3500
"""More than a gibibyte takes on a busy host; nothing waits for all of it."""

#: QEMU's part: the versions, the sockets of its command line, the words of its QMP.
FLOODING_QEMU = """#!{python} -IS
import json, re, socket, sys, threading
if "--version" in sys.argv:
    sys.exit(print("QEMU emulator version 9"))
sockets = dict(re.findall("socket,id=([a-z0-9]*),fd=([0-9]*)", " ".join(sys.argv)))
control, console = (socket.socket(fileno=int(sockets[name])) for name in ("control", "serial0"))
control.sendall(b'{{"QMP": {{}}}}\\n')
def answer():
    for line in control.makefile("rb"):
        told = {{"return": {{"status": "running"}}, "id": json.loads(line).get("id")}}
        control.sendall(json.dumps(told).encode() + b"\\n")
threading.Thread(target=answer, daemon=True).start()
MIB = 1 << 20
for size, text in {flood}:
    block = text * (MIB // len(text) + 1)
    for _ in range(size):
        console.sendall(block)
control.sendall(b'{{"event": "SHUTDOWN", "data": {{"reason": "guest-shutdown"}}}}\\n')
"""

#: Runs a command and tells its own peak and that of its largest child, in KiB, as if both came
#: at once; what took QEMU's place is the smaller one.  A parent does not count.
MEASURED = """
import re, resource, sys
from harness.cli.main import run
code = run(sys.argv[2:])
status = open("/proc/self/status").read()
child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
open(sys.argv[1], "w").write(str(int(re.search(r"VmHWM:\\s*(\\d+) kB", status)[1]) + child))
sys.exit(code)
"""

BOOT = b"---<<BOOT>>---\r\n"
LONG_LINE = (100, b"x")
WORDS = b"atkbd0: [GIANT-LOCKED]\r\npci0: <memory, RAM> at device 1.0 (no driver attached)\r\n"

FLOODS = {
    "words": WORDS,
    "line ends": b"\n",
    "warnings": b"WARNING: 42 of them\r\n",
    "lock orders": b"lock order reversal:\r\n 1st 0x1 a (a) @ a.c:1\r\n 2nd 0x2 b (b) @ b.c:2\r\n",
    "panics": b"panic: again\r\ncpuid = 0\r\nKDB: stack backtrace:\r\n#0 0x1 at a+0x1\r\n",
    "frames": b"#0 0xffffffff80000000 at vpanic+0x151\r\n",
    "records": b"@harness 0000 begin version=1 guest=freebsd *00000000\r\n",
    "escapes": b"\x1b[2J\x1b[1;1H\x08\x08",
    "bad text": b"\xff\xfe\x00",
}


def peak_mib(home: Home, directory: Path, flood: list[tuple[int, bytes]]) -> float:
    """Boots a guest that says so many MiB of each text; gives the harness's peak."""
    assert home.run("build", "--source", "embedded").code == 0
    program = directory / "bin" / "qemu-system-x86_64"
    program.parent.mkdir()
    program.write_text(FLOODING_QEMU.format(python=sys.executable, flood=flood))
    program.chmod(0o755)
    peak = directory / "peak"
    words = ("boot", "--source", "embedded", "--accelerator", "tcg", "--timeout", str(SECONDS))
    finished = subprocess.run(
        [sys.executable, "-c", MEASURED, peak, *words, "-q", "--out", directory / "runs"],
        env={**home.env, **own_qemu(PATH=f"{program.parent}{os.pathsep}{home.env['PATH']}")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 3, finished.stderr  # it is no machine that was asked for
    (log,) = directory.glob("runs/*/*/console.log")
    assert log.stat().st_size >= sum(size for size, _ in flood) << 20
    return int(peak.read_text()) / 1024


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
def test_flood_of(shared_home: Home, tmp_path: Path, flood: bytes) -> None:
    assert peak_mib(shared_home, tmp_path, [(1, BOOT), (2, flood)]) < LIMIT_MIB


def test_line_of_100_mb(shared_home: Home, tmp_path: Path) -> None:
    assert peak_mib(shared_home, tmp_path, [(1, BOOT), LONG_LINE, (1, b"\n")]) < LIMIT_MIB


@pytest.mark.long
@pytest.mark.timeout(SECONDS + 100)
def test_console_of_a_gibibyte(shared_home: Home, tmp_path: Path) -> None:
    # In several stages of a boot: each has its own time, which a busy host needs.
    flood = [
        (1, BOOT), (256, WORDS),
        (1, b"FreeBSD/SMP: Multiprocessor System Detected: 2 CPUs\r\n"), (256, WORDS),
        LONG_LINE, (1, b"\n"),
        (1, b"pci0: <ACPI PCI bus> on pcib0\r\n"), (409, WORDS),
    ]  # fmt: skip
    assert peak_mib(shared_home, tmp_path, flood) < LIMIT_MIB
