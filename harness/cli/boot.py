"""``harness boot``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.boot.cell import CellPlan, repeated
from harness.cli.options import (
    change_options,
    common_options,
    guest_options,
    junit_option,
    kernel_option,
    source_options,
)
from harness.cli.sanitizers import AskedSanitizers, report_option, sanitizer_options
from harness.cli.session import GuestOptions, Session
from harness.errors import UsageError
from harness.host.progress import Recorded
from harness.outcome import Outcome
from harness.sanitizers import OUTCOMES
from harness.source.change import Change

if TYPE_CHECKING:
    from harness.cli.app import App
    from harness.results.record import Run

#: At which ``git bisect run`` stops (git-bisect(1)).
_STOP = 128

#: Outcomes that say that the kernel is bad, rather than that the boot proves nothing.
_BAD = OUTCOMES | {Outcome.PANIC, Outcome.TRAP, Outcome.HANG, Outcome.DEBUGGER, Outcome.RESET,
                   Outcome.ENDED, Outcome.DIFFERS}  # fmt: skip


@click.command()
@source_options
@change_options
@kernel_option
@sanitizer_options
@report_option
@click.option("--numa", metavar="N", help="Number of NUMA nodes.  [default: 1]")
@guest_options
@click.option("--repeat", type=click.IntRange(1, 1000), default=1,
              help="Boot N times: failures that do not repeat are counted.")  # fmt: skip
@junit_option
@click.option("--keep", is_flag=True, help="Leave the guest running after the verdict.")
@click.option("--interactive", is_flag=True, help="Sit at the guest's console; Ctrl-] leaves it.")
@click.option("--dry-run", is_flag=True, help="Print a command or domain XML that boots it.")
@click.option("--git-bisect", is_flag=True, help="Exit codes for 'git bisect run'.")
@common_options
def boot(
    app: App,
    source: str | None,
    kernconf: str | None,
    kernel: Path | None,
    numa: str | None,
    repeat: int,
    junit: Path | None,
    asked: AskedSanitizers,
    **options: Any,
) -> int:
    """Build a kernel, boot it on a NUMA guest, and say what became of it.

    \b
    Examples:
      harness boot --numa 4 --kasan
      harness boot --numa 2 --kasan --mutant drop-commit --keep --interactive
      harness boot --kernel ./kernel --numa 2 --boot direct
      harness boot --source ~/src --rev stable/14 --vm numa2-kasan --repeat 5
      git bisect run harness boot --source . --numa 2 --kasan --git-bisect
    """
    dry_run = options.pop("dry_run")
    change = Change(options.pop("revision"), options.pop("patch"), options.pop("mutant"))
    manner = {name: options.pop(name) for name in ("keep", "interactive", "git_bisect")}
    session = Session(app, GuestOptions(**options), **manner)
    several = {"--repeat": repeat > 1, "--git-bisect": session.git_bisect}
    _check_manner(session, [option for option, given in several.items() if given])
    sanitizers = asked.of_kernel(session.vmconfig())
    topologies = session.topologies(numa, sanitizers)
    if len(topologies) != 1:
        raise UsageError(
            f"--numa {numa} names several guests, and boot boots one",
            remedy="name one number; harness compare takes several",
        )
    what = session.what(source, kernconf, kernel, change)
    cell = CellPlan(
        name=f"{sanitizers}-numa{len(topologies[0].nodes)}",
        side="",
        what=what,
        sanitizers=sanitizers,
        boot=session.plan(topologies[0], sanitizers),
        expected=(Outcome.BOOTED,),
        why_expected="harness boot expects every kernel to boot",
    )
    if dry_run:
        return _describe(session, cell, app)
    run = session.run("boot", repeated(cell, repeat), junit)
    return _bisect_code(run) if session.git_bisect else run.exit_code


def _check_manner(session: Session, several: Sequence[str]) -> None:
    for name in ("keep", "interactive"):
        if getattr(session, name) and several:
            raise UsageError(
                f"--{name} is for one guest that somebody looks at",
                remedy=f"leave out {' and '.join(several)}",
            )
    if session.interactive and session.app.as_json:
        raise UsageError(
            "--interactive and --json both want standard output",
            remedy="leave out --json; harness report --json prints the record afterwards",
        )


def _describe(session: Session, cell: CellPlan, app: App) -> int:
    app.streams.answers = True
    kernel = session.app.kernels().provide(cell.what, cell.sanitizers, Recorded())
    text = session.booter().describe(cell.name, kernel, cell.boot)
    app.paper.print(text.rstrip(), markup=False, soft_wrap=True)
    app.emit({"guest": text})
    return 0


def _bisect_code(run: Run) -> int:
    """Bad takes evidence of the kernel, good takes proof of every guest; git stops at the rest."""
    if any(cell.host_failed for cell in run.cells):
        return _STOP
    outcomes = {cell.verdict.outcome for cell in run.cells if cell.verdict}
    if outcomes & _BAD or any(cell.failing for cell in run.cells):
        return 1
    return 0 if outcomes == {Outcome.BOOTED} else _STOP
