"""The ``harness`` program: the commands, signals, and the exit codes of errors."""

from __future__ import annotations

import errno
import gc
import importlib
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem, add_completion_class

from harness import __version__
from harness.cli.bashcompletion import WholeOptions
from harness.cli.failure import Failure, interrupted
from harness.cli.messages import terminal_width
from harness.cli.streams import Invocation, Streams
from harness.errors import HarnessError, InfraError, UsageError

#: Errors of file operations that the host causes.
_HOST_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO, errno.EMFILE,
     errno.ENOMEM}
)  # fmt: skip

#: Errors of file operations that a path given by the user causes.
_PATH_ERRORS = frozenset({errno.ENAMETOOLONG, errno.ELOOP})

#: Exit codes at which ``git bisect run`` skips the revision, and stops (git-bisect(1)).
_GIT_SKIPS = 125
_GIT_STOPS = 128


#: Seconds between interruptions of waits, so that pending signals are handled.
_SIGNAL_INTERVAL = 0.5

#: Seconds for the shutdown, during which further signals are ignored.
_SHUTDOWN_SECONDS = 5.0


class _Entry(NamedTuple):
    """A command's name and summary.

    Its module is imported when it is called, because importing all takes half a second. A test
    compares the summaries with the commands' help.
    """

    name: str
    summary: str

    def command(self) -> click.Command:
        """Import the command and return it."""
        gc.disable()  # as the entry point has
        module = importlib.import_module(f"harness.cli.{self.name}")
        gc.freeze()
        gc.enable()
        command: click.Command = getattr(module, self.name)
        command.epilog = _EPILOG
        return command


_EPILOG = "Exit codes and environment variables: harness --help"

#: In the order of the help.
COMMANDS = (
    _Entry("doctor", "Check this host, and list what to install."),
    _Entry("build", "Build a kernel, and store it in the cache."),
    _Entry("image", "Build, import, list and remove images of FreeBSD's userland."),
    _Entry("exec", "Boot a guest with FreeBSD's userland, and run a command in it as root."),
    _Entry("kyua", "Run FreeBSD's own test suites in guests, and report each test."),
    _Entry("boot", "Build a kernel, boot it on a NUMA guest, and report the outcome."),
    _Entry(
        "compare",
        "Boot two kernels on the same guests: nodes x sanitizer x option x before and after.",
    ),
    _Entry("mutants", "Test all mutants of a tree: which are killed, by what, how fast."),
    _Entry("cases", "List real bugs that the harness reproduces, or describe one."),
    _Entry("bisect", "Find the revision that broke or fixed a kernel, and prove it."),
    _Entry(
        "nightly",
        "Test each night's commits: what broke, since which commit, and was it the kernel.",
    ),
    _Entry("group", "Share one history of nights among machines, in a PostgreSQL database."),
    _Entry("worker", "Run what 'nightly run --workers' leases to this host, until it is ended."),
    _Entry("model", "Use the reference model alone: predict boots, run traces, explore states."),
    _Entry("check", "Run the same operations in a guest and in the model, and compare each step."),
    _Entry("judge", "Report what a console log shows: outcome, title, backtrace, warnings."),
    _Entry("report", "Print the outcome of a run; RUN is a record's name or 'latest'."),
    _Entry("console", "Print a guest's console, follow it, or attach to it."),
    _Entry("gdb", "Run gdb on a guest that 'boot --keep' left running, or on a memory dump."),
    _Entry("runs", "List recorded runs, and repeat what failed."),
    _Entry("ps", "List guests that 'boot --keep' left running."),
    _Entry(
        "ssh",
        "Log in to a guest that 'boot --until ssh --keep' left running.",
    ),
    _Entry("stop", "Stop guests that 'boot --keep' left running."),
    _Entry(
        "gc",
        "Remove the least recently used kernels, images, snapshots and objects from the cache.",
    ),
    _Entry("man", "Print the manual page."),
)


class _Commands(click.Group):
    """The group of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [place.name for place in COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = (place for place in COMMANDS if place.name == cmd_name)
        place = next(found, None)
        return place.command() if place else None

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # click would exit with 1, which is a kernel's failure
            raise _refused(error) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-") and not ctx.resilient_parsing:
            import difflib

            near = difflib.get_close_matches(args[0], known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known)}."
            ctx.fail(f"No such command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from harness.cli.conventions import ENVIRONMENT, EXIT_CODES

        for title, entries in (("Exit codes", EXIT_CODES), ("Environment", ENVIRONMENT)):
            with formatter.section(title):
                formatter.write_dl(entries)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(place.name, place.summary) for place in COMMANDS])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return [
            *(
                CompletionItem(place.name, help=place.summary)
                for place in COMMANDS
                if place.name.startswith(incomplete)
            ),
            # Past the group's own, which would import every command.
            *click.Command.shell_complete(self, ctx, incomplete),
        ]


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Boot, compare and judge real FreeBSD kernels on NUMA guests.

    \b
    Examples:
      harness boot --numa 4 --kasan
      harness compare --commit REV --numa 2,4 --kasan
      harness compare --source embedded --numa 4 --kasan
      harness check --numa 4 --kasan --ops 1000

    \b
    Completion, for bash, zsh or fish (here bash, in ~/.bashrc):
      eval "$(_HARNESS_COMPLETE=bash_source harness)"
    Manual page:
      harness man | man -l -
    """


add_completion_class(WholeOptions)


