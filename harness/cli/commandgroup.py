"""Groups of commands."""

from __future__ import annotations

import click


class CommandGroup(click.Group):
    """A group whose help has the whole summary of each command, of which click cuts the end off."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each command; see ``click.MultiCommand``."""
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, _summary(command)) for name, command in found if command is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class ListingGroup(CommandGroup):
    """A group whose default command is ``list``, which takes other arguments, too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See ``click.Command``."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def _summary(command: click.Command) -> str:
    return (command.help or "").partition("\n\n")[0].replace("\n", " ")
