"""``harness exec``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.copies import copies_in, copies_out, get_option, put_option
from harness.cli.options import (
    change_options,
    common_options,
    guest_options,
    guest_request,
    junit_option,
    kernel_option,
    module_option,
    named_kernel,
    source_options,
    with_modules,
)
from harness.cli.publish import publish_run
from harness.cli.sanitizers import AskedSanitizers, sanitizer_options
from harness.cli.view import UserView
from harness.execution.program import ProgramPlan
from harness.runs.execute import ExecRequest, execute, result_of
from harness.shell.shell import OutputSink
from harness.source.change import Change

if TYPE_CHECKING:
    from harness.cli.app import App


@click.command(
    "exec", context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False}
)
@source_options
@change_options
@kernel_option
@sanitizer_options
@click.option("--numa", metavar="N", help="Number of NUMA nodes.  [default: 1]")
@guest_options
@module_option
@put_option
@get_option
@junit_option
@click.argument("words", nargs=-1, required=True, metavar="-- COMMAND...")
@common_options
def exec(  # noqa: A001 - the command's name
    app: App,
    source: str | None,
    kernconf: str | None,
    kernel: Path | None,
    numa: str | None,
    junit: Path | None,
    asked: AskedSanitizers,
    words: tuple[str, ...],
    **options: Any,
) -> int:
    """Boot a guest with FreeBSD's userland, and run a command in it as root.

    Standard output is the command's alone. A single word is a command line of sh(1), several are
    its arguments. The exit code is 0 if the command's is 0, and 1 for any other, or if the kernel
    fails.

    \b
    Examples:
      harness exec --numa 2 --kasan -- sysctl vm.ndomains
      harness exec --numa 4 --put stress.sh:/tmp/stress.sh -- sh /tmp/stress.sh
      harness exec --world tests -- 'vmstat -z | head'
      harness exec --module dummynet -- 'kldload dummynet && kldstat'
    """
    change = Change(options.pop("revision"), options.pop("patch"), options.pop("mutant"))
    program = ProgramPlan(
        command_line(words),
        put=copies_in(options.pop("put")),
        get=copies_out(options.pop("get")),
    )
    what = named_kernel(app, source, kernconf, change, kernel, options.pop("kernel_options"))
    request = ExecRequest(
        with_modules(what, options.pop("modules")),
        program,
        guest_request(options, numa),
        asked.of_kernel(),
        OutputSink() if app.as_json else OutputSink(_standard_output, _standard_error),
    )
    # The command's output is the answer; without it, the exit code is.
    result = execute(request, app, UserView(app))
    ended = result_of(result)
    publish_run(app, result, junit, paper=app.messages.console())
    if ended is not None and not ended.is_good:
        app.messages.say(f"the command: {ended.words}")
    return result.exit_code


def command_line(words: Sequence[str]) -> str:
    """Return the command line of sh(1) for the arguments of a command."""
    return words[0] if len(words) == 1 else shlex.join(words)


def _standard_output(data: bytes) -> None:
    _write(sys.stdout, data)


def _standard_error(data: bytes) -> None:
    _write(sys.stderr, data)


def _write(stream: Any, data: bytes) -> None:
    """Pass output on as it is; a terminal gets it escaped."""
    if stream.isatty():
        stream.write(data.decode("utf-8", "replace"))
    else:
        stream.buffer.write(data)
    stream.flush()
