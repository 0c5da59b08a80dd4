"""What is fuzzed: readers of what others have written, each with the errors that it documents.

A target takes any bytes and returns, or raises one of its errors. Whatever else it raises is a
bug. ``ci/fuzz`` calls them with inputs that reach new code; ``test_replay.py`` with those kept.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from harness.bisect.evidence import Kind, RevisionTest
from harness.bisect.gitlog import read_log
from harness.bisect.state import State, StateFile
from harness.check.protocol import Nonsense, error_of, read_record
from harness.console.events import Event, ProbeRecord
from harness.console.parser import ConsoleParser
from harness.console.report import ReportError, read_report
from harness.console.stages import Stage
from harness.errors import UsageError
from harness.guest.registry import Registry
from harness.guest.vmconfig import parse_vmconfig, render_vmconfig
from harness.host.clock import HostClock
from harness.host.jsontoml import parse_json
from harness.host.resources import data_file
from harness.host.seal import Verified
from harness.host.sealedstore import MANIFEST, DamageError, check
from harness.host.workspace import Workspace
from harness.outcome import Ending, Outcome, Until
from harness.results.record import Cell, Run, to_document
from harness.results.store import RECORD, Store
from harness.results.text import print_document
from harness.subsystems.table import report_readers
from harness.subsystems.uma.check.protocol import read_answer, read_counters, read_starved
from harness.subsystems.uma.model.flags import KernelAssertion
from harness.subsystems.uma.model.trace import parse_trace, run_trace
from harness.verdict import Verdict, judge

TESTS: Final = Path(__file__).parents[1]

#: Steps of a trace that are run: a text of a few bytes may ask for any number of them.
STEPS: Final = 200


@dataclass(frozen=True, slots=True)
class Target:
    """A reader.

    Args:
        read: takes any bytes.
        errors: what it may raise.
        seeds: inputs to begin with.
        words: what its inputs are made of.
    """

    read: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    seeds: Callable[[], Iterable[bytes]]
    words: Sequence[str] = ()

    def __call__(self, data: bytes) -> None:
        """Read it; raises what is a bug."""
        with contextlib.suppress(*self.errors):
            self.read(data)


# --- console ------------------------------------------------------------------------------------


def read_console(data: bytes) -> None:
    """A verdict on a console; one in four times, the same events in two pieces."""
    events = _events([data])
    first = data[0] if data else 0
    judge(events, list(Ending)[first % len(Ending)], list(Until)[first % len(Until)])
    if first % 4 == 0:
        cut = first * len(data) // 256
        assert _events([data[:cut], data[cut:]]) == events


def _events(pieces: Iterable[bytes]) -> list[Event]:
    parser = ConsoleParser()
    return [event for piece in pieces for event in parser.feed(piece)] + parser.close()


def console_seeds() -> Iterable[bytes]:
    """Pieces of the ends of real consoles: what they die of."""
    for path in sorted((TESTS / "golden").glob("*.console")):
        end = path.read_bytes()[-1800:]
        yield from (end[at : at + 600] for at in range(0, len(end), 600))


# --- reports and answers ------------------------------------------------------------------------


def read_probe(data: bytes) -> None:
    """A report whose lines have the right numbers and checksums, whatever stands in them."""
    parser = ConsoleParser()
    lines = (_probe_line(number, line) for number, line in enumerate(data.split(b"\n")[:200]))
    events = [*parser.feed(b"".join(lines)), *parser.close()]
    read_report((event for event in events if isinstance(event, ProbeRecord)), report_readers())


def read_guest_answer(data: bytes) -> None:
    """An answer of the check module, as each kind of answer."""
    line = _probe_line(7, data).rstrip(b"\n")
    for read in (error_of, read_answer, read_counters, read_starved):
        with contextlib.suppress(Nonsense):
            read(read_record(line))
    read_record(data)


def _probe_line(number: int, text: bytes) -> bytes:
    body = b"%04d %s" % (number, text)
    return b"@harness %s *%08x\n" % (body, zlib.crc32(body))


PROBE = b"""begin version=2 guest=freebsd
kernel release=13.2-RELEASE osreldate=1302001 ident=HARNESS build_id=abcd
version text=FreeBSD%2013.2
config sanitizers=KASAN numa=1
topology domains=2 cpus=2
cpu id=0 domain=0
cpu id=1 domain=1
memory domain=0 pages=240000 page_size=4096
memory domain=1 pages=240000 page_size=4096
distance from=0 to=1 value=20
zone name=KMAP%20ENTRY reserve=4 items_per_slab=42
zone_domain zone=KMAP%20ENTRY domain=0 pages=3 free_items=7 free_slabs=0
table name=SRAT part=0 of=1 hex=00ff
end records=14"""


# --- texts of the user's ------------------------------------------------------------------------


def read_trace(data: bytes) -> None:
    """A trace, and its first steps."""
    trace = parse_trace(data.decode("utf-8", "replace"))
    assert parse_trace(str(trace)) == trace
    for _ in itertools.islice(run_trace(trace), STEPS):
        pass


TRACES = (
    b"variant 13-after\nzone domains=2 ipers=42 reserve=2 slabs=4\nalloc cpu=0 M_NOWAIT|M_NOVM\n"
    b"alloc cpu=1 M_NOWAIT|M_USE_RESERVE\nfree 1\n",
    b"variant 15-after\nzone domains=3 ipers=2 empty=1,2 hashed round-robin\nprealloc 4\n"
    b"alloc domain=any M_WAITOK meanwhile=1 # a remark\nrefuse 1\ndrain 0\naccept 1\nlow 2\n",
    b"variant 13-before\nzone domains=1 ipers=1 stock patience=3 place=0\nenough 0\n",
)


def read_vmconfig(data: bytes) -> None:
    """A guest; what is read can be written and read again."""
    config = parse_vmconfig(data.decode("utf-8", "replace"), name="fuzz", origin="fuzz.toml")
    again = parse_vmconfig(render_vmconfig(config), name="fuzz", origin="fuzz.toml")
    assert again == config


def vmconfig_seeds() -> Iterable[bytes]:
    """All that are shipped."""
    for path in sorted(data_file("vmconfigs").glob("*.toml")):
        yield path.read_bytes()


def read_bisect_log(data: bytes) -> None:
    """A log of git's, both ways round."""
    read_log(data.decode("utf-8", "replace"), fixed=bool(data) and bool(data[0] & 1))


