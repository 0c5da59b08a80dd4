"""``harness``: the commands, and the one place where errors become exit codes."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Sequence

import click

from harness.errors import HarnessError

#: Where each command is; imported only when it is called.
COMMANDS = {
    "doctor": "harness.cli.doctor:doctor",
    "build": "harness.cli.build:build",
    "boot": "harness.cli.boot:boot",
    "compare": "harness.cli.compare:compare",
    "report": "harness.cli.report:report",
    "console": "harness.cli.console:console",
    "ps": "harness.cli.ps:ps",
    "stop": "harness.cli.stop:stop",
    "gc": "harness.cli.gc:gc",
}


class _Commands(click.Group):
    """The commands of the table above."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="harness")
def cli() -> None:
    """Boot, compare and judge real FreeBSD kernels on NUMA guests.

    \b
    Examples:
      harness boot --numa 4 --kasan
      harness compare --commit REV --numa 2,4 --kasan
      harness compare --source embedded --numa 4 --kasan
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    try:
        result = cli.main(list(arguments), prog_name="harness", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write("harness: interrupted\n")
        return 128 + signal.SIGINT
    except HarnessError as error:
        _tell(error)
        return error.exit_code
    return result if isinstance(result, int) else 0


def _tell(error: HarnessError) -> None:
    lines = [f"harness: {error.message}"]
    lines += [f"  {error.remedy}"] if error.remedy else []
    lines += [f"  | {line}" for line in error.detail.splitlines()]
    sys.stderr.write("\n".join(lines) + "\n")


def _terminate(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """The entry point of the ``harness`` program."""
    # A background job of a shell ignores SIGINT and would hand that on to make and
    # its tests; SIGTERM takes the same way out as Ctrl-C, so that nothing is left over.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))
