"""Faults of the host: the exit code of each command while QEMU, disk or cache misbehaves.

0 takes proof of the guest, 1 evidence of the kernel; what remains is 3, with --git-bisect 128.
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cell_table import Table
from command import GLANCE, SECONDS, Home, Said, own_qemu
from embedded_history import EmbeddedHistory
from faked_qemu import Fault, install
from own_mounts import DEVICES, in_namespace, mounts_as_root

pytestmark = pytest.mark.guest

TCG = ("--accelerator", "tcg", "--numa", "2")
BOOT = ("boot", "--source", "embedded", *TCG)
PANICS = (*BOOT, "--mutant", "drop-commit")

COMMANDS: dict[str, tuple[str, ...]] = {
    "boot": BOOT,
    "boot --git-bisect": (*BOOT, "--git-bisect"),
    "compare": ("compare", "--source", "embedded", *TCG),
    "check": ("check", "--source", "embedded", *TCG, "--ops", "50"),
    "bisect": ("bisect", "--good", "first", "--bad", "main", *TCG),
    "mutants": ("mutants", "--source", "embedded", *TCG, "--baseline", "2", "--ops", "50"),
}

#: In the middle of the kernel's boot, and of all that it prints (3,5 kB).
BOOTING = 600

HALF_THE_MEMORY = (("2048M", "1024M"), ("size=1024M", "size=512M"))
EXCHANGED_CPUS = (("cpus=0,", "cpus=X,"), ("cpus=1,", "cpus=0,"), ("cpus=X,", "cpus=1,"))


@dataclass(frozen=True)
class Case:
    """A fault, and whether the commands reach their verdict nevertheless."""

    fault: Fault
    harmless: bool = False


CASES = {
    "none": Case(Fault(), harmless=True),
    "QEMU starts late": Case(Fault(delay=2), harmless=True),
    "QEMU stopped for 2 s": Case(Fault("pause", BOOTING), harmless=True),
    "QEMU does not start": Case(Fault(status=1, words="out of memory")),
    "QEMU is killed": Case(Fault("kill", BOOTING)),
    "QEMU crashes": Case(Fault("crash", BOOTING)),
    "QEMU is told to quit": Case(Fault("quit", BOOTING)),
    "QEMU is told to pause": Case(Fault("halt", BOOTING)),
    "KVM internal error": Case(Fault("halt", BOOTING, words="KVM internal error. Suberror: 1")),
    "QEMU stopped": Case(Fault("stop", BOOTING)),
    "other memory": Case(Fault(edits=HALF_THE_MEMORY)),
    "other CPUs": Case(Fault(edits=EXCHANGED_CPUS)),
}

#: Faults that differ little from others.
LIKE_OTHERS = {"QEMU crashes", "QEMU is told to quit"}


def in_ci(name: str, command: str) -> bool:
    """One fault with all commands, the others with one; git-bisect's boot is tried three times."""
    return name == "QEMU is killed" or (command == "boot" and name not in LIKE_OTHERS)


