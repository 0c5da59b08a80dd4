"""``harness man``: a manual page for all commands, from their help."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from harness import __version__
from harness.cli.conventions import ENVIRONMENT, EXIT_CODES
from harness.cli.main import COMMANDS
from harness.cli.options import common_options

if TYPE_CHECKING:
    from harness.cli.app import App


@click.command()
@common_options
def man(app: App) -> int:
    """Print the manual page.

    \b
    Examples:
      harness man | man -l -
      harness man > ~/.local/share/man/man1/harness.1
    """
    page = manual_page(click.get_current_context().find_root())
    if not app.as_json:
        sys.stdout.write(page)
    app.emit({"page": page})
    return 0


def manual_page(root: click.Context) -> str:
    """Return the page in man(7)'s macros."""
    return "".join(f"{line}\n" for line in _page(root))


def _page(root: click.Context) -> Iterator[str]:
    help_text = (root.command.help or "").partition("\n\n")
    yield f'.TH HARNESS 1 "" "harness {__version__}" "User Commands"'
    yield from (".SH NAME", rf"harness \- {_text(help_text[0].rstrip('.'))}")
    yield from (".SH SYNOPSIS", r".B harness", r"\fICOMMAND\fR [\fIOPTIONS\fR] [\fIARGUMENTS\fR]")
    yield ".SH DESCRIPTION"
    yield from _prose(help_text[2])
    yield ".SH COMMANDS"
    for place in COMMANDS:
        command = place.command()
        yield from _commands(command, click.Context(command, root, place.name))
    yield ".SH EXIT STATUS"
    for code, meaning in EXIT_CODES:
        yield from (".TP", f".B {code}", _text(meaning))
    yield ".SH ENVIRONMENT"
    for name, meaning in ENVIRONMENT:
        yield from (".TP", f".B {name}", _text(meaning))


def _commands(command: click.Command, ctx: click.Context) -> Iterator[str]:
    """Generate the section of a command, and of a group's commands."""
    yield from _command(command, ctx)
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            if below is not None:
                yield from _commands(below, click.Context(below, ctx, name))


def _command(command: click.Command, ctx: click.Context) -> Iterator[str]:
    pieces = " ".join(_text(piece) for piece in command.collect_usage_pieces(ctx))
    yield rf".SS {_text(ctx.command_path)} {pieces}"
    yield from _prose(command.help or "")
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            yield from (".TP", f".B {_text(record[0])}", _text(record[1]))


def _prose(text: str) -> Iterator[str]:
    """Generate paragraphs; one marked for click (``\\b``) keeps its lines."""
    for paragraph in text.strip().split("\n\n"):
        lines = paragraph.splitlines()
        if lines and lines[0].strip() == "\b":
            yield from (".PP", ".nf", *(_text(line) for line in lines[1:]), ".fi")
        else:
            yield from (".PP", _text(" ".join(line.strip() for line in lines)))


def _text(text: str) -> str:
    """Return a text escaped for roff."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    escaped = "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in escaped)
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped
