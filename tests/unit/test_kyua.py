"""FreeBSD's own suites: what kyua prints, what is left when a guest fails, and the results."""

from __future__ import annotations

import itertools
import shlex
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.guest.contact import Contact
from harness.guest.serialtap import Tap
from harness.host.clock import ManualClock
from harness.host.progress import Recorded
from harness.kyua.client import KYUAFILE, SuiteClient
from harness.kyua.queue import SuiteQueue, Work
from harness.kyua.tests import TestId, TestOutcome, TestProgress, TestResult, listed, with_output
from harness.results.store import Store
from harness.results.unfinished import Planned, beginning, keep_tests
from harness.shell.shell import Completed, OutputSink, ShellLostError

Put = tuple[tuple[Path, PurePosixPath], ...]

SUITE = "sys/vm"
LINES = """\
mmap_test:mmap__bad_arguments  ->  passed  [0.051s]
mmap_test:map_at_zero  ->  skipped: Requires 1 GiB pages  [0.010s]
mlock_test:limits  ->  failed: mlock_test.c:33: x != y  [1.500s]
mlock_test:later  ->  expected_failure: bug 1234: not yet  [0.200s]
shm_test:crash  ->  broken: Received signal 11  [60.123s]
"""
RESULTS = [TestResult.PASSED, TestResult.SKIPPED, TestResult.FAILED, TestResult.EXPECTED_FAILURE,
           TestResult.BROKEN]  # fmt: skip


def test_of(name: str) -> TestId:
    program, case = name.split(":")
    return TestId(SUITE, program, case)


test_of.__test__ = False  # type: ignore[attr-defined]


def read(text: str) -> TestProgress:
    progress = TestProgress(SUITE)
    list(progress.feed(text.encode()))
    return progress


def test_tests_are_listed_in_kyuas_order() -> None:
    names = [str(test) for test in listed("b_test:one\na/c_test:two\nb_test:one\n", SUITE)]
    assert names == ["sys/vm/b_test:one", "sys/vm/a/c_test:two"]


@pytest.mark.parametrize("line", ["", "kyua: E: no", "../../x:y", "a b:c", ":x", "x:", "-f:x"])
def test_other_lines_are_no_tests(line: str) -> None:
    assert listed(f"{line}\n", SUITE) == []


def test_results_are_read_with_reason_and_time() -> None:
    ended = read(LINES).ended
    assert [outcome.result for outcome in ended] == RESULTS
    assert ended[1].reason == "Requires 1 GiB pages"
    assert ended[3].reason == "bug 1234: not yet"
    assert ended[4].seconds == 60.123


@given(st.lists(st.integers(0, len(LINES)), max_size=6))
def test_pieces_of_output_give_the_same_results(cuts: Sequence[int]) -> None:
    progress, data = TestProgress(SUITE), LINES.encode()
    edges = [0, *sorted(cuts), len(data)]
    for begin, end in itertools.pairwise(edges):
        list(progress.feed(data[begin:end]))
    assert progress.ended == read(LINES).ended
    assert progress.running is None


def test_unfinished_line_names_the_test_that_runs() -> None:
    progress = read(LINES + "shm_test:panics  ->  ")
    assert progress.running == test_of("shm_test:panics")
    assert len(progress.ended) == 5


@given(st.binary(max_size=200))
def test_any_output_is_read(data: bytes) -> None:
    list(TestProgress(SUITE).feed(data))


def report_of(*cases: tuple[str, str, str]) -> bytes:
    body = "".join(
        f'<testcase classname="{program}" name="{name}"><system-out>{escape(text)}</system-out>'
        "</testcase>"
        for program, name, text in cases
    )
    return f'<?xml version="1.0" encoding="iso-8859-1"?><testsuite>{body}</testsuite>'.encode(
        "latin-1"
    )


def test_output_comes_from_kyuas_report() -> None:
    ended = read("a/mmap_test:one  ->  passed  [0.1s]\n").ended
    (outcome,) = with_output(ended, report_of(("a.mmap_test", "one", "h\xe9llo <x>")))
    assert outcome.stdout == "h\xe9llo <x>"