# --- documents of ours --------------------------------------------------------------------------


def _place() -> Path:
    """A directory of this process's; in memory where the host has such a place."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="fuzz", dir=memory if memory.is_dir() else None))


class Documents:
    """Readers of JSON files, each in a directory of its own."""

    ASKED: Final = {"new": "b" * 40, "old": ["a" * 40], "fixed": False}

    def __init__(self) -> None:
        place = _place()
        self._workspace = Workspace(place / "cache", place / "state", place / "run")
        self._state = StateFile(self._workspace, self.ASKED)
        self._record = self._workspace.runs / "run" / RECORD
        self._guest = self._workspace.state / "guests" / "a-guest" / "guest.json"
        self._sealed = self._workspace.cache / "kernels" / "key" / MANIFEST
        for path in (self._state.path, self._record, self._guest, self._sealed):
            path.parent.mkdir(parents=True)
        self._paper = Console(file=open(os.devnull, "w"))  # noqa: SIM115 - as long as we run

    def read_record(self, data: bytes) -> None:
        """A record that is taken for whole can be reported."""
        self._record.write_bytes(_edited(data, self.record()))
        print_document(Store(self._workspace.runs).load("run"), self._paper)

    def read_state(self, data: bytes) -> None:
        """A state that is read is written as it was."""
        self._state.path.write_bytes(_edited(data, self.state()))
        state = self._state.load()
        assert isinstance(state, State)

    def read_entry(self, data: bytes) -> None:
        """An entry of the registry of guests; none of them is alive."""
        self._guest.parent.mkdir(exist_ok=True)
        self._guest.write_bytes(_edited(data, self.guest()))
        Registry(self._workspace, HostClock()).live()

    def read_manifest(self, data: bytes) -> None:
        """The manifest of a cached directory."""
        self._sealed.write_bytes(_edited(data, self.manifest()))
        check(self._sealed.parent, Verified())

    def record(self) -> dict[str, Any]:
        """A record as one is written."""
        verdict = Verdict(
            Outcome.PANIC, "a panic", stage=Stage.KERNEL, kernel_entered=True, warnings=("a",)
        )
        cell = Cell("cell", "", "FreeBSD", 2, "kasan", "qemu", "tcg", verdict=verdict,
                    expected=(Outcome.BOOTED,), disagreements=("one",))  # fmt: skip
        document = to_document(Run("run", ("boot",), "2026-01-02", "1", (cell,)))
        return json.loads(json.dumps(document, default=str))  # type: ignore[no-any-return]

    def state(self) -> dict[str, Any]:
        """A state as one is written."""
        one = RevisionTest("c" * 40, Kind.FAILED, ("a title",), "panic", 1.5, 2.5, "001-cccc")
        self._state.save(State(self.ASKED, "run", "2026-01-02", (one,), {"c" * 40: "d"}))
        return parse_json(self._state.path.read_bytes())  # type: ignore[no-any-return]

    def guest(self) -> dict[str, Any]:
        """An entry of the registry as one is written."""
        return {
            "name": "a-guest", "run": "run", "cell": "cell", "guest": "FreeBSD",
            "backend": "qemu", "nodes": 2, "topology": {}, "started": "2026-01-02T03:04:05+00:00",
            "console": "/x/run/cell/console.log", "socket": "/x/cell-0123abcd.console",
            "owner": None, "process": {"pid": 0, "started": 1.5}, "uri": "", "domain": "",
        }  # fmt: skip

    def manifest(self) -> dict[str, Any]:
        """A manifest as one is written."""
        return {"schema": 1, "key": "key",
                "files": [{"name": MANIFEST, "size": 1, "sha256": "00"}]}  # fmt: skip


def _edited(data: bytes, document: dict[str, Any]) -> bytes:
    """The bytes themselves, or a document with one value that they choose replaced by the rest."""
    if len(data) < 3 or data[0] & 1:
        return data[1:]
    places = list(_places(document))
    *way, last = places[(data[1] | data[2] << 8) % len(places)]
    parent: Any = document
    for step in way:
        parent = parent[step]
    if data[0] & 2:
        del parent[last]
        return json.dumps(document).encode()
    parent[last] = "\0"  # whose text is what is replaced
    return json.dumps(document).encode().replace(b'"\\u0000"', data[3:])


def _places(document: Any, way: tuple[Any, ...] = ()) -> Iterable[tuple[Any, ...]]:
    """The way to each value but the whole."""
    if way:
        yield way
    if isinstance(document, dict):
        for key, value in document.items():
            yield from _places(value, (*way, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from _places(value, (*way, index))


def value_seeds() -> Iterable[bytes]:
    """Values of each type, in some places."""
    values = (b"null", b"true", b"-1", b"1e999", b'"/etc"', b'"../x"', b"[]", b"{}", b"[[[[]]]]",
              b'"booted"', b"[1]", b'{"a": 1}', b"9" * 30, b"NaN")  # fmt: skip
    for number, value in enumerate(values * 4):
        yield bytes((number & 2, number * 7 & 255, 0)) + value


def targets() -> dict[str, Target]:
    """All of them, by name."""
    documents = Documents()
    reports = (PROBE, *PROBE.split(b"\n"))
    answers = (b"ok domain=0 item=1.2 calls=012", b"error text=no", b"starved calls=1 run_us=2 "
               b"elapsed_us=3 wake_us=4 asleep=1 served=1", b"counters d0=1,2,3,4,5,6")  # fmt: skip
    log = b"git bisect start '--term-new=slow' 'b' 'a'\n# a remark\ngit bisect skip c\n"
    return {
        "console": Target(read_console, (), console_seeds),
        "probe": Target(read_probe, (ReportError,), lambda: reports),
        "answer": Target(read_guest_answer, (Nonsense,), lambda: answers),
        "trace": Target(read_trace, (UsageError, KernelAssertion), lambda: TRACES),
        "vmconfig": Target(read_vmconfig, (UsageError,), vmconfig_seeds),
        "bisect-log": Target(read_bisect_log, (UsageError,), lambda: (log,)),
        "record": Target(documents.read_record, (UsageError,), value_seeds),
        "state": Target(documents.read_state, (UsageError,), value_seeds),
        "registry": Target(documents.read_entry, (), value_seeds),
        "manifest": Target(documents.read_manifest, (DamageError,), value_seeds),
    }
