"""Completion in bash, which breaks the words of a command line at each ``=`` (COMP_WORDBREAKS)."""

from __future__ import annotations

from click.shell_completion import BashComplete


class WholeOptions(BashComplete):
    """click's, for options whose value follows ``=`` as well."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """See click: ``--vm``, ``=`` and a value are an option and its value."""
        args, incomplete = super().get_completion_args()
        options = ["", *args]
        kept = [
            word
            for before, word in zip(options, args, strict=False)
            if not (word == "=" and before.startswith("--"))
        ]
        return kept, incomplete
