"""``harness boot``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import (
    change_options,
    common_options,
    debug_options,
    debug_plan,
    guest_options,
    guest_request,
    junit_option,
    kernel_option,
    named_kernel,
    source_options,
)
from harness.cli.publish import publish_run
from harness.cli.sanitizers import AskedSanitizers, report_option, sanitizer_options
from harness.cli.view import UserView
from harness.errors import UsageError
from harness.outcome import Outcome
from harness.runs.boot import BootRequest, describe_boot
from harness.runs.boot import boot as boot_kernel
from harness.sanitizers import OUTCOMES
from harness.source.change import Change

if TYPE_CHECKING:
    from harness.cli.app import App
    from harness.results.record import Run
    from harness.runs.recording import RunResult

#: Exit status at which ``git bisect run`` stops (git-bisect(1)).
_STOP = 128

#: Retries after host failures under ``git bisect run``, which cannot continue without an answer.
_RETRIES = 2

#: Outcomes that show a bad kernel, rather than a boot that proves nothing.
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
@click.option("--repeat", type=click.IntRange(1, 1000), metavar="N", default=1,
              help="Boot N times, and count each outcome.")  # fmt: skip
@junit_option
@click.option("--keep", is_flag=True, help="Keep the guest running after the verdict.")
@click.option("--interactive", is_flag=True, help="Attach to the guest's console; Ctrl-] detaches.")
@debug_options
@click.option("--dry-run", is_flag=True, help="Print a command or domain XML that boots the guest.")
@click.option("--git-bisect", is_flag=True, help="Exit with the codes of 'git bisect run'.")
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
    """Build a kernel, boot it on a NUMA guest, and report the outcome.

    \b
    Examples:
      harness boot --numa 4 --kasan
      harness boot --numa 2 --kasan --mutant drop-commit --keep --interactive
      harness boot --numa 2 --mutant drop-commit --ddb 'bt; show uma' --dump
      harness boot --kernel ./kernel --numa 2 --boot direct
      harness boot --numa 2 --option INVARIANTS=n
      harness boot --source ~/src --rev stable/14 --vm numa2-kasan --repeat 5
      git bisect run harness boot --source . --numa 2 --kasan --git-bisect
    """
    change = Change(options.pop("revision"), options.pop("patch"), options.pop("mutant"))
    keep, interactive = options.pop("keep"), options.pop("interactive")
    dry_run, git_bisect = options.pop("dry_run"), options.pop("git_bisect")
    asked_debug = debug_plan(app, options)
    several = {"--repeat": repeat > 1, "--git-bisect": git_bisect}
    alone = {"--keep": keep, "--interactive": interactive, "--gdb-on-panic": asked_debug.at_panic}
    for option, given in alone.items():
        if given:
            _refuse_several(option, [name for name, used in several.items() if used])
    if interactive and app.as_json:
        raise UsageError(
            "--interactive and --json both write to standard output",
            remedy="leave out --json; harness report --json prints the record afterwards",
        )
    request = BootRequest(
        named_kernel(app, source, kernconf, change, kernel, options.pop("kernel_options")),
        guest_request(options, numa),
        asked.of_kernel(),
        repeat,
        keep=keep,
        host_retries=_RETRIES if git_bisect else 0,
        debug=asked_debug,
    )
    attended = sys.stdin.isatty() and sys.stdout.isatty() and not app.as_json
    view = UserView(app, interactive, gdb=asked_debug.at_panic and attended)
    if dry_run:
        return _describe(app, describe_boot(request, app, view))
    result = boot_kernel(request, app, view)
    if keep:
        _tell_kept(app, result)
    publish_run(app, result, junit)
    return _bisect_code(result.run) if git_bisect else result.exit_code


def _refuse_several(option: str, several: Sequence[str]) -> None:
    if several:
        raise UsageError(
            f"{option} is for one guest",
            remedy=f"leave out {' and '.join(several)}",
        )


def _describe(app: App, text: str) -> int:
    app.streams.answers = True
    app.paper.print(text.rstrip(), markup=False, soft_wrap=True)
    app.emit({"guest": text})
    return 0


def _tell_kept(app: App, result: RunResult) -> None:
    from harness.guest.registry import Registry

    live = Registry(app.workspace, app.clock).live()
    kept = [guest for guest in live if guest.run == result.run.name]
    for guest in kept:
        app.messages.say(f"{guest.name} keeps running")
        app.messages.say(f"  to attach to it: harness console --interactive {guest.name}")
        app.messages.say(f"  to stop it: harness stop {guest.name}")
    if not kept:
        app.warn("the guest has ended by itself, so there is none to keep")


def _bisect_code(run: Run) -> int:
    """Bad takes evidence of the kernel, good takes proof of every guest; git stops at the rest."""
    if any(cell.host_failed for cell in run.cells):
        return _STOP
    outcomes = {cell.verdict.outcome for cell in run.cells if cell.verdict}
    if outcomes & _BAD or any(cell.failing for cell in run.cells):
        return 1
    return 0 if outcomes == {Outcome.BOOTED} else _STOP
