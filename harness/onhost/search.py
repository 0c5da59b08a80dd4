"""A check of a host program: the guest's traces, model, answers and shrinking."""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from harness.check.channel import Channel, ChannelEnded, GuestGone, GuestSilent
from harness.check.modelled import TRACE_LENGTH
from harness.check.protocol import Nonsense
from harness.check.result import CheckResult, Conclusion, Difference, HostRun
from harness.check.shrink import shrink
from harness.errors import UsageError
from harness.onhost.ending import COSTLY, EndingKind, HostEnding
from harness.onhost.transcript import Transcript, TranscriptRecorder

if TYPE_CHECKING:
    from harness.check.checker import CheckPlan
    from harness.check.subject import Differs, Subject, Trace
    from harness.host.clock import Clock
    from harness.host.progress import Progress
    from harness.onhost.run import HostTap, ProgramRunner
    from harness.onhost.transcript import TranscriptCache

#: Operations of a part, which is kept as a whole and begins with a fresh subject.
_PART: Final = 2000
#: How many shorter traces are tried; a program that has ended is started again for each.
_SHRINK_ATTEMPTS: Final = 400
_TELL_EVERY: Final = 500
#: Commands without an answer: all of a trace, so that the two sides seldom wait for each other.
_WINDOW: Final = TRACE_LENGTH


@dataclass(frozen=True, slots=True)
class Found:
    """A fault that a program showed.

    Args:
        trace: the trace up to the operation that shows it; None if no trace was running.
        differs: the difference from the model, or None.
        ending: the program's ending, or None.
    """

    trace: Trace | None
    differs: Differs | None = None
    ending: HostEnding | None = None

    def shows(self, found: Found) -> bool:
        """Return whether it is the same fault: any difference from the model, or the same end."""
        if self.ending is None or found.ending is None:
            return self.ending is None
        return self.ending.title == found.ending.title