BOMB = (
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(
        b'<!ENTITY %c "%s">' % (98 + number, b"&%c;" % (97 + number) * 10) for number in range(9)
    )
    + b"]><testsuite><testcase classname='m' name='n'><system-out>&j;</system-out></testcase>"
    b"</testsuite>"
)


@pytest.mark.parametrize(
    "report", [b"", b"<", b"\xff\xfe", b"<?xml version='1.0' encoding='none'?><x/>", BOMB]
)
def test_report_that_is_none_leaves_the_results(report: bytes) -> None:
    ended = read(LINES).ended
    assert with_output(ended, report) == ended


# --- the queue -------------------------------------------------------------------------------


TESTS = [test_of(name) for name in ("a_test:one", "a_test:two", "a_test:three", "b_test:one")]


def never() -> bool:
    return False


def taken(queue: SuiteQueue) -> Work:
    work = queue.take(never)
    assert work is not None
    return work


def listed_queue() -> SuiteQueue:
    queue = SuiteQueue((SUITE,))
    queue.add(taken(queue), TESTS)
    return queue


def passed(*tests: TestId) -> list[TestOutcome]:
    return [TestOutcome(test, TestResult.PASSED) for test in tests]


def results(queue: SuiteQueue) -> dict[str, TestResult]:
    return {f"{one.test.program}:{one.test.case}": one.result for one in queue.rest()}


def test_programs_are_run_one_after_the_other() -> None:
    queue = listed_queue()
    first, second = taken(queue), taken(queue)
    assert [first.program, second.program] == ["a_test", "b_test"]
    assert not queue.has_work


def test_rest_of_a_program_runs_after_its_guest_failed() -> None:
    queue = listed_queue()
    queue.interrupt(taken(queue), passed(TESTS[0]), TESTS[1], "panic: vm_fault")
    again = taken(queue)
    assert again.tests == (TESTS[2],)
    queue.finish(again, passed(TESTS[2]))
    queue.finish(taken(queue), passed(TESTS[3]))
    assert list(results(queue).values()) == [
        TestResult.PASSED, TestResult.PANICKED, TestResult.PASSED, TestResult.PASSED,
    ]  # fmt: skip
    assert queue.outcomes[TESTS[1]].reason == "panic: vm_fault"


def test_guests_that_fail_before_any_test_end_the_run() -> None:
    queue = listed_queue()
    for _ in range(2):
        assert queue.has_work
        queue.interrupt(taken(queue), [], None, "hang")
    assert not queue.has_work
    assert set(results(queue).values()) == {TestResult.NOT_RUN}


def test_guest_that_fails_in_each_test_goes_on_to_the_last() -> None:
    queue, guests = SuiteQueue((SUITE,)), 0
    queue.add(taken(queue), TESTS)
    while queue.has_work:
        work = taken(queue)
        queue.interrupt(work, [], work.tests[0], "panic: x")
        guests += 1
    assert guests == len(TESTS)
    assert set(results(queue).values()) == {TestResult.PANICKED}


def test_test_that_kyua_left_out_is_broken() -> None:
    queue = listed_queue()
    queue.finish(taken(queue), passed(TESTS[0], TESTS[2]))
    assert results(queue)["a_test:two"] is TestResult.BROKEN


def test_suite_that_the_world_lacks_is_named() -> None:
    queue = SuiteQueue(("sys/none",))
    queue.refuse(taken(queue), "the world has no /usr/tests/sys/none/Kyuafile")
    assert queue.wrong == {"sys/none": "the world has no /usr/tests/sys/none/Kyuafile"}
    assert queue.take(never) is None


def test_guest_waits_for_work_that_another_may_give_back() -> None:
    queue = SuiteQueue((SUITE,))
    listing = taken(queue)
    found: list[Work | None] = []
    waiting = threading.Thread(target=lambda: found.append(queue.take(never)))
    waiting.start()
    queue.add(listing, TESTS)
    waiting.join(30)
    assert [work.program for work in found if work] == ["a_test"]


