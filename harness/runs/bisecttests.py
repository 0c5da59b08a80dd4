"""How a bisection tests its revisions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.bisect.search import Question
from harness.check.checker import CheckPlan
from harness.guest.memory import required_memory
from harness.guest.registry import Registry
from harness.host.memory import available_memory
from harness.runs.buildtester import BuildTester
from harness.runs.checkplans import subsystem_of
from harness.runs.examination import BootExamination, CommandExamination, Examination
from harness.runs.kerneltester import KernelTester
from harness.source.change import Change
from harness.subsystems.table import SUBSYSTEMS

if TYPE_CHECKING:
    from harness.bisect.tester import Tester
    from harness.boot.plan import BootPlan
    from harness.provide.provider import Provider
    from harness.provide.revisions import Revisions
    from harness.runs.bisectrequest import BisectRequest
    from harness.runs.ends import Ends
    from harness.runs.environment import Environment
    from harness.runs.guests import Guests
    from harness.sanitizers import Sanitizers
    from harness.world.image import World

#: Operations of each check.
_OPERATIONS = 1000

#: Kernels built while a guest boots. With few CPUs, this would slow both down.
_AHEAD = 2 if (os.cpu_count() or 1) > 4 else 1


@dataclass(frozen=True, slots=True)
class Testing:
    """How the revisions of one bisection are tested.

    Args:
        question: the question, which determines the number of tests.
        tester: returns the tester for the run's directory.
        asked: what must be equal, besides the history, to resume an interrupted bisection.
        at_once: number of tests of one kernel that can run at once.
        ahead: number of kernels built while one is tested.
    """

    question: Question
    tester: Callable[[Path], Tester]
    asked: Mapping[str, Any]
    at_once: int = 1
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class RevisionTests:
    """The tests of one bisection.

    Args:
        request: the bisection.
        env: the host.
        guests: the guests that it boots.
        sanitizers: the sanitizers of its kernels.
    """

    request: BisectRequest
    env: Environment
    guests: Guests
    sanitizers: Sanitizers

    def revisions(self, provider: Provider, ends: Ends) -> Revisions:
        """Return what is known of the history's revisions, and builds their kernels."""
        request = self.request
        newest_first = (ends.new, *ends.old)
        # The toolchain of a revision that does not compile may not compile either.
        compiles = (*ends.old, ends.new) if not request.fixed else newest_first
        modules = (_checked(request),) if request.how == "check" else ()
        return provider.revisions(
            ends.tree,
            self.guests.with_userland(request.what),
            self.sanitizers,
            compiles if request.how == "build" else newest_first,
            modules=modules,
        )

    def testing(self, ends: Ends, revisions: Revisions) -> Testing:
        """Return how they are tested: compiled, booted, checked, or by a command."""
        return (self._compiling if self.request.how == "build" else self._booting)(ends, revisions)

    def _compiling(self, ends: Ends, revisions: Revisions) -> Testing:
        """Return the tests of a bisection that only compiles."""
        env = self.env

        def tester(directory: Path) -> BuildTester:
            return BuildTester(revisions, directory, env.clock, env.runner.close)

        question = Question.of_builds(ends.new, ends.old, fixed=self.request.fixed)
        return Testing(question, tester, {})

    def _booting(self, ends: Ends, revisions: Revisions) -> Testing:
        """Return the tests of a bisection that boots: a boot, a check, or a command."""
        request, guests, env = self.request, self.guests, self.env
        topology = guests.topology(self.sanitizers, "bisect")
        keep = bool(request.command)
        plan = guests.plan(
            topology, self.sanitizers, keep=keep, goes_on=True, checked=request.how == "check"
        )
        check = self._check_plan(ends, revisions, plan)
        booter = guests.booter()
        if guests.world is not None:
            plan = replace(plan, world=self._world(ends))
        boot = BootExamination(
            booter, plan, request.what, self.sanitizers, check, request.program, env.logs
        )

        def tester(directory: Path) -> KernelTester:
            return KernelTester(revisions, self._examination(boot), booter, directory, env.clock)

        asked = {
            "topology": asdict(plan.topology),
            "until": plan.until.value,
            "boot": plan.method.value,
            "tunables": dict(plan.tunables),
            "any_failure": request.any_failure,
            "command": request.command,
            **({"program": request.program.command} if request.program else {}),
            **({"world": plan.world.identity.key} if plan.world else {}),
        }
        question = Question(
            ends.new, ends.old, request.fixed, request.confidence / 100, request.repeat
        )
        # The user's command may not support two runs at once.
        fitting = available_memory() // required_memory(plan.topology)
        at_once = 1 if keep else max(1, min(guests.most_at_once, fitting))
        return Testing(question, tester, asked, at_once, _AHEAD)

    def _world(self, ends: Ends) -> World:
        """Return one world for all revisions, that of an older end, which newer kernels run, too.

        Its build may take long, so it is shown.
        """
        from harness.runs.worlds import world_for

        what = replace(self.request.what, change=Change(ends.old[0]))
        with self.guests.view.rows() as rows:
            row = rows.row("world")
            world = world_for(what, self.guests.world, self.env, row)
            rows.done("world", "ready", good=True)
        return world

    def _check_plan(self, ends: Ends, revisions: Revisions, plan: BootPlan) -> CheckPlan | None:
        """Return the check of all revisions, against the specification of an end that passes."""
        request = self.request
        if request.how != "check":
            return None
        good = ends.new if request.fixed else ends.old[0]
        subsystem = subsystem_of(_checked(request), revisions)
        held = revisions.specification(subsystem, good)
        return CheckPlan(held, _OPERATIONS, 1, slowness=plan.slowness)

    def _examination(self, boot: BootExamination) -> Examination:
        command = self.request.command
        if not command:
            return boot
        env = self.env
        registry = Registry(env.workspace, env.clock)
        return CommandExamination(boot, command, os.environ, registry, env.runner, env.clock)


def _checked(request: BisectRequest) -> str:
    """Return the name of the subsystem for which each kernel is checked."""
    return request.subsystem or SUBSYSTEMS[0].name