CELLS = [
    pytest.param(
        name, command, id=f"{command}, {name}",
        marks=[] if in_ci(name, command) else pytest.mark.long,
    )
    for name in CASES
    for command in COMMANDS
]  # fmt: skip


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two revisions; the second panics."""
    made = EmbeddedHistory(tmp_path_factory.mktemp("history") / "guest")
    made.break_it()
    return made.directory


@dataclass(frozen=True)
class Faulty:
    """Runs commands with a fault, and enters what came of it into the table."""

    home: Home
    table: Table
    directory: Path
    history: Path

    def run(self, name: str, fault: Fault, command: str, *words: str) -> Said:
        source = ("--source", str(self.history)) if command == "bisect" else ()
        path = install(self.directory / "bin", fault)
        said = self.home.run(*COMMANDS[command], *source, *words, "--json", PATH=path)
        self.table.enter(name, command, f"{said.code} {outcomes(said)}".strip())
        return said


def outcomes(said: Said) -> str:
    """What the guests came to, in one word each, if they all came to the same one of them."""
    try:
        cells = json.loads(said.stdout)["cells"]
    except (ValueError, KeyError, TypeError):
        return ""
    found = {cell["verdict"]["outcome"] if cell["verdict"] else "-" for cell in cells}
    return "/".join(sorted(found))


@pytest.fixture
def faulty(shared_home: Home, table: Table, tmp_path: Path, history: Path) -> Faulty:
    return Faulty(shared_home, table, tmp_path, history)


@pytest.mark.parametrize(("name", "command"), CELLS)
def test_only_evidence_of_guest_or_kernel_gives_0_or_1(
    faulty: Faulty, name: str, command: str
) -> None:
    case = CASES[name]
    said = faulty.run(name, case.fault, command)
    failed = 128 if command == "boot --git-bisect" else 3
    assert said.code == (0 if case.harmless else failed), said.stderr


def test_starved_guest_has_not_failed(faulty: Faulty) -> None:
    """It gets a hundredth of the time: either it boots, or the host is to blame."""
    said = faulty.run("QEMU starved", Fault("starve", BOOTING), "boot", "--timeout", "5")
    assert said.code in {0, 3}, said.stderr


@pytest.mark.parametrize("action", ["close", "mute", "garble"])
def test_console_that_was_lost_once_says_nothing_of_the_kernel(faulty: Faulty, action: str) -> None:
    said = faulty.run(f"console: {action}, once", Fault(action, BOOTING, times=1), "boot")
    assert said.code == 3, said.stderr


def test_panic_counts_though_qemu_is_killed_after_it(faulty: Faulty) -> None:
    said = faulty.run("QEMU is killed", Fault("kill", BOOTING), "boot", "--mutant", "drop-commit")
    assert said.code == 3
    told = faulty.home.run(*PANICS, "--json")
    (console,) = (faulty.home.runs / json.loads(told.stdout)["name"]).glob("*/console.log")
    size = console.stat().st_size
    fault = Fault("kill", size - 1)
    said = faulty.run("QEMU is killed after a panic", fault, "boot", "--mutant", "drop-commit")
    assert said.code == 1, said.stderr


def test_console_of_another_boot_proves_nothing(faulty: Faulty) -> None:
    """As it was, to the last byte, of the same kernel on the same machine."""
    told = faulty.home.run(*BOOT, "--json")
    (console,) = (faulty.home.runs / json.loads(told.stdout)["name"]).glob("*/console.log")
    said = faulty.run("another boot's console", Fault(console=str(console)), "boot")
    assert said.code == 3, said.stderr


def kernel(home: Home, *words: str) -> Path:
    """A built-in kernel's file in the cache."""
    return Path(json.loads(home.run("build", "--source", "embedded", *words, "--json").stdout)
                ["kernel"])  # fmt: skip


