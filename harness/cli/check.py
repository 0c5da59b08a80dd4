"""``harness check``."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.completion import complete_cases
from harness.cli.failure import Failure
from harness.cli.messages import terminal_width
from harness.cli.options import (
    FILE,
    change_options,
    common_options,
    guest_options,
    guest_request,
    junit_option,
    named_kernel,
    source_options,
)
from harness.cli.publish import publish_run
from harness.cli.sanitizers import AskedSanitizers, report_option, sanitizer_options
from harness.cli.specification import spec_option, subsystem_option
from harness.cli.view import UserView
from harness.errors import HarnessError, UsageError, given_with
from harness.guest.numberlist import parse_numbers
from harness.runs.check import CheckRunResult
from harness.runs.check import check as check_kernel
from harness.runs.checkrequest import CheckRequest, On
from harness.source.change import Change

if TYPE_CHECKING:
    from harness.cli.app import App

#: Of the random traces: all numbers of 64 bits.
_SEEDS = range(1 << 64)


@click.command()
@source_options
@change_options
@sanitizer_options
@report_option
@click.option("--numa", metavar="N", help="Number of NUMA nodes.  [default: 2]")
@guest_options
@click.option("--on", type=click.Choice([each.value for each in On]), default=On.BOTH.value,
              show_default=True,
              help="Check guests, the code as a host program, or both: findings of the "
              "host program are repeated in a guest.")  # fmt: skip
@click.option("--ops", type=click.IntRange(1, 10_000_000), metavar="N",
              help="Minimum number of operations per seed in the guest, or on the host with "
              "--on host.  [default: 1000, on the host 100000]")  # fmt: skip
@click.option("--seed", "seeds", default="1", show_default=True, metavar="S,…",
              help="Seeds of random traces: 7, or 1-10, or 0x1f; a guest for each.")  # fmt: skip
@click.option("--schedules", type=click.IntRange(1, 10_000_000), metavar="N",
              help="With --on host: random traces have threads, and each is run by at most N "
              "schedules. With --replay: schedules of a trace that names none.")  # fmt: skip
@click.option("--replay", type=FILE, metavar="FILE",
              help="Run a trace from a file instead of random ones.")  # fmt: skip
@click.option("--watch", is_flag=True,
              help="With --on host: check the tree's files, and again after each save of one of "
              "them. Ctrl-C ends it, with the exit code of the last check.")  # fmt: skip
@click.option("--coverage", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
              help="With --on host: write the coverage of the followed functions to a "
              "directory, as text, JSON and HTML.")  # fmt: skip
@click.option("--case", metavar="CASE", shell_complete=complete_cases,
              help="Run the trace of a named case; see 'harness cases'.")  # fmt: skip
@click.option("--assume", "assumed", metavar="CASE", multiple=True, shell_complete=complete_cases,
              help="With --on host: apply the fix of a named case first, to see what is behind it. "
              "Repeatable.")  # fmt: skip
@click.option(
    "--fail-on-known", is_flag=True, help="Let findings of named cases fail the check, too."
)
@spec_option
@subsystem_option
@junit_option
@common_options
def check(
    app: App,
    source: str | None,
    kernconf: str | None,
    revision: str | None,
    patch: Path | None,
    mutant: str | None,
    numa: str | None,
    asked: AskedSanitizers,
    **options: Any,
) -> int:
    """Run the same operations in a guest and in the model, and compare each step.

    A subsystem without a model is searched for panics and broken invariants instead.

    The allocator's source is also compiled as a host program and checked first, which takes
    seconds. What is found there is repeated in the guest, whose result counts.

    With --on host, --kasan, --kubsan and --kcsan are of the host program: invalid accesses to
    memory, undefined behaviour, and accesses of threads that nothing orders, with file and line.

    A finding is shrunk to the shortest trace that reproduces it, and stored in the run's
    directory as difference.trace, for --replay and 'harness model trace'.

    \b
    Examples:
      harness check --numa 4 --kasan --ops 1000 --seed 7
      harness check --numa 2 --mutant drop-reserve-fallback --seed 1-10
      harness check --source embedded --numa 4
      harness check --numa 2 --replay difference.trace
      harness check --numa 4 --kasan --subsystem domainset --ops 10000
      harness check --on host --numa 2 --patch mine.diff
      harness check --on host --ops 20000 --watch
      harness check --on host --numa 3 --subsystem zones --ops 1000000
      harness check --on host --subsystem zones --schedules 2000
      harness check --on host --kasan --kubsan --ops 20000
      harness check --on host --kcsan --ops 20000
      harness check --on host --numa 2 --coverage ~/coverage
    """
    change = Change(revision, patch, mutant, assumed=tuple(options.pop("assumed")))
    replay, seeds = options.pop("replay"), options.pop("seeds")
    case, fail_on_known = options.pop("case"), options.pop("fail_on_known")
    schedules = options.pop("schedules") or 0
    if case is not None and replay is not None:
        raise UsageError("--case and --replay both name a trace", remedy="leave one of them out")
    operations, junit = options.pop("ops"), options.pop("junit")
    spec, subsystem = options.pop("spec"), options.pop("subsystem")
    on, watch = On(options.pop("on")), options.pop("watch")
    coverage = options.pop("coverage")
    if coverage is not None and (on is not On.HOST or watch):
        raise UsageError(
            "--coverage measures one check of host programs",
            remedy="leave --watch out" if watch else "add --on host",
        )
    with given_with("--seed"):
        numbers = (1,) if replay or case else parse_numbers(
            seeds, _SEEDS, "seed", few="seeds count from 0", many="a seed has 64 bits"
        )  # fmt: skip
    request = CheckRequest(
        named_kernel(app, source, kernconf, change, kernel_options=options.pop("kernel_options")),
        guest_request(options, numa),
        asked.of_kernel(),
        operations,
        tuple(numbers),
        replay,
        spec,
        subsystem,
        on,
        case,
        fail_on_known,
        schedules,
        coverage,
    )
    if watch:
        return _watch(app, request, junit)
    return _published(app, check_kernel(request, app, UserView(app)), junit)


def _published(app: App, result: CheckRunResult, junit: Path | None) -> int:
    publish_run(app, result, junit)
    for trace in result.traces:
        app.messages.say(f"trace: {trace}")
    if result.coverage is not None:
        app.messages.say(f"coverage: {result.coverage.summary()}")
    return result.exit_code


def _watch(app: App, request: CheckRequest, junit: Path | None) -> int:
    """Show what comes of each save until Ctrl-C; the exit code is that of the last one."""
    from harness.cli.main import Terminated
    from harness.runs.watchedcheck import judgements

    if app.as_json:
        raise UsageError(
            "--watch prints a result for each save, and --json one document",
            remedy="leave --json out; to print the last result as JSON: harness report --json",
        )
    # What is repeated later is one check.
    app = replace(app, command=tuple(word for word in app.command if word != "--watch"))
    code = None
    try:
        for result in judgements(request, app, UserView(app)):
            if isinstance(result, HarnessError):
                failure = Failure.of(result)
                app.messages.fail(failure.text(terminal_width()))
                code = failure.code
            else:
                code = _published(app, result, junit)
    except Terminated as ended:
        if ended.signum != signal.SIGINT or code is None:
            raise
    return code or 0