def test_guest_that_is_to_end_does_not_wait() -> None:
    queue = SuiteQueue((SUITE,))
    taken(queue)
    assert queue.take(lambda: True) is None


def test_results_are_kept_as_each_program_ends(tmp_path: Path) -> None:
    store = Store(tmp_path)
    directory = store.create("kyua", datetime(2026, 1, 1, tzinfo=UTC))
    store.save_document(beginning(directory.name, (), "", Planned("tree"), None))
    queue = listed_queue()
    queue.keep = partial(keep_tests, directory)
    queue.interrupt(taken(queue), passed(TESTS[0]), TESTS[1], "panic: x", "guest-1")
    queue.finish(taken(queue), passed(TESTS[2]))
    tests = store.load(directory.name)["tests"]
    assert [(test["test"], test["result"]) for test in tests] == [
        (str(TESTS[0]), "passed"), (str(TESTS[1]), "panicked"), (str(TESTS[2]), "passed"),
    ]  # fmt: skip


@given(st.lists(st.integers(0, 3), max_size=12))
def test_every_test_has_one_result_whatever_guests_do(steps: Sequence[int]) -> None:
    queue = listed_queue()
    for step in steps:
        work = queue.take(lambda: True) if not queue.has_work else taken(queue)
        if work is None:
            break
        done, left = work.tests[:step], work.tests[step:]
        if left:
            queue.interrupt(work, passed(*done), left[0] if step % 2 else None, "panic: x")
        else:
            queue.finish(work, passed(*done))
    assert [outcome.test for outcome in queue.rest()] == TESTS


# --- a guest -----------------------------------------------------------------------------------


@dataclass
class KyuaShell:
    """A guest with kyua, whose suite has some tests; see ``Shell``.

    Args:
        fatal: tests in which the guest fails.
    """

    fatal: frozenset[str] = frozenset()
    commands: list[str] = field(default_factory=list)

    def connect(self) -> None:
        self.commands.append("connect")

    def run(
        self, command: str, *, timeout: float | None = None, stdin: bytes = b"",
        sink: OutputSink | None = None,
    ) -> Completed:  # fmt: skip
        self.commands.append(command)
        words = command.split()
        if " list " in command and sink is not None:
            sink.stdout("".join(f"{test.filter}\n" for test in TESTS).encode())
        elif " test " in command and sink is not None:
            for name in words[words.index("-k") + 3 :]:
                sink.stdout(f"{name}  ->  ".encode())
                if name in self.fatal:
                    raise ShellLostError("the connection was lost")
                sink.stdout(b"passed  [0.010s]\n")
        elif "report-junit" in command and sink is not None:
            sink.stdout(report_of(("a_test", "one", "its output")))
        return Completed(0 if "none" not in command else 1)

    def put(self, source: Path, target: PurePosixPath) -> None:
        self.commands.append(f"put {source} {target}")

    def get(self, source: PurePosixPath, target: Path) -> None:
        raise AssertionError(source, target)

    def close(self) -> None:
        self.commands.append("close")


class NoPort(Tap):
    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        return None

    def write(self, data: bytes) -> None:
        raise AssertionError(data)


def run_in_guest(
    queue: SuiteQueue, shell: KyuaShell, why: str = "panic: x", *, put: Put = ()
) -> SuiteClient:
    client = SuiteClient(queue, "guest-1", put)
    contact = Contact(NoPort(), lambda _: shell, lambda _: True)
    client.work(contact, None, Recorded(), ManualClock())  # type: ignore[arg-type]
    client.close(why)
    return client


def test_guest_lists_and_runs_a_suite() -> None:
    queue, shell = SuiteQueue((SUITE,)), KyuaShell()
    run_in_guest(queue, shell)
    assert set(results(queue).values()) == {TestResult.PASSED}
    assert queue.outcomes[TESTS[0]].stdout == "its output"
    assert queue.outcomes[TESTS[0]].cell == "guest-1"
    assert shell.commands[-1] == "close"


