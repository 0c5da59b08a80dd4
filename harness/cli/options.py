"""Options that several commands share."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.cli.app import make_app
from harness.cli.completion import (
    complete_mutants,
    complete_revisions,
    complete_sources,
    complete_vms,
)
from harness.cli.streams import Invocation
from harness.debug.plan import DebugPlan
from harness.errors import UsageError, given_with
from harness.guest.backends import OFFERED, backend_options
from harness.host.workspace import check_named
from harness.kerneloptions import parse_options
from harness.outcome import Until
from harness.runs.guests import GuestRequest
from harness.source.change import Change
from harness.source.request import KernelRequest

if TYPE_CHECKING:
    from harness.cli.app import App

_LONGEST = 4095
"""Maximum length of a path in bytes."""

DEFAULT_DDB = "default"
"""The value of ``--ddb`` that stands for ``harness.debug.ddb.DEFAULT_COMMANDS``."""

F = TypeVar("F", bound=Callable[..., Any])


class NamedPath(click.Path):
    """A path that is not empty; ``pathlib`` would take the working directory for an empty one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or fail if it is empty."""
        if value == "":
            self.fail("it is empty.", param, ctx)
        return super().convert(value, param, ctx)


FILE = NamedPath(path_type=Path, dir_okay=False)
"""A file that is read or written."""

DIRECTORY = NamedPath(path_type=Path, file_okay=False)
"""A directory that is written to."""


class FiniteRange(click.FloatRange):
    """A finite number within a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or fail if it is not finite."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def common_options(command: F) -> F:
    """Add ``--json``, ``--out``, ``-v`` and ``-q``; the command's first argument is an ``App``."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    @click.option("--out", type=DIRECTORY, metavar="DIR", help="Write records below DIR.")
    @click.option("-v", "--verbose", is_flag=True, help="Print more details.")
    @click.option("-q", "--quiet", is_flag=True, help="Print results only.")
    @functools.wraps(command)
    def wrapped(
        *args: Any, as_json: bool, out: Path | None, verbose: bool, quiet: bool, **rest: Any
    ) -> Any:
        context = click.get_current_context()
        _refuse_unusable(context)
        invocation = context.ensure_object(Invocation)
        for option in ("junit", "export"):
            if rest.get(option) is not None:
                with given_with(f"--{option}"):
                    check_named(rest[option])
        # Otherwise the result is the exit code, or in the file.
        invocation.streams.answers = not rest.get("git_bisect") and (
            as_json or rest.get("junit") is None
        )
        app = make_app(
            as_json=as_json,
            out=out,
            verbosity=verbose - quiet,
            invocation=invocation,
            sandbox=not rest.pop("no_sandbox", False),  # of ``source_options``
        )
        invocation.before_the_end.extend((app.ending.set, app.runner.close))
        return command(app, *args, **rest)

    return wrapped  # type: ignore[return-value]


def _refuse_unusable(context: click.Context) -> None:
    """Refuse options whose value is empty, such as an unset variable of a script, or too long.

    Raises:
        click.BadParameter: a value is empty, or longer than a path (PATH_MAX, limits.h).
    """
    for option in context.command.params:
        value = context.params.get(option.name or "")
        values = value if isinstance(value, tuple) else (value,)
        if isinstance(option, click.Option) and "" in values:
            raise click.BadParameter("it is empty.", context, option)
        if isinstance(option, click.Option) and any(len(str(one)) > _LONGEST for one in values):
            raise click.BadParameter(f"it has more than {_LONGEST} bytes.", context, option)


def _stacked(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _backend_flags(command: F) -> F:
    """Add the options of backends; the command's argument ``backend_flags`` has their values."""
    names = [option.name for option in backend_options()]

    @functools.wraps(command)
    def wrapped(*args: Any, **values: Any) -> Any:
        flags = {name: values.pop(name) for name in names}
        return command(*args, backend_flags=flags, **values)

    for option in reversed(backend_options()):
        flag = click.option(option.flag, option.name, metavar=option.metavar, help=option.help)
        wrapped = flag(wrapped)
    return wrapped  # type: ignore[return-value]


#: The tree and the kernel configuration.
source_options = _stacked(
    click.option(
        "--source",
        metavar="TREE|URL|embedded",
        help="A FreeBSD tree, or 'embedded'.",
        shell_complete=complete_sources,
    ),
    click.option("--kernconf", metavar="NAME|FILE", help="Use another kernel configuration."),
    click.option(
        "--option", "kernel_options", multiple=True, metavar="NAME[=VALUE],…",
        help="A kernel option on top of it; NAME=n removes one. Repeatable.",
    ),
    click.option(
        "--no-sandbox", is_flag=True,
        help="Build FreeBSD trees without bubblewrap; their makefiles can then do what you can.",
    ),
)  # fmt: skip

#: The revision, and the changes applied to it.
change_options = _stacked(
    click.option(
        "--rev",
        "revision",
        metavar="REV",
        help="A revision; default: the tree with uncommitted changes.",
        shell_complete=complete_revisions,
    ),
    click.option("--patch", type=FILE, help="Apply a patch file."),
    click.option(
        "--mutant", metavar="NAME", help="Apply a mutant.", shell_complete=complete_mutants
    ),
)

kernel_option = click.option("--kernel", type=FILE, help="An existing kernel file.")

