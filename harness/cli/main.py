"""``harness``: the commands, and the one place where errors become exit codes."""

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
from harness.cli.streams import Invocation, Streams
from harness.errors import HarnessError, InfraError, UsageError

#: What any file operation anywhere may meet with, and is no fault of ours.
_HOST_REFUSES = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO, errno.EMFILE,
     errno.ENOMEM}
)  # fmt: skip

#: What only a path can be to blame for that the user has named.
_PATH_REFUSED = frozenset({errno.ENAMETOOLONG, errno.ELOOP})

#: What ``git bisect run`` takes for "cannot be tested" and for "stop" (git-bisect(1)).
_GIT_SKIPS = 125
_GIT_STOPS = 128


#: Seconds after which a wait looks for signals.
_GLANCE = 0.5

#: Seconds that a way out may take before the next Ctrl-C cuts it short.
_PATIENCE = 5.0


class _Place(NamedTuple):
    """Where a command is, and what it says of itself in one line.

    It is imported only when it is called: all of them take half a second. A test holds the
    lines to what the commands say.
    """

    name: str
    summary: str

    def command(self) -> click.Command:
        """The command itself, imported now."""
        # What is imported stays; to look through it for garbage takes a tenth of the time.
        gc.disable()
        module = importlib.import_module(f"harness.cli.{self.name}")
        gc.freeze()
        gc.enable()
        command: click.Command = getattr(module, self.name)
        command.epilog = _EPILOG
        return command


_EPILOG = "Exit codes and environment variables: harness --help"

#: In the order of the help.
COMMANDS = (
    _Place("doctor", "Tell what this host can do, and what to install."),
    _Place("build", "Build a kernel and keep it."),
    _Place("boot", "Build a kernel, boot it on a NUMA guest, and say what became of it."),
    _Place("compare", "Boot two kernels on the same guests: nodes x sanitizer x before and after."),
    _Place("mutants", "Judge every mutant of a tree: is it caught, by what, how fast."),
    _Place("cases", "List real bugs that the harness shows, and how to see each."),
    _Place("bisect", "Find the revision that broke or fixed a kernel, and prove it."),
    _Place("model", "Say what a kernel should do: predict boots, run traces, explore all states."),
    _Place("check", "Run the same operations in a guest and in the model, and compare each step."),
    _Place("judge", "Report what a console log shows: outcome, title, backtrace, warnings."),
    _Place("report", "Tell what a run came to; RUN is a record's name or 'latest'."),
    _Place("console", "Print a guest's console, follow it, or type at it."),
    _Place("runs", "List the runs that have a record, and repeat what failed."),
    _Place("ps", "List the guests that 'boot --keep' has left running."),
    _Place("stop", "End guests that 'boot --keep' has left running."),
    _Place("gc", "Remove built kernels, images and trees' objects, those longest unused first."),
    _Place("man", "Print the manual page."),
)


