"""The built-in guest: how it is built, and that what it does follows from the machine it is on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from embedded_guest import Boot, Kernels, Machine, even

from harness.console.symbolize import find_program
from harness.errors import BuildError, InfraError, UsageError
from harness.guest.topology import Node, Topology
from harness.host.process import Finished, HostRunner, LastProgram, Process
from harness.image.embedded import (
    CommitSide,
    EmbeddedBuild,
    build_embedded,
    embedded_key,
)
from harness.kernel.elf import kernel_facts
from harness.kernel.toolchain import newest_llvm
from harness.sanitizers import NONE, Sanitizers, parse_sanitizers

pytestmark = pytest.mark.guest

BEFORE, AFTER = CommitSide.BEFORE, CommitSide.AFTER
KASAN = parse_sanitizers("kasan")

EXHAUSTED = "vm_map_entry_create: kernel resources exhausted"
CALL_CHAIN = [
    "db_trace_self_wrapper", "kdb_backtrace", "vpanic", "panic", "vm_map_entry_create",
    "vm_map_insert", "kmem_init", "vm_mem_init", "mi_startup", "btext",
]  # fmt: skip

FRAME = re.compile(r"(\w+)\(\) at (\w+)\+0x([0-9a-f]+)(?:/frame 0x[0-9a-f]{16})?\Z")
PAGE = 4096
MIB = 1 << 20
FIRMWARE_AND_KERNEL = 5 * MIB
"""At most as much of a node is the firmware's (the first MiB, its tables) or the image's."""

BootIt = Callable[..., Boot]


def frames(boot: Boot) -> list[tuple[str, int]]:
    found = [FRAME.match(line) for line in boot.lines]
    return [(match[2], int(match[3], 16)) for match in found if match]


# Before and after the commit


@pytest.mark.parametrize("sanitizer", [NONE, KASAN])
@pytest.mark.parametrize("nodes", [2, 4, 8])
def test_before_panics_where_the_reserve_lies_in_another_domain(
    kernels: Kernels, boot: BootIt, nodes: int, sanitizer: Sanitizers
) -> None:
    result = boot(kernels(BEFORE, sanitizer), even(nodes))
    assert result.panic == EXHAUSTED
    assert [name for name, _ in frames(result)] == CALL_CHAIN
    assert result.lines[-3:] == ["Uptime: 1s", "Rebooting...", ""]
    assert result.ended
    assert not result.report


@pytest.mark.parametrize("sanitizer", [NONE, KASAN])
def test_before_boots_on_one_node(kernels: Kernels, boot: BootIt, sanitizer: Sanitizers) -> None:
    result = boot(kernels(BEFORE, sanitizer), even(1))
    assert result.panic is None
    assert result.report


def test_before_boots_on_four_nodes_when_the_reserve_lies_in_the_asking_domain(
    kernels: Kernels, boot: BootIt
) -> None:
    result = boot(kernels(BEFORE, NONE), even(4), "uma.prealloc_domain=0")
    assert result.panic is None
    assert [zone["pages"] for zone in result.records("zonedomain")] == ["1", "0", "0", "0"]


def test_before_panics_with_the_reserve_in_the_farthest_domain(
    kernels: Kernels, boot: BootIt
) -> None:
    assert boot(kernels(BEFORE, NONE), even(4), "uma.prealloc_domain=3").panic == EXHAUSTED


@pytest.mark.parametrize("value", ["9", "x", ""])
def test_a_bad_tunable_is_named_and_ignored(kernels: Kernels, boot: BootIt, value: str) -> None:
    result = boot(kernels(BEFORE, NONE), even(2), f"uma.prealloc_domain={value}")
    assert any(
        line.startswith(f"uma.prealloc_domain={value}:") and line.endswith("ignored")
        for line in result.lines
    )
    assert result.panic == EXHAUSTED


@pytest.mark.parametrize("sanitizer", [NONE, KASAN])
@pytest.mark.parametrize("nodes", [1, 2, 4, 8])
def test_after_boots_everywhere(
    kernels: Kernels, boot: BootIt, nodes: int, sanitizer: Sanitizers
) -> None:
    result = boot(kernels(AFTER, sanitizer), even(nodes))
    assert result.panic is None
    assert result.records("topology") == [{"domains": str(nodes), "cpus": str(nodes)}]
    assert result.lines[-2:] == ["acpi0: Powering system off", ""]
    assert result.ended


def test_before_waits_for_pages_of_a_short_domain_in_vain(kernels: Kernels, boot: BootIt) -> None:
    result = boot(kernels(BEFORE, NONE), even(1), "harness.plant=short", silent_after="pages")
    assert not result.ended
    assert not result.report


def test_after_sleeps_until_a_short_domain_has_pages(kernels: Kernels, boot: BootIt) -> None:
    result = boot(kernels(AFTER, NONE), even(1), "harness.plant=short")
    assert "harness.plant=short: the allocation came through" in result.lines
    assert result.report


@pytest.mark.parametrize(
    ("variant", "sanitizer", "without", "by_reserve"),
    [
        pytest.param(BEFORE, NONE, 96, 4, id="before-the-asking-domains-own"),
        pytest.param(AFTER, NONE, 96, 104, id="after-the-other-domains-too"),
        pytest.param(AFTER, KASAN, 68, 76, id="redzones-leave-room-for-fewer"),
    ],
)
def test_m_use_reserve_reaches_what_other_allocations_must_leave(
    kernels: Kernels,
    boot: BootIt,
    variant: CommitSide,
    sanitizer: Sanitizers,
    without: int,
    by_reserve: int,
) -> None:
    append = "uma.prealloc_domain=0 harness.plant=drain"
    result = boot(kernels(variant, sanitizer), even(2), append)
    said = f"harness.plant=drain: {without} items, then {by_reserve} by M_USE_RESERVE"
    assert said in result.lines
    zone = result.records("zone")[1]
    assert (zone["name"], zone["reserve"]) == ("HARNESS_PLANT", "4")


# The machine it sees


def assert_report_agrees(result: Boot, topology: Topology) -> None:
    domains = topology.guest_domains()
    for number, (memory, expected) in enumerate(
        zip(result.records("memory"), domains, strict=True)
    ):
        size = int(memory["pages"]) * PAGE
        assert memory["domain"] == str(number)
        assert memory["page_size"] == str(PAGE)
        assert size <= expected.memory_mib * MIB
        assert size >= expected.memory_mib * MIB - FIRMWARE_AND_KERNEL
    assert {(int(cpu["id"]), int(cpu["domain"])) for cpu in result.records("cpu")} == {
        (cpu, number) for number, domain in enumerate(domains) for cpu in domain.cpus
    }
    assert {
        (int(pair["from"]), int(pair["to"])): int(pair["value"])
        for pair in result.records("distance")
    } == {
        (source, target): value
        for source, row in enumerate(topology.guest_distances())
        for target, value in enumerate(row)
    }


def machine_of(topology: Topology, board: str = "pc") -> Machine:
    pairs = tuple(
        (source, target, value)
        for source, row in enumerate(topology.distances)
        for target, value in enumerate(row)
    )
    return Machine(topology.nodes, pairs, board)


@pytest.mark.parametrize("board", ["pc", "q35"])
@pytest.mark.parametrize(
    "topology",
    [
        pytest.param(Topology.even(1, 2, 64), id="one-node"),
        pytest.param(Topology.even(4, 1, 64), id="small-nodes"),
        pytest.param(Topology.even(4, 1, 1024), id="around-the-hole-below-4-gib"),
        pytest.param(Topology.of([Node(1, 64), Node(3, 512), Node(2, 96)]), id="uneven"),
        pytest.param(Topology.of([Node(1, 128), Node(1, 0), Node(1, 64)]), id="without-memory"),
        pytest.param(
            Topology(
                (Node(1, 64), Node(1, 64), Node(1, 64)),
                ((10, 15, 255), (16, 10, 31), (255, 40, 10)),
            ),
            id="distances",
        ),
    ],
)
def test_report_agrees_with_the_machine(
    kernels: Kernels, boot: BootIt, topology: Topology, board: str
) -> None:
    result = boot(kernels(AFTER, KASAN), machine_of(topology, board))
    assert_report_agrees(result, topology)


def test_a_node_without_cpus_makes_it_ignore_the_srat(kernels: Kernels, boot: BootIt) -> None:
    topology = Topology.of([Node(2, 64), Node(0, 64)])
    result = boot(kernels(BEFORE, NONE), machine_of(topology))
    assert "SRAT: No CPU found for memory domain 1" in result.lines
    assert result.panic is None, "one domain, so that the reserve cannot lie in another"
    assert_report_agrees(result, topology)


def test_before_boots_where_the_asking_domain_has_no_memory(kernels: Kernels, boot: BootIt) -> None:
    topology = Topology.of([Node(1, 0), Node(1, 64), Node(1, 64)])
    result = boot(kernels(BEFORE, NONE), machine_of(topology))
    assert "SRAT: mem dom 0 is empty" in result.lines
    assert_report_agrees(result, topology)


def test_more_domains_than_freebsd_takes_are_one(kernels: Kernels, boot: BootIt) -> None:
    result = boot(kernels(BEFORE, NONE), even(9, 32))
    assert "SRAT: Too many memory domains" in result.lines
    assert result.records("topology") == [{"domains": "1", "cpus": "9"}]


def test_a_cpu_without_pages_of_one_gib_will_do(kernels: Kernels, boot: BootIt) -> None:
    machine = Machine((Node(1, 2048), Node(1, 3072)), cpu="qemu64")
    pages = [
        int(memory["pages"]) for memory in boot(kernels(AFTER, NONE), machine).records("memory")
    ]
    assert [round(count * PAGE / MIB / 1024) for count in pages] == [2, 3]


def test_report_holds_the_tables_byte_for_byte(kernels: Kernels, boot: BootIt) -> None:
    parts = boot(kernels(AFTER, NONE), machine_of(Topology.even(3, 1, 64))).records("table")
    for name in ("SRAT", "SLIT"):
        table = bytes.fromhex("".join(part["hex"] for part in parts if part["name"] == name))
        assert table[:4].decode() == name
        assert int.from_bytes(table[4:8], "little") == len(table)
        assert sum(table) % 256 == 0


def test_report_shows_the_zone_with_the_reserve(kernels: Kernels, boot: BootIt) -> None:
    result = boot(kernels(AFTER, NONE), even(2))
    assert result.records("zone") == [{"name": "KMAP_ENTRY", "reserve": "2", "ipers": "42"}]
    pages = [int(domain["pages"]) for domain in result.records("zonedomain")]
    assert sum(pages) == 2, "the reserve's slab and the one that replenished it"


def test_report_is_printed_twice(kernels: Kernels, boot: BootIt) -> None:
    lines = [line for line in boot(kernels(AFTER, NONE), even(2)).lines if line.startswith("@")]
    assert lines[: len(lines) // 2] == lines[len(lines) // 2 :]


@pytest.mark.parametrize(("sanitizer", "ident"), [(NONE, "EMBEDDED"), (KASAN, "EMBEDDED-KASAN")])
def test_it_says_that_it_is_not_freebsd(
    kernels: Kernels, boot: BootIt, sanitizer: Sanitizers, ident: str
) -> None:
    result = boot(kernels(AFTER, sanitizer), even(1))
    assert result.lines[0] == "---<<BOOT>>---"
    assert "NOT FreeBSD" in result.lines[1]
    assert result.records("begin") == [{"version": "2", "guest": "embedded"}]
    (kernel,) = result.records("kernel")
    assert (kernel["release"], kernel["osreldate"]) == ("embedded-1", "0")
    assert kernel["ident"] == ident


@pytest.mark.parametrize("variant", [BEFORE, AFTER])
@pytest.mark.parametrize("sanitizer", [NONE, KASAN])
def test_it_proves_which_build_it_is_and_in_which_boot(
    kernels: Kernels, boot: BootIt, variant: CommitSide, sanitizer: Sanitizers
) -> None:
    """What it tells of itself is what is read of its file."""
    kernel, nonce = kernels(variant, sanitizer), "0123456789abcdef"
    result = boot(kernel, even(1), f"harness.nonce={nonce} vm.other=1")
    facts = kernel_facts(kernel)
    assert facts.version.strip() in result.lines
    assert {record.nonce for record in result.report} == {nonce}
    assert result.records("kernel")[0]["build_id"] == facts.build_id
    assert len(facts.build_id) == 40
    assert result.records("config") == [
        {"sanitizers": ",".join(facts.sanitizers.options), "numa": "1"}
    ]


def test_builds_have_build_ids_of_their_own(kernels: Kernels) -> None:
    builds = [kernels(side, how) for side in CommitSide for how in (NONE, KASAN)]
    assert len({kernel_facts(build).build_id for build in builds}) == len(builds)


# Planted faults


@pytest.mark.parametrize(
    ("plant", "function", "code"),
    [
        ("overflow", "plant_overflow", "GenericRedZone(fa)"),
        ("use-after-free", "plant_use_after_free", "UMAUseAfterFree(fd)"),
    ],
)
def test_kasan_catches_a_planted_fault(
    kernels: Kernels, boot: BootIt, plant: str, function: str, code: str
) -> None:
    result = boot(kernels(AFTER, KASAN), even(2), f"harness.plant={plant}")
    assert re.fullmatch(
        rf"ASan: Invalid access, 8-byte write at 0x[0-9a-f]{{16}}, {re.escape(code)}",
        str(result.panic),
    )
    names = [name for name, _ in frames(result)]
    assert names[names.index("kasan_report") + 1 :][:2] == ["__asan_store8_noabort", function]


@pytest.mark.parametrize("plant", ["overflow", "use-after-free"])
def test_without_kasan_a_planted_fault_goes_unreported(
    kernels: Kernels, boot: BootIt, plant: str
) -> None:
    result = boot(kernels(AFTER, NONE), even(2), f"harness.plant={plant}")
    assert result.panic is None
    assert result.report


@pytest.mark.parametrize("sanitizer", [NONE, KASAN])
def test_planted_page_fault_is_reported_as_a_fatal_trap(
    kernels: Kernels, boot: BootIt, sanitizer: Sanitizers
) -> None:
    result = boot(kernels(AFTER, sanitizer), even(1), "harness.plant=trap")
    assert "Fatal trap 12: page fault while in kernel mode" in result.lines
    assert "fault virtual address\t= 0x30" in result.lines
    assert "fault code\t\t= supervisor write data, page not present" in result.lines
    assert result.panic == "page fault"
    names = [name for name, _ in frames(result)]
    assert names[names.index("trap") :] == [
        "trap", "calltrap", "plant_trap", "plant_run", "mi_startup", "btext"
    ]  # fmt: skip
    assert any(line.startswith("--- trap 0xc, rip = 0xffffffff8") for line in result.lines)


def test_planted_hang_is_silence_without_an_end(kernels: Kernels, boot: BootIt) -> None:
    result = boot(kernels(AFTER, NONE), even(1), "harness.plant=hang", silent_after="pages")
    assert not result.ended
    assert not result.report


@pytest.mark.parametrize("plant", ["reset", "end"])
def test_planted_end_comes_without_a_panic_or_a_report(
    kernels: Kernels, boot: BootIt, plant: str
) -> None:
    result = boot(kernels(AFTER, NONE), even(1), f"harness.plant={plant}")
    assert result.ended
    assert result.panic is None
    assert not result.report
    assert ("acpi0: Powering system off" in result.lines) == (plant == "end")


def test_report_is_complete_in_the_midst_of_noise(kernels: Kernels, boot: BootIt) -> None:
    result = boot(kernels(AFTER, NONE), even(2), "harness.plant=noise")
    assert b"\033[2J" in result.console
    assert b"\0" in result.console
    assert sum(line.startswith("@harness 0000 ") for line in result.lines) == 3
    assert result.records("topology") == [{"domains": "2", "cpus": "2"}]


# Symbols


@pytest.mark.parametrize(
    ("variant", "sanitizer", "append"),
    [
        (BEFORE, NONE, ""),
        (BEFORE, KASAN, ""),
        (AFTER, KASAN, "harness.plant=overflow"),
        (AFTER, NONE, "harness.plant=trap"),
    ],
)
def test_every_frame_is_what_llvm_symbolizer_says(
    kernels: Kernels, boot: BootIt, variant: CommitSide, sanitizer: Sanitizers, append: str
) -> None:
    kernel = kernels(variant, sanitizer)
    found = frames(boot(kernel, even(2), append))
    assert len(found) >= 8
    starts = function_starts(kernel)
    lines = symbolized(kernel, [starts[name] + offset - 1 for name, offset in found])
    assert [function for function, _ in lines] == [name for name, _ in found]
    for function, place in lines:
        assert re.fullmatch(r"images/embedded/\w+\.[cS]:[1-9]\d*", place), function


def function_starts(kernel: Path) -> dict[str, int]:
    with kernel.open("rb") as file:
        tables = [t for t in ELFFile(file).iter_sections() if isinstance(t, SymbolTableSection)]
        return {
            symbol.name: symbol["st_value"]
            for symbol in tables[0].iter_symbols()
            if symbol["st_info"]["type"] == "STT_FUNC"
        }


def symbolized(kernel: Path, addresses: list[int]) -> list[tuple[str, str]]:
    """Function and file:line of each address; of inlined ones the outermost caller."""
    answer = HostRunner().run(
        [find_program(), f"--obj={kernel}", "--inlines"],
        stdin="".join(f"{address:#x}\n" for address in addresses).encode(),
    )
    blocks = [block.splitlines() for block in answer.text.strip().split("\n\n")]
    return [(lines[-2], lines[-1].removeprefix("./").rpartition(":")[0]) for lines in blocks]


# Building


class FailingCompiler:
    """A Runner whose compiler finds a mistake."""

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        deadline: float | None = None,
        check: bool = True,
    ) -> Finished:
        del cwd, env, stdin, deadline, check
        stderr = b"../src/keg.c:7:1: error: unknown type name 'slab'\n"
        return Finished(tuple(map(str, argv)), 1, b"", stderr)

    def spawn(self, argv: Sequence[str | Path], **options: object) -> Process:
        raise AssertionError(f"a build spawns nothing: {argv} {options}")

    def prepare(self, argv: Sequence[str | Path], **options: object) -> LastProgram:
        raise AssertionError(f"a build prepares nothing: {argv} {options}")

    def run_in_foreground(self, argv: Sequence[str | Path]) -> int:
        raise AssertionError(f"a build shows the user no program: {argv}")

    def close(self) -> None:
        """Nothing of it runs."""


def test_the_same_build_gives_the_same_bytes_anywhere(kernels: Kernels, tmp_path: Path) -> None:
    directory = tmp_path / "somewhere" / "else"
    again = build_embedded(EmbeddedBuild(AFTER, KASAN), HostRunner(), directory)
    assert again.read_bytes() == kernels(AFTER, KASAN).read_bytes()


def test_a_build_can_be_repeated_in_its_directory(kernels: Kernels) -> None:
    first = kernels(BEFORE, NONE)
    content = first.read_bytes()
    assert build_embedded(EmbeddedBuild(BEFORE), HostRunner(), first.parent) == first
    assert first.read_bytes() == content


def test_each_build_has_a_key_of_its_own() -> None:
    builds = [EmbeddedBuild(variant, s) for variant in CommitSide for s in (NONE, KASAN)]
    keys = [embedded_key(build) for build in builds]
    assert len(set(keys)) == len(builds)
    assert keys == [embedded_key(build) for build in builds]


def test_kmsan_is_refused() -> None:
    with pytest.raises(UsageError, match="does not support KMSAN") as refused:
        EmbeddedBuild(AFTER, parse_sanitizers("kmsan"))
    assert "--kmsan" in refused.value.remedy


def test_compile_errors_are_shown_as_the_compiler_says_them(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="does not build") as failed:
        build_embedded(EmbeddedBuild(AFTER), FailingCompiler(), tmp_path)
    assert failed.value.detail == "../src/keg.c:7:1: error: unknown type name 'slab'"


@pytest.mark.parametrize(
    ("here", "package"), [((), "clang lld"), (("clang",), "lld"), (("ld.lld",), "clang")]
)
def test_a_missing_compiler_is_named_with_its_package(here: tuple[str, ...], package: str) -> None:
    def which(name: str) -> str | None:
        return f"/bin/{name}" if name in here else None

    with pytest.raises(InfraError) as failed:
        newest_llvm(installed=list, which=which)
    assert failed.value.remedy == f"install: apt-get install {package}"


def test_an_unversioned_compiler_is_taken_where_there_is_no_other() -> None:
    assert newest_llvm(installed=list, which=lambda name: f"/usr/bin/{name}") == Path("/usr/bin")