#: The guest, and how it is booted.
guest_options = _stacked(
    click.option(
        "--vm", metavar="NAME|FILE", help="A guest of vmconfigs/; options override it.",
        shell_complete=complete_vms,
    ),
    click.option(
        "--memory", type=click.IntRange(min=1), metavar="MIB", help="Memory of each node."
    ),
    click.option("--cpus", type=click.IntRange(min=1), metavar="N", help="CPUs of each node."),
    click.option("--backend", type=click.Choice(OFFERED), help="Program that runs guests."),
    _backend_flags,
    click.option(
        "--boot", "method", type=click.Choice(["loader", "direct"]),
        help="Start the kernel directly (default), or with UEFI and FreeBSD's loader.",
    ),
    click.option(
        "--accelerator", type=click.Choice(["auto", "tcg", "kvm"]),
        help="QEMU's accelerator; auto (default) measures both.",
    ),
    click.option(
        "--until", type=click.Choice([until.value for until in Until]), default="init",
        show_default=True, help="Stage that the boot must reach; ssh needs a world.",
    ),
    click.option(
        "--world", metavar="NAME",
        help="FreeBSD's userland for the guest: slim, tests, or an image of 'harness image ls'.",
    ),
    click.option(
        "--snapshot/--no-snapshot", default=None,
        help="Restore guests from a snapshot that the first one leaves, or boot each. Default: "
        "restore guests with a world.",
    ),
    click.option(
        "--timeout", type=FiniteRange(min=1), metavar="S",
        help="Seconds for a boot, not counting time in which the host stops QEMU.",
    ),
    click.option(
        "--tunable", "tunables", multiple=True, metavar="K=V", help="A kernel tunable; repeatable."
    ),
)  # fmt: skip

#: What is asked of a guest that fails.
debug_options = _stacked(
    click.option(
        "--gdb-on-panic", is_flag=True,
        help="Stop where a panic begins, and run gdb there, or record a backtrace.",
    ),
    click.option(
        "--ddb", metavar="[COMMANDS]", is_flag=False, flag_value=DEFAULT_DDB,
        help="After a failure, type commands at DDB's prompt, separated by semicolons; without "
        "COMMANDS, some that show the allocators.",
    ),
    click.option(
        "--dump", is_flag=True,
        help="After a failure, write the guest's memory to a file that harness gdb opens.",
    ),
)  # fmt: skip

module_option = click.option(
    "--module", "modules", multiple=True, metavar="NAME",
    help="Build a module of the tree, such as dummynet, so that kldload(8) finds it; repeatable.",
)  # fmt: skip

exec_option = click.option(
    "--exec", "command", metavar="COMMAND",
    help="Run a command of sh(1) in each guest, with FreeBSD's userland; its exit status counts.",
)  # fmt: skip

junit_option = click.option("--junit", type=FILE, help="Write a JUnit XML file.")


def guest_request(options: dict[str, Any], numa: str | None) -> GuestRequest:
    """Return the request of a command's options, which are removed from ``options``.

    Args:
        options: all ``guest_options``, and ``fail_on_report`` if the command has it.
        numa: the value of ``--numa``.

    Raises:
        UsageError: a tunable is malformed.
    """
    names = (
        "vm", "memory", "cpus", "backend", "backend_flags", "method", "accelerator", "timeout",
        "world", "snapshot",
    )  # fmt: skip
    return GuestRequest(
        numa=numa,
        until=Until(options.pop("until")),
        tunables=parse_tunables(options.pop("tunables")),
        fail_on_report=options.pop("fail_on_report", False),
        **{name: options.pop(name) for name in names},
    )


def debug_plan(app: App, options: dict[str, Any]) -> DebugPlan:
    """Return what is asked of a guest that fails; ``debug_options`` are removed from ``options``.

    Raises:
        UsageError: a command cannot be typed.
    """
    ddb = options.pop("ddb") or app.settings.boot.ddb
    commands: tuple[str, ...] = ()
    if ddb:
        from harness.debug.ddb import DEFAULT_COMMANDS, parse_commands

        commands = DEFAULT_COMMANDS if ddb == DEFAULT_DDB else parse_commands(ddb)
    return DebugPlan(commands, options.pop("dump"), options.pop("gdb_on_panic"))


def named_kernel(
    app: App, source: str | None, kernconf: str | None,
    change: Change | None = None, kernel: Path | None = None, kernel_options: Sequence[str] = (),
) -> KernelRequest:  # fmt: skip
    """Return the kernel that the options name.

    Raises:
        UsageError: the source does not exist, or an option cannot be combined with ``--kernel``.
    """
    change = change or Change()
    others = [*(["--source"] if source else []), *change.options]
    others += ["--kernconf"] if kernconf else []
    others += ["--option"] if kernel_options else []
    if kernel is not None and others:
        raise UsageError(
            f"--kernel {kernel} cannot be combined with {' and '.join(others)}",
            remedy=f"leave out --kernel, or {' and '.join(others)}",
        )
    location = app.existing_source(source) if kernel is None else app.source(source)
    return KernelRequest(location, change, kernconf, kernel, parse_options(kernel_options))


def with_modules(what: KernelRequest, names: Sequence[str]) -> KernelRequest:
    """Return the kernel with modules of its tree.

    Raises:
        UsageError: a name is none of a module, or the kernel is a file.
    """
    if names and what.kernel is not None:
        raise UsageError(
            "--module cannot be combined with --kernel, which has no tree", remedy="leave one out"
        )
    from harness.kernel.treemodule import check_module_names

    return replace(what, modules=check_module_names(names))


def parse_tunables(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return ``NAME=VALUE`` pairs as a mapping; ``harness.image.recipe`` checks names and values.

    Raises:
        UsageError: a pair has no ``=`` or no name.
    """
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(
                f"the tunable {pair!r} does not have the form NAME=VALUE",
                remedy="write it as in loader.conf(5), such as --tunable vm.pmap.pti=0",
            )
        found[name] = value
    return found