OTHERS = {"another sanitizer's": ("--kasan",), "one that panics": ("--mutant", "drop-commit")}
Make = Callable[[str], Fault]
WAYS: dict[str, Make] = {
    "kernel of another file": lambda path: Fault(kernel=path),
    "kernel file exchanged": lambda path: Fault(exchange=path),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("way", WAYS)
def test_another_kernel_says_nothing_of_the_one_that_was_to_boot(
    faulty: Faulty, way: str, other: str, tmp_path: Path
) -> None:
    """QEMU gets another file, or the file changes after it was verified."""
    path = shutil.copyfile(kernel(faulty.home, *OTHERS[other]), tmp_path / "other")
    said = faulty.run(f"{way}: {other}", WAYS[way](str(path)), "boot")
    assert said.code == 3, said.stderr


def test_kernel_exchanged_in_the_cache_is_built_again(
    home: Home, table: Table, tmp_path: Path
) -> None:
    mine, other = kernel(home), kernel(home, "--mutant", "drop-commit")
    text = other.read_bytes()
    mine.parent.chmod(0o755)
    mine.unlink()
    mine.write_bytes(text)
    said = home.run(*BOOT)
    table.enter("kernel exchanged in the cache", "boot", str(said.code))
    assert said.code == 0, said.stderr
    assert kernel(home).read_bytes() != text


def test_harness_that_is_stopped_meanwhile_finds_what_the_guest_did(
    shared_home: Home, table: Table, tmp_path: Path
) -> None:
    """All that the guest prints waits for it, and so do the limits of time."""
    path = install(tmp_path / "bin", Fault())
    with shared_home.started(*BOOT, "-v", "--timeout", "3", "--git-bisect", PATH=path) as running:
        running.wait_for_words("kernel at")
        running.popen.send_signal(signal.SIGSTOP)
        time.sleep(5)
        running.popen.send_signal(signal.SIGCONT)
        code = running.popen.wait(SECONDS)
    table.enter("harness stopped for 5 s", "boot --git-bisect", str(code))
    assert code == 0, running.said.read_text()


def test_killed_once_a_bisection_finds_the_culprit_all_the_same(faulty: Faulty) -> None:
    said = faulty.run("QEMU is killed once", Fault("kill", BOOTING, times=1), "bisect")
    assert said.code == 0, said.stderr


# Full disks


@mounts_as_root
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(name, marks=[] if name in {"boot --git-bisect", "check"} else pytest.mark.long)
        for name in COMMANDS
    ],
)
def test_full_disk_is_the_hosts_failure(
    home: Home, shared_home: Home, table: Table, history: Path, command: str
) -> None:
    """Of the records, with the kernels built already."""
    cache = shared_home.env["XDG_CACHE_HOME"]
    source = ("--source", str(history)) if command == "bisect" else ()
    place = home.directory / "state"
    place.mkdir()
    said = in_namespace(
        home, f'mount -t tmpfs -o size=8k none "{place}"', *COMMANDS[command], *source,
        XDG_CACHE_HOME=cache,
    )  # fmt: skip
    table.enter("full disk of records", command, str(said.code))
    assert said.code == (128 if command == "boot --git-bisect" else 3), said
    assert "Traceback" not in said.stderr


# KVM, which is TCG in truth

KVM = f"{DEVICES}\ntouch /dev/kvm\nchmod 666 /dev/kvm"
LATER = Fault("halt", BOOTING, words="KVM internal error. Suberror: 1", accelerator="kvm",
              kvm="good")  # fmt: skip


@dataclass(frozen=True)
class WithKvm:
    mounts: str
    fault: Fault
    code: int
    accelerator: str


KVMS = {
    "no KVM": WithKvm(DEVICES, Fault(), 0, "tcg"),
    "KVM good and fast": WithKvm(KVM, Fault(kvm="good", accelerator="none"), 0, "kvm"),
    "KVM slow": WithKvm(KVM, Fault(kvm="slow", accelerator="none"), 0, "tcg"),
    "KVM wrong": WithKvm(KVM, Fault(kvm="wrong", accelerator="none"), 0, "tcg"),
    "KVM dies later": WithKvm(KVM, LATER, 3, "kvm"),
    "KVM loses the console": WithKvm(KVM, replace(LATER, action="mute", words=""), 3, "kvm"),
}


@mounts_as_root
@pytest.mark.parametrize("name", KVMS)
def test_accelerator_that_fails_says_nothing_of_the_kernel(
    home: Home, shared_home: Home, table: Table, tmp_path: Path, name: str
) -> None:
    case = KVMS[name]
    kernels = shared_home.cache / "kernels"
    home.cache.mkdir(parents=True)
    shutil.copytree(kernels, home.cache / "kernels") if kernels.is_dir() else None
    words = ("boot", "--source", "embedded", "--numa", "2", "--json")
    path = install(tmp_path / "bin", case.fault)
    while True:
        said = in_namespace(home, case.mounts, *words, **own_qemu(PATH=path))
        (cell,) = json.loads(said.stdout)["cells"]
        # A host that is too busy to measure is asked again.
        if cell["accelerator"] == case.accelerator:
            break
        time.sleep(GLANCE)
    table.enter(name, "boot", f"{said.code} {outcomes(said)}, {cell['accelerator']}")
    assert said.code == case.code, said.stderr