def test_one_test_runs_at_a_time_so_that_its_name_is_printed() -> None:
    shell = KyuaShell()
    run_in_guest(SuiteQueue((SUITE,)), shell)
    kyua = [command for command in shell.commands if "kyua" in command and "report" not in command]
    assert kyua
    assert all("parallelism=1" in command for command in kyua)


def test_fresh_guest_runs_what_a_failed_one_left() -> None:
    queue = SuiteQueue((SUITE,))
    failed = run_in_guest(queue, KyuaShell(frozenset({"a_test:two"})))
    assert failed.lost == "the connection was lost"
    assert queue.has_work
    run_in_guest(queue, KyuaShell())
    assert results(queue) == {
        "a_test:one": TestResult.PASSED, "a_test:two": TestResult.PANICKED,
        "a_test:three": TestResult.PASSED, "b_test:one": TestResult.PASSED,
    }  # fmt: skip
    assert queue.outcomes[TESTS[1]].reason == "panic: x"


def test_suite_without_a_kyuafile_and_programs_is_refused() -> None:
    queue = SuiteQueue(("sys/none",))
    run_in_guest(queue, KyuaShell())
    assert queue.wrong == {"sys/none": "/usr/tests/sys/none has neither a Kyuafile nor programs"}


def test_test_that_ended_its_guest_names_the_guest() -> None:
    queue = SuiteQueue((SUITE,))
    run_in_guest(queue, KyuaShell(frozenset({"a_test:two"})))
    assert queue.outcomes[TESTS[1]].cell == "guest-1"


def test_files_are_copied_before_a_suite_is_listed(tmp_path: Path) -> None:
    put = ((tmp_path, PurePosixPath("/usr/tests/own")),)
    shell = KyuaShell()
    run_in_guest(SuiteQueue(("own",)), shell, put=put)
    assert shell.commands[:2] == ["connect", f"put {tmp_path} /usr/tests/own"]


def test_programs_become_a_suite_in_each_guest(tmp_path: Path) -> None:
    put, queue = ((tmp_path, PurePosixPath("/usr/tests/own")),), SuiteQueue(("own",))
    run_in_guest(queue, KyuaShell(frozenset({"a_test:two"})), put=put)
    fresh = KyuaShell()
    run_in_guest(queue, fresh, put=put)
    assert fresh.commands[1] == f"put {tmp_path} /usr/tests/own"
    assert fresh.commands[2].startswith("set -- /usr/tests/own\n")


def made_kyuafile(directory: Path) -> tuple[int, str]:
    """Run the client's script on a directory of this host; return its status and the Kyuafile."""
    script = f"set -- {shlex.quote(str(directory))}\n{KYUAFILE}"
    finished = subprocess.run(["sh", "-c", script], check=False)
    file = directory / "Kyuafile"
    return finished.returncode, file.read_text() if file.exists() else ""


def test_directory_of_programs_becomes_a_suite(tmp_path: Path) -> None:
    for name in ("stress", "fork_1.sh", "-bad", 'qu"ote', "a b"):
        (tmp_path / name).touch(0o755)
    (tmp_path / "README").touch(0o644)
    status, text = made_kyuafile(tmp_path)
    assert status == 0
    assert text.splitlines() == [
        "syntax(2)",
        'test_suite("programs")',
        'plain_test_program{name="fork_1.sh"}',
        'plain_test_program{name="stress"}',
    ]


def test_kyuafile_of_the_users_stays(tmp_path: Path) -> None:
    (tmp_path / "Kyuafile").write_text("syntax(2)\n")
    (tmp_path / "program").touch(0o755)
    assert made_kyuafile(tmp_path) == (0, "syntax(2)\n")


@pytest.mark.parametrize("exists", [True, False])
def test_directory_without_programs_is_no_suite(tmp_path: Path, *, exists: bool) -> None:
    directory = tmp_path / "suite"
    if exists:
        directory.mkdir()
    assert made_kyuafile(directory) == (1, "")
