"""Kernels of a few bytes of ELF, and scripts of guests that boot them."""

from __future__ import annotations

import hashlib
import re
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from harness.boot.booter import Booter
from harness.boot.plan import BootPlan
from harness.guest.fake import FakeBackend, Piece, Script
from harness.guest.serialtap import Tap
from harness.guest.spec import GuestSpec
from harness.guest.topology import Topology
from harness.host.accelerator import Accelerator
from harness.host.clock import ManualClock
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.image.media import DirectKernel
from harness.kernel.artifact import KernelArtifact, KernelIdentity
from harness.kernel.elf import KernelFacts, kernel_facts
from harness.outcome import Until
from harness.sanitizers import NONE

RELEASE = "14.1-STABLE"
VERSION = f"FreeBSD {RELEASE} #0 n1: Sun Nov 22 14:59:45 UTC 2026\n    a@b:/o/sys/GREEN\n"

PANIC = (
    "panic: no ideas left", "cpuid = 0", "time = 1", "KDB: stack backtrace:",
    "panic() at panic+0x43/frame 0xfffffe0000000010",
    "thinker() at thinker+0x9/frame 0xfffffe0000000020", "Uptime: 1s",
)  # fmt: skip

_BASE = 0x200000


def build_id_of(number: int) -> bytes:
    return hashlib.sha1(str(number).encode(), usedforsecurity=False).digest()


def number_of(spec: GuestSpec, most: int = 32) -> int:
    """Return the number of the kernel that boots."""
    own = facts_of(spec).build_id
    return next(number for number in range(most) if build_id_of(number).hex() == own)


def kernel_file(directory: Path, number: int = 0) -> Path:
    """Write an ELF file with the facts that the harness reads; each number gives other content."""
    build_id = build_id_of(number)
    names = b"\0mi_startup\0version\0panic\0thinker\0"
    sections = b"\0.text\0.symtab\0.strtab\0.shstrtab\0.note.gnu.build-id\0"
    text = VERSION.encode() + b"\0" + struct.pack("<Q", number)
    note = struct.pack("<III4s", 4, len(build_id), 3, b"GNU\0") + build_id
    symbols = bytes(24) + b"".join(
        struct.pack("<IBBHQQ", names.index(b"\0%b\0" % name) + 1, 0x12, 0, 1, _BASE + at, size)
        for name, at, size in ((b"mi_startup", 8, 8), (b"version", 0, len(text)),
                               (b"panic", 0x100, 0x100), (b"thinker", 0x200, 0x100))
    )  # fmt: skip
    parts = [text, symbols, names, sections, note]
    offsets, at = [], 64 + 56
    for part in parts:
        offsets.append(at)
        at += len(part)
    placed = list(zip(offsets, parts, strict=True))
    kinds = [(".text", 1, 6, _BASE, 0, 0), (".symtab", 2, 0, 0, 3, 24), (".strtab", 3, 0, 0, 0, 0),
             (".shstrtab", 3, 0, 0, 0, 0), (".note.gnu.build-id", 7, 2, 0, 0, 0)]  # fmt: skip
    headers = bytes(64) + b"".join(
        struct.pack(
            "<IIQQQQIIQQ", sections.index(b"\0%b\0" % name.encode()) + 1, kind, flags, address,
            offset, len(part), link, 0, 1, entry,
        )
        for (name, kind, flags, address, link, entry), (offset, part) in zip(
            kinds, placed, strict=True
        )
    )  # fmt: skip
    head = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01".ljust(16, b"\0"), 2, 62, 1, _BASE, 64, at, 0,
        64, 56, 1, 64, 6, 4,
    )  # fmt: skip
    load = struct.pack(
        "<IIQQQQQQ", 1, 5, offsets[0], _BASE, _BASE, len(text), len(text), 4096
    )  # fmt: skip
    file = directory / f"kernel-{number}"
    if file.exists():  # what is written again counts as changed
        return file
    file.write_bytes(head + load + b"".join(parts) + headers)
    return file


