"""``harness bisect``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from harness.cli.completion import complete_revisions
from harness.cli.options import (
    FILE,
    FiniteRange,
    common_options,
    exec_option,
    guest_options,
    guest_request,
    named_kernel,
    source_options,
)
from harness.cli.publish import publish
from harness.cli.sanitizers import report_option, sanitizer_options
from harness.cli.view import UserView
from harness.execution.program import ProgramPlan
from harness.results.bisect import bisect_lines
from harness.runs.bisect import bisect as find_revision
from harness.runs.bisectrequest import BisectRequest
from harness.subsystems.table import SUBSYSTEMS

if TYPE_CHECKING:
    from harness.cli.app import App


@click.command()
@source_options
@click.option(
    "--good", metavar="REV", help="A revision that passes.", shell_complete=complete_revisions
)
@click.option(
    "--bad", metavar="REV", help="A revision that fails.", shell_complete=complete_revisions
)
@click.option(
    "--fixed", is_flag=True, help="Find the revision that fixed a failure; the bad one is older."
)
@sanitizer_options
@report_option
@click.option("--numa", metavar="N", help="Number of NUMA nodes.  [default: 1]")
@guest_options
@click.option("--title", metavar="TEXT", help="Count only failures whose title contains TEXT.")
@click.option("--any-failure", is_flag=True, help="Count every failure.")
@click.option(
    "--with", "how", type=click.Choice(["boot", "check", "build"]), default="boot",
    show_default=True,
    help="What is tested: the boot, a check against the model, or whether it compiles.",
)  # fmt: skip
@click.option(
    "--subsystem", type=click.Choice([each.name for each in SUBSYSTEMS]),
    help=f"The subsystem that --with check checks.  [default: {SUBSYSTEMS[0].name}]",
)  # fmt: skip
@click.option(
    "--confidence", type=FiniteRange(50, 99.99), default=95.0, show_default=True,
    metavar="PERCENT", help="Minimum confidence of the answer.",
)  # fmt: skip
@click.option(
    "--repeat", type=click.IntRange(1, 10000), metavar="N", default=40, show_default=True,
    help="Test a kernel at most N times.",
)  # fmt: skip
@click.option("--first-parent", is_flag=True, help="Count a merged branch as one change.")
@click.option("--skip", type=FILE, help="Do not test the revisions in a file, one on each line.")
@click.option("--restart", is_flag=True, help="Start over, and discard an interrupted bisection.")
@click.option("--import", "log", type=FILE, help="Start with the output of 'git bisect log'.")
@click.option("--export", type=FILE, help="Write a log for 'git bisect replay' at the end.")
@exec_option
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND]...")
@common_options
def bisect(app: App, words: tuple[str, ...], **options: Any) -> int:
    """Find the revision that broke or fixed a kernel, and prove it.

    As few revisions as possible are built and booted; boots of intermittent failures are repeated;
    an interrupted bisection is resumed by the same command. With --exec, each revision's guest runs
    a command; its exit status is 0 good, 125 skip, else bad. With COMMAND, each revision's guest is
    booted and kept, and the command judges it: exit status 0 good, 125 skip, else bad.
    HARNESS_CONSOLE is the guest's console log, HARNESS_CONSOLE_SOCKET its input, HARNESS_GUEST its
    name for 'harness console'.

    The source may also be a git repository of the built-in guest's sources: the harness's, or one
    with the directory embedded at its top.

    \b
    Examples:
      harness bisect --good v1 --bad main --numa 2 --kasan
      harness bisect --good A --bad B --numa 4 --kasan --fixed --confidence 99
      harness bisect --good A --bad B --kmsan --title "MSan: Uninitialized"
      harness bisect --good A --bad B --with build --kasan
      harness bisect --good A --bad B --numa 2 -- ./look-at-it.sh
      harness bisect --good A --bad B --numa 4 --exec 'vmstat -z | grep VMSPACE'
    """
    names = ("good", "bad", "fixed", "title", "any_failure", "how", "confidence", "repeat",
             "restart", "log", "export", "subsystem", "first_parent", "skip")  # fmt: skip
    program = options.pop("command")
    request = BisectRequest(
        what=named_kernel(
            app,
            options.pop("source"),
            options.pop("kernconf"),
            kernel_options=options.pop("kernel_options"),
        ),
        guest=guest_request(options, options.pop("numa")),
        sanitizers=options.pop("asked").of_kernel(),
        command=words,
        program=ProgramPlan(program) if program is not None else None,
        **{name: options.pop(name) for name in names},
    )
    result = find_revision(request, app, UserView(app))

    def show() -> None:
        for line in bisect_lines(result.document):
            app.paper.print(line, markup=False, soft_wrap=True)

    publish(app, result.document, show)
    return result.exit_code
