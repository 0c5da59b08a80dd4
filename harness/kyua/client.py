"""Runs suites in one guest, piece by piece; see ``harness.boot.guestclient``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from harness.guest.contact import HeldShell
from harness.kyua.queue import SuiteQueue, Work
from harness.kyua.tests import TestId, TestProgress, listed, with_output
from harness.shell.shell import (
    OutputSink,
    Shell,
    ShellError,
    ShellLostError,
    ShellTimeoutError,
)

if TYPE_CHECKING:
    from pathlib import Path, PurePosixPath

    from harness.console.report import GuestReport
    from harness.guest.contact import Contact
    from harness.host.clock import Clock
    from harness.host.progress import Progress

TESTS: Final = "/usr/tests"
"""The directory of the suites in a guest."""

_RESULTS: Final = "/tmp/harness-kyua.db"  # noqa: S108 - in the guest

#: Succeeds if the directory ``$1`` has a Kyuafile; one of its executable files is made if not.
KYUAFILE: Final = """\
cd "$1" 2>/dev/null || exit 1
[ ! -f Kyuafile ] || exit 0
found=
for name in *; do
	case $name in *[!A-Za-z0-9_.+@,=-]*|[!A-Za-z0-9_]*) continue ;; esac
	[ -f "$name" ] && [ -x "$name" ] || continue
	found="$found
plain_test_program{name=\\"$name\\"}"
done
[ -n "$found" ] || exit 1
printf 'syntax(2)\\ntest_suite("programs")%s\\n' "$found" >Kyuafile
"""

_MOST_REPORT: Final = 16 << 20
"""Most bytes of a report, and of a list of tests, that are read."""


@dataclass(slots=True)
class SuiteClient:
    """Takes work from a queue until there is none, or the guest fails.

    Args:
        queue: the work.
        cell: the guest's name.
        put: files and directories that are copied into the guest before, with their targets.

    Attributes:
        lost: why the connection was lost; empty if it was not.
    """

    queue: SuiteQueue
    cell: str
    put: tuple[tuple[Path, PurePosixPath], ...] = ()
    lost: str = ""
    _alive: bool = True
    _held: HeldShell = field(default_factory=HeldShell)
    _work: Work | None = None
    _progress: TestProgress | None = None

    @property
    def module(self) -> str:
        """See ``GuestClient``: it needs no check module."""
        return ""

    @property
    def tunables(self) -> Mapping[str, str]:
        """See ``GuestClient``: it needs none."""
        return {}

    @property
    def silence(self) -> tuple[str, str] | None:
        """See ``JudgedClient``."""
        return None if self._alive else ("silent during a test", self.lost)

    @property
    def running(self) -> TestId | None:
        """The test during which the guest failed; None if none had begun."""
        return self._progress.running if self._progress else None

    def again(self, slower: float = 1.0) -> SuiteClient:
        """See ``JudgedClient``: a repeat of the boot runs no test."""
        del slower
        return SuiteClient(SuiteQueue(()), self.cell)

    def into(self, directory: Path) -> SuiteClient:
        """See ``JudgedClient``: it keeps no files."""
        del directory
        return self

    def stop(self) -> None:
        """See ``GuestClient``."""
        self._held.stop()

    def work(self, contact: Contact, report: GuestReport, progress: Progress, time: Clock) -> None:
        """See ``GuestClient``."""
        del report
        progress.stage("connecting")
        try:
            with self._held.connected(contact, time) as shell:
                self._copy(shell, progress)
                while (work := self.queue.take(self._held.stopped.is_set)) is not None:
                    self._work, self._progress = work, None
                    self._do(work, shell, progress)
                    self._work = None
        except (ShellLostError, ShellTimeoutError) as error:
            self.lost = str(error)
            if not self._held.is_told():
                self._alive = self._held.lives(contact, time)
        except ShellError as error:
            self.lost = str(error)

    def close(self, why: str) -> None:
        """Give back what the guest did not finish.

        Args:
            why: how the guest failed, by its verdict.
        """
        if self._work is None:
            return
        work, self._work = self._work, None
        ended = self._progress.ended if self._progress else []
        named = [replace(outcome, cell=self.cell) for outcome in ended]
        self.queue.interrupt(work, named, self.running, why, self.cell)

    def _do(self, work: Work, shell: Shell, progress: Progress) -> None:
        if not work.program:
            progress.stage(f"listing {work.suite}")
            self._list(work, shell)
            return
        progress.stage(f"{work.suite}/{work.program}")
        self._progress = reader = TestProgress(work.suite)

        def read(data: bytes) -> None:
            for outcome in reader.feed(data):
                progress.detail(f"{outcome.test.case} {outcome.result}")

        filters = shlex.join(test.filter for test in work.tests)
        # As in the documentation, each program has a new results file.
        shell.run(
            f"rm -f {_RESULTS}; {_kyua(work.suite, 'test')} --results-file={_RESULTS} {filters}",
            sink=OutputSink(read),
        )
        report = self._output(shell, f"kyua report-junit --results-file={_RESULTS}")
        outcomes = [
            replace(outcome, cell=self.cell) for outcome in with_output(reader.ended, report)
        ]
        self.queue.finish(work, outcomes)

    def _copy(self, shell: Shell, progress: Progress) -> None:
        """Copy the user's files; programs among them become a suite, in each guest anew."""
        for source, target in self.put:
            progress.stage(f"copying {source.name}")
            shell.put(source, target)
        for suite in self.queue.suites if self.put else ():
            _make_suite(shell, f"{TESTS}/{suite}")

    def _list(self, work: Work, shell: Shell) -> None:
        directory = f"{TESTS}/{work.suite}"
        if not _make_suite(shell, directory):
            self.queue.refuse(work, f"{directory} has neither a Kyuafile nor programs")
            return
        text = self._output(shell, _kyua(work.suite, "list"))
        self.queue.add(work, listed(text.decode("utf-8", "replace"), work.suite))

    def _output(self, shell: Shell, command: str) -> bytes:
        """Return the standard output of a command, up to a limit."""
        parts: list[bytes] = []

        def keep(data: bytes) -> None:
            if sum(map(len, parts)) < _MOST_REPORT:
                parts.append(data)

        shell.run(command, sink=OutputSink(keep))
        return b"".join(parts)[:_MOST_REPORT]


def _make_suite(shell: Shell, directory: str) -> bool:
    """Make a Kyuafile of the programs of a directory that has none; return whether it has one."""
    return shell.run(f"set -- {shlex.quote(directory)}\n{KYUAFILE}").succeeded


def _kyua(suite: str, command: str) -> str:
    """Return a command of kyua for a suite; one test at a time, so that its name is printed."""
    file = shlex.quote(f"{TESTS}/{suite}/Kyuafile")
    return f"kyua -v parallelism=1 {command} -k {file}"