def made_kernel(directory: Path, number: int = 0, **changed: object) -> KernelArtifact:
    """Return the kernel with that number, which needs no loader."""
    file = kernel_file(directory, number)
    key = hashlib.sha256(file.read_bytes()).hexdigest()[:40]
    identity = KernelIdentity(
        key=key, source="made", label=f"made {number}", commit=None, tree=key, dirty=False,
        patch=None, mutant=None, release=RELEASE, kernconf="GREEN", sanitizer=NONE, compiler="",
        is_freebsd=False,
    )  # fmt: skip
    identity = replace(identity, **changed)  # type: ignore[arg-type]
    return KernelArtifact(identity, file, file, None)


def nonce_of(spec: GuestSpec) -> str:
    assert isinstance(spec.media, DirectKernel)
    found = re.search(r"harness\.nonce=([0-9a-f]{16})", spec.media.append)
    assert found
    return found[1]


def facts_of(spec: GuestSpec) -> KernelFacts:
    assert isinstance(spec.media, DirectKernel)
    return kernel_facts(spec.media.kernel)


def console(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


def banner(version: str = VERSION) -> bytes:
    memory = "avail memory = 2146041856 (2046 MB)"
    return console("---<<BOOT>>---", *f"{version.rstrip()} amd64".split("\n"), memory)


def report(nonce: str, facts: KernelFacts, topology: Topology) -> bytes:
    """Return init's report of a kernel that sees the machine as it is."""
    domains = topology.guest_domains()
    texts = [
        "begin version=2 guest=freebsd",
        f"kernel release={RELEASE} osreldate=1401500 ident=GREEN build_id={facts.build_id}",
        f"version text={quote(facts.version, safe='')}",
        f"config sanitizers={','.join(facts.sanitizers.options)} numa=1",
        f"topology domains={len(domains)} cpus={topology.cpus}",
        *(f"cpu id={cpu} domain={number}" for number, domain in enumerate(domains)
          for cpu in domain.cpus),
        *(f"memory domain={number} pages={int(domain.memory_mib * 256 * 0.985)} page_size=4096"
          for number, domain in enumerate(domains)),
        *(f"distance from={near} to={far} value={value}"
          for near, row in enumerate(topology.guest_distances())
          for far, value in enumerate(row) if value != -1),
    ]  # fmt: skip
    texts.append(f"end records={len(texts) + 1}")
    bodies = [f"{nonce} {number:04} {text}" for number, text in enumerate(texts)]
    lines = [f"@harness {body} *{zlib.crc32(body.encode()):08x}" for body in bodies]
    return console(*lines, *lines)


def boots(spec: GuestSpec, **changed: object) -> Script:
    """A script: the kernel starts, reports and powers off."""
    said = report(nonce_of(spec), facts_of(spec), spec.topology)
    pieces = (
        Piece(banner()), Piece(said, after=2.0),
        Piece(console("Uptime: 2s", "acpi0: Powering system off"), after=0.5),
    )  # fmt: skip
    return Script(pieces, **changed)  # type: ignore[arg-type]


def stays_up(spec: GuestSpec, channel: Callable[[], Tap]) -> Script:
    """A script: the kernel starts, reports, and answers on its second serial port."""
    said = report(nonce_of(spec), facts_of(spec), spec.topology)
    return Script((Piece(banner()), Piece(said, after=1.0)), ending=None, channel=channel)


def panics(spec: GuestSpec) -> Script:
    del spec
    return Script((Piece(banner()), Piece(console(*PANIC), after=1.0)))


def hangs(spec: GuestSpec) -> Script:
    del spec
    return Script((Piece(banner()),), ending=None)


@contextmanager
def fake_booter(directory: Path, script: Callable[[GuestSpec], Script]) -> Iterator[Booter]:
    """Yield a booter whose guests follow the script; only their time passes."""
    clock = ManualClock()
    with tempfile.TemporaryDirectory(prefix="hf-") as short:  # as a socket's path must be
        workspace = Workspace(directory / "cache", directory / "state", Path(short))
        yield Booter(workspace, HostRunner(), clock, FakeBackend(clock, script))


def plan(nodes: int = 2, **changed: object) -> BootPlan:
    made = BootPlan(Topology.even(nodes), Until.INIT, Accelerator.TCG)
    return replace(made, **changed)  # type: ignore[arg-type]