@dataclass(slots=True)
class HostSearch:
    """Checks one program.

    Args:
        plan: the check; its replay, if any, runs instead of random traces.
        runner: starts the program.
        transcripts: cached parts of this check.
        clock: measures time.
        progress: shows the operations done.
        shrinks: whether traces are shrunk.

    Attributes:
        shortest: the shortest trace that shows the fault; None without one.
        compared_live: operations compared with the model itself, not with a transcript.
    """

    plan: CheckPlan
    runner: ProgramRunner
    transcripts: TranscriptCache
    clock: Clock
    progress: Progress
    shrinks: bool = True
    compared_live: int = 0
    shortest: Trace | None = None
    _counted: int = 0
    _setups: int = 0
    _in_trace: int = 0
    _alike: str = ""
    _held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _tap: HostTap | None = None
    _again_subject: Subject[Any] | None = None
    _best: Found | None = None

    def run(self) -> CheckResult:
        """Check the program until its operations are done or a fault is found.

        Raises:
            UsageError: the trace to replay cannot be run here.
            InfraError: the host failed.
        """
        started = self.clock.monotonic()
        with self._held:
            found = self._searched() if self.plan.replay is None else self._replayed_trace()
            first = self._counted + (found is not None)
            difference = self._concluded(found, first) if found is not None else None
        result = self._result(found, difference)
        seconds = round(self.clock.monotonic() - started, 3)
        return replace(result, operations=first, seconds=seconds)

    # --- the search ---------------------------------------------------------------------------

    def _searched(self) -> Found | None:
        part = 0
        while self._counted < self.plan.operations:
            kept = self.transcripts.find(part)
            if kept is None or not self._says_again(kept):
                found = self._live(part)
                if found is not None:
                    return found
            part += 1
        return None

    def _says_again(self, kept: Transcript) -> bool:
        """Whether the program answers as it is kept; if not, it may have ended."""
        tap = self._program()
        tap.write(b"!digest\n" + kept.commands + b"!tell\n!plain\n")
        wanted = b"!sum %d %08x" % (kept.answers, kept.digest)
        with contextlib.suppress(Nonsense):
            said = b""
            while not said.endswith(b"\n"):
                data = tap.read(self.runner.limits.silence)
                if not data:
                    break
                said += data
            if said.strip() == wanted:
                self._counted += kept.operations
                self._tell()
                return True
        self._drop()
        return False

    def _live(self, part: int) -> Found | None:
        """A part held to the model, and kept if the program agrees."""
        recorder = TranscriptRecorder(self._program())
        before, trace = self._counted, None
        seed = self.plan.seed if part == 0 else f"{self.plan.seed}/{part}"
        rng = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        try:
            subject = self._subject(recorder)
            while self._counted - before < _PART:
                self._in_trace = 0
                trace = subject.random_trace(rng)
                differs = subject.run(trace)
                if differs is not None:
                    return Found(trace.head(differs.place + 1), differs)
                subject.discard()
                trace = None
        except (ChannelEnded, Nonsense) as ended:
            return self._found_ended(trace, ended)
        self.compared_live += self._counted - before
        self.transcripts.keep(part, recorder.transcript(self._counted - before))
        return None

    def _replayed_trace(self) -> Found | None:
        given = self.plan.replay
        trace = None
        try:
            subject = self._subject(self._program())
            trace = subject.given_trace(given)
            differs = subject.run(trace)
        except (ChannelEnded, Nonsense) as ended:
            return self._found_ended(trace, ended)
        return None if differs is None else Found(trace.head(differs.place + 1), differs)

    def _found_ended(self, trace: Trace | None, ended: Exception) -> Found:
        """The program has ended, or is ended for what it says or does not say."""
        tap = self._program()
        if isinstance(ended, GuestSilent):
            tap.end(EndingKind.LOOP, f"the host program has not answered: {ended}")
        elif not isinstance(ended, GuestGone):
            tap.end(EndingKind.EXITED, f"the host program answers nonsense: {ended}")
        ending = tap.ending or HostEnding(EndingKind.EXITED)
        self._drop()
        return Found(trace.head(self._in_trace + 1) if trace is not None else None, None, ending)

    # --- shrinking ----------------------------------------------------------------------------

    def _concluded(self, found: Found, first: int) -> Difference | None:
        """The shortest trace that shows it."""
        counted = self._counted
        best = found
        costly = found.ending is not None and found.ending.kind in COSTLY
        if self.shrinks and found.trace is not None and self.plan.replay is None and not costly:
            self.progress.detail("shrinks what was found")
            best = self._shrunk(found, found.trace)
        self._counted = counted
        self._best, self.shortest = best, best.trace
        if best.differs is None or best.trace is None:
            return None
        lines = tuple(line.replace("the guest", "the program") for line in best.differs.lines)
        return Difference(
            trace=str(best.trace), length=len(best.trace), step=best.differs.place + 1,
            operation=best.differs.operation, lines=lines, first=first,
        )  # fmt: skip

    def _shrunk(self, found: Found, trace: Trace) -> Found:
        shortest = [found]

        def shows(candidate: Trace) -> bool:
            again = self._again(candidate)
            if again is None or not again.shows(found) or again.trace is None:
                return False
            shortest.append(again)
            return True

        shrink(trace, shows, _SHRINK_ATTEMPTS)
        return min(shortest, key=lambda each: len(each.trace or ()))

    def _again(self, candidate: Trace) -> Found | None:
        """What a shorter trace shows, in the program that runs or a fresh one."""
        self._in_trace = 0
        try:
            differs = self._shrinking().run_again(candidate)
        except UsageError:
            return None
        except (ChannelEnded, Nonsense) as ended:
            return self._found_ended(candidate, ended)
        return None if differs is None else Found(candidate.head(differs.place + 1), differs)

    # --- programs -----------------------------------------------------------------------------

    def _program(self) -> HostTap:
        """The program that runs, or a fresh one."""
        if self._tap is None:
            self._tap = self._held.enter_context(self.runner.started())
        return self._tap

    def _drop(self) -> None:
        """End the program."""
        self._held.close()
        self._tap, self._again_subject = None, None

    def _subject(self, tap: Any) -> Subject[Any]:
        channel = Channel(tap, self.clock, self.runner.limits.silence, _WINDOW)
        channel.open()
        layout = self.runner.layout
        held = self.plan.specification
        return held.subject(channel, layout.report(), layout.domains, self._count)

    def _shrinking(self) -> Subject[Any]:
        if self._again_subject is None:
            self._again_subject = self._subject(self._program())
        return self._again_subject

    def _count(self) -> None:
        self._counted += 1
        self._in_trace += 1
        if self._counted % _TELL_EVERY == 0:
            self._tell()

    def _tell(self) -> None:
        self.progress.detail(f"{self._counted} of {self.plan.operations}")

    # --- the result ---------------------------------------------------------------------------

    def _result(self, found: Found | None, difference: Difference | None) -> CheckResult:
        held = self.plan.specification
        identity = self.runner.program.identity
        best = self._best if found is not None else None
        ending = best.ending if best is not None else None
        run = HostRun(
            identity.key, identity.sources, identity.compiler, identity.optimisation,
            identity.shimmed, identity.sanitizers,
        )  # fmt: skip
        if ending is not None:
            run = replace(run, kind=str(ending.kind), text=ending.text, frames=ending.frames,
                          is_finding=ending.is_finding)  # fmt: skip
        conclusion, why, trace = Conclusion.AGREED, "", ""
        if difference is not None:
            conclusion, why = Conclusion.DIFFERS, "; ".join(difference.lines)
        elif ending is not None:
            conclusion, why = ending.conclusion, ending.in_words()
            trace = str(best.trace) if best is not None and best.trace is not None else ""
        return CheckResult(
            held.subsystem, held.name, held.title, held.proof, self.plan.seed,
            setups=self._setups, conclusion=conclusion, why=why, difference=difference,
            trace=trace, asked=held.asked, chosen=held.why, changed=held.changed, diff=held.diff,
            alike=self._alike, host=run,
        )  # fmt: skip
