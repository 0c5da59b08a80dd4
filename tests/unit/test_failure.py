"""Failures of commands as they are written to a terminal or a file."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import termios

import click
import pytest
from click.testing import CliRunner

from harness.cli.commandgroup import CommandGroup, ListingGroup
from harness.cli.failure import Failure
from harness.cli.messages import terminal_width

NAMES = ", ".join(f"guest-{number}" for number in range(20))
COMMAND = f"install them: apt-get install {' '.join(f'package-{n}' for n in range(20))}"


def test_message_and_lists_are_wrapped_between_words() -> None:
    failure = Failure(2, "usage", f"none of these is {'very ' * 20}good", f"there are {NAMES}")
    lines = failure.text(80).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) > 4
    assert " ".join(line.strip() for line in lines) == " ".join(
        line.strip() for line in failure.text(None).splitlines()
    )


def test_a_command_to_be_copied_stays_in_one_line() -> None:
    lines = Failure(3, "host", "it is missing", COMMAND).text(40).splitlines()
    assert lines == ["harness: it is missing", f"  {COMMAND}"]


def test_without_a_terminal_nothing_is_wrapped() -> None:
    failure = Failure(2, "usage", "word " * 60, f"there are {NAMES}")
    assert len(failure.text(None).splitlines()) == 2


def test_a_word_that_is_wider_than_the_terminal_is_not_broken() -> None:
    path = "/" + "x" * 100
    assert path in Failure(2, "usage", f"cannot read {path}", "").text(40)


@pytest.mark.parametrize(("columns", "width"), [(0, None), (40, 40)])
def test_a_new_pseudo_terminal_has_no_width(
    columns: int, width: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    master, slave = os.openpty()
    size = struct.pack("HHHH", 24, columns, 0, 0)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
    with open(master, "rb"), open(slave, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        assert terminal_width() == width


def group_of(kind: type[CommandGroup]) -> click.Group:
    @click.group(cls=kind, context_settings={"help_option_names": ["-h"]})
    def some() -> None:
        """Some commands."""

    @some.command("list")
    @click.argument("words", nargs=-1)
    def list_them(words: tuple[str, ...]) -> None:
        """List what there is, in an order that click would have no room to name in its help.

        More about it.
        """
        click.echo(f"listed {words}")

    return some


def test_the_help_of_a_group_has_whole_summaries() -> None:
    text = CliRunner().invoke(group_of(CommandGroup), ["-h"], terminal_width=200).output
    assert "in an order that click would have no room to name in its help.\n" in text
    assert "More about it" not in text


def test_a_listing_group_lists_by_default() -> None:
    some = group_of(ListingGroup)
    assert CliRunner().invoke(some, []).output == "listed ()\n"
    assert CliRunner().invoke(some, ["a"]).output == "listed ('a',)\n"
    assert CliRunner().invoke(some, ["list", "a"]).output == "listed ('a',)\n"
    assert "Some commands." in CliRunner().invoke(some, ["-h"]).output