class _Commands(click.Group):
    """The commands of the table above."""

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
    """A signal that takes the same way out as Ctrl-C, so that nothing is left over.

    It is no ``KeyboardInterrupt``: for that one, click writes to a terminal that may be gone.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class Signals:
    """Raises the first signal; the impatient ones after it find us obeying already.

    Attributes:
        before_the_end: what a signal calls before all else.
        obeyed: the signal; None as long as there was none.
    """

    def __init__(self) -> None:
        self.before_the_end: list[Callable[[], None]] = []
        self.obeyed: int | None = None
        self._since = -_PATIENCE

    def __call__(self, signum: int, frame: object) -> None:
        """Python calls it in the main thread, wherever that is."""
        now = time.monotonic()
        if now - self._since >= _PATIENCE:
            self._since, self.obeyed = now, signum
            for end in self.before_the_end:
                end()
            raise Terminated(signum)


def run(
    arguments: Sequence[str], signals: Signals | None = None, streams: Streams | None = None
) -> int:
    """Run one command, whose arguments those are, and return its exit code."""
    signals, streams = signals or Signals(), streams or Streams()
    try:
        return _run(arguments, Invocation(signals.before_the_end, streams, tuple(arguments)))
    except (click.Abort, KeyboardInterrupt):
        failure = interrupted(signal.SIGINT)
    except Terminated as error:
        failure = interrupted(error.signum)
    except Exception as error:
        if signals.obeyed is not None:  # this is what became of it
            failure = interrupted(signals.obeyed)
        elif isinstance(error, click.ClickException):
            return _failed(Failure.of_command_line(error), arguments, streams, error.show)
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
        f"cannot write what was asked for to {cause}",
        remedy="correct the redirection; harness report prints the result of a run again",
    )


def _failed(
    failure: Failure,
    arguments: Sequence[str],
    streams: Streams,
    show: Callable[[], None] | None = None,
) -> int:
    """Print why there is no result; returns the exit code.

    Args:
        failure: what ended the command.
        arguments: of the command line.
        streams: standard output and standard error.
        show: prints it in other words than its own.
    """
    failure = replace(failure, code=_exit_code(failure, arguments))
    if show is not None:
        show()
    else:
        sys.stderr.write(failure.text)
    if "--json" in _own_arguments(arguments):
        streams.write_document(failure.document())
    return failure.code


def _exit_code(failure: Failure, arguments: Sequence[str]) -> int:
    """A failure that says nothing of the kernel must not be a bad revision to git."""
    if failure.kind == "interrupted" or "--git-bisect" not in _own_arguments(arguments):
        return failure.code
    return _GIT_SKIPS if failure.kind == "build" else _GIT_STOPS


def _own_arguments(arguments: Sequence[str]) -> Sequence[str]:
    """Those before ``--``; what follows is a command of the user's."""
    return list(itertools.takewhile(lambda word: word != "--", arguments))


def _failure(error: Exception, arguments: Sequence[str]) -> Failure:
    """What an error of a command is to its user."""
    if isinstance(error, OSError) and error.errno in _HOST_REFUSES:
        error = _refused(error)
    elif isinstance(error, OSError) and error.errno in _PATH_REFUSED:
        name = os.fsdecode(error.filename or "a path")
        error = UsageError(f"{name}: {error.strerror}", remedy="name another file")
    if isinstance(error, HarnessError):
        return Failure.of(error)
    return _bug(arguments)  # whatever it is, it is ours


def _refused(error: OSError) -> InfraError:
    module = importlib.import_module("harness.host.workspace")
    found: InfraError = module.host_error(error)
    return found


def _bug(arguments: Sequence[str]) -> Failure:
    """One line on the terminal; all there is to know in a file."""
    module = importlib.import_module("harness.cli.bug")
    verbose = {"-v", "--verbose"} & set(_own_arguments(arguments))
    found: Failure = module.bug_report(arguments, verbose=bool(verbose))
    return found


def _unraisable(lost: sys.UnraisableHookArgs) -> None:
    """A signal may find Python where nothing can be raised; all that runs is ended even so."""
    if not isinstance(lost.exc_value, Terminated):
        sys.__unraisablehook__(lost)


def main() -> None:
    """The entry point of the ``harness`` program."""
    streams = Streams.installed()
    try:
        code = _obeying(sys.argv[1:], streams)
    except Terminated as error:  # outside of the command
        code = 128 + error.signum
    streams.failures()  # writes what is still unwritten
    if threading.active_count() > 1:
        sys.exit(code)  # they have to clean up, and are waited for
    # Nothing is left to do; the interpreter would take as long to take itself down as to start.
    os._exit(code)


def _obeying(arguments: Sequence[str], streams: Streams) -> int:
    """Run the command and heed signals, until it has ended."""
    # A background job of a shell ignores SIGINT and would hand that on to make and its tests.
    obey = Signals()
    sys.unraisablehook = _unraisable
    heeded = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup(1)
        heeded.append(signal.SIGHUP)
    for signum in heeded:
        signal.signal(signum, obey)
    # A signal that comes just before a wait begins is seen when the wait ends; it is cut short.
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, _GLANCE, _GLANCE)
    code = run(arguments, obey, streams)
    # Nobody would heed any of them any more.
    signal.setitimer(signal.ITIMER_REAL, 0)
    for signum in heeded:
        signal.signal(signum, signal.SIG_IGN)
    return code