class Terminated(BaseException):
    """A signal that ends the command, after cleanup.

    Not a ``KeyboardInterrupt``, for which click writes to a terminal that may be gone.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class Signals:
    """A signal handler: raises on the first signal; ignores further ones for 5 s during shutdown.

    Attributes:
        before_the_end: functions that are called first.
        obeyed: the signal that was raised, or None.
    """

    def __init__(self) -> None:
        self.before_the_end: list[Callable[[], None]] = []
        self.obeyed: int | None = None
        self._since = -_SHUTDOWN_SECONDS

    def __call__(self, signum: int, frame: object) -> None:
        """Handle a signal; called by Python in the main thread, at any point."""
        now = time.monotonic()
        if now - self._since >= _SHUTDOWN_SECONDS:
            self._since, self.obeyed = now, signum
            for end in self.before_the_end:
                end()
            raise Terminated(signum)


def run(
    arguments: Sequence[str], signals: Signals | None = None, streams: Streams | None = None
) -> int:
    """Run a command with these arguments, and return its exit code."""
    signals, streams = signals or Signals(), streams or Streams()
    try:
        return _run(arguments, Invocation(signals.before_the_end, streams, tuple(arguments)))
    except (click.Abort, KeyboardInterrupt):
        failure = interrupted(signal.SIGINT)
    except Terminated as error:
        failure = interrupted(error.signum)
    except Exception as error:
        if signals.obeyed is not None:  # a consequence of the signal
            failure = interrupted(signals.obeyed)
        elif isinstance(error, click.exceptions.NoArgsIsHelpError):
            error.show()
            return UsageError.exit_code
        elif isinstance(error, click.ClickException):
            failure = Failure.of_command_line(error)
        else:
            failure = _failure(error, arguments)
    return _failed(failure, arguments, streams)


def _run(arguments: Sequence[str], invocation: Invocation) -> int:
    try:
        result = cli.main(
            list(arguments), prog_name="harness", standalone_mode=False, obj=invocation
        )
    except SystemExit as error:  # completion's way to end
        result = UsageError.exit_code if error.code else 0
    if invocation.streams.lost_answer:
        raise _unwritten(invocation.streams.lost_answer)
    return result if isinstance(result, int) else 0


def _unwritten(cause: str) -> InfraError:
    return InfraError(
        f"cannot write the output to {cause}",
        remedy="correct the redirection; to print the result of a run again: harness report",
    )


def _failed(failure: Failure, arguments: Sequence[str], streams: Streams) -> int:
    """Print a failure, and return the exit code.

    Args:
        failure: the failure that ended the command.
        arguments: the arguments of the command line.
        streams: standard output and standard error.
    """
    failure = replace(failure, code=_exit_code(failure, arguments))
    sys.stderr.write(failure.text(terminal_width()))
    if "--json" in _own_arguments(arguments):
        streams.write_document(failure.document())
    return failure.code


def _exit_code(failure: Failure, arguments: Sequence[str]) -> int:
    """Return the exit code; with ``--git-bisect``, such a failure must not mark a revision bad."""
    if failure.kind == "interrupted" or "--git-bisect" not in _own_arguments(arguments):
        return failure.code
    return _GIT_SKIPS if failure.kind == "build" else _GIT_STOPS


def _own_arguments(arguments: Sequence[str]) -> Sequence[str]:
    """Return the arguments before ``--``, which a command of the user follows."""
    return list(itertools.takewhile(lambda word: word != "--", arguments))


def _failure(error: Exception, arguments: Sequence[str]) -> Failure:
    """Return the failure of an exception."""
    if isinstance(error, OSError) and error.errno in _HOST_ERRORS:
        error = _refused(error)
    elif isinstance(error, OSError) and error.errno in _PATH_ERRORS:
        name = os.fsdecode(error.filename or "a path")
        error = UsageError(f"{name}: {error.strerror}", remedy="name another file")
    if isinstance(error, HarnessError):
        return Failure.of(error)
    return _bug(arguments)


def _refused(error: OSError) -> InfraError:
    module = importlib.import_module("harness.host.workspace")
    found: InfraError = module.host_error(error)
    return found


def _bug(arguments: Sequence[str]) -> Failure:
    """Return the failure for a bug in the harness; a file has the traceback."""
    module = importlib.import_module("harness.cli.bug")
    verbose = {"-v", "--verbose"} & set(_own_arguments(arguments))
    found: Failure = module.bug_report(arguments, verbose=bool(verbose))
    return found


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    """Ignore ``Terminated`` where Python cannot raise it; the guests were ended anyway."""
    if not isinstance(lost.exc_value, Terminated):
        sys.__unraisablehook__(lost)


def main() -> None:
    """The entry point of the ``harness`` program."""
    streams = Streams.installed()
    try:
        code = _with_signals(sys.argv[1:], streams)
    except Terminated as error:  # outside of the command
        code = 128 + error.signum
    streams.failures()  # flushes
    if threading.active_count() > 1:
        sys.exit(code)  # wait for threads that clean up
    # The interpreter's own shutdown would take as long as its start.
    os._exit(code)


def _with_signals(arguments: Sequence[str], streams: Streams) -> int:
    """Run the command with signal handlers."""
    # A shell's background job ignores SIGINT, which make and its tests would inherit.
    handler = Signals()
    sys.unraisablehook = _unraisable
    handled = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup(1)
        handled.append(signal.SIGHUP)
    for signum in handled:
        signal.signal(signum, handler)
    # A signal just before a wait is handled after it, so waits are interrupted regularly.
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, _SIGNAL_INTERVAL, _SIGNAL_INTERVAL)
    code = run(arguments, handler, streams)
    signal.setitimer(signal.ITIMER_REAL, 0)
    for signum in handled:
        signal.signal(signum, signal.SIG_IGN)
    return code
