"""Options of the pytest plugin, on the command line and in pytest's configuration file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    import pytest

SCOPES: Final = ("function", "class", "module", "package", "session")
"""Scopes of pytest's fixtures, narrowest first."""


class Option(NamedTuple):
    """An option: ``--harness-NAME``, and ``harness_NAME`` in a configuration file.

    Args:
        name: its name.
        help: its description.
        metavar: its argument; empty for a flag.
        choices: the values that it accepts; empty: any.
    """

    name: str
    help: str
    metavar: str = ""
    choices: tuple[str, ...] = ()

    @property
    def dest(self) -> str:
        """Its name in a configuration file."""
        return f"harness_{self.name}"


OPTIONS: Final = (
    Option("source", "FreeBSD tree, git URL or 'embedded' (the built-in guest).", "SOURCE"),
    Option("rev", "Revision of the tree.", "REV"),
    Option("kernel", "An existing kernel file, instead of a tree.", "FILE"),
    Option("kernconf", "Kernel configuration.", "NAME"),
    Option("mutant", "Mutant of the kernel, or of the one before.", "NAME"),
    Option("patch", "Patch to the tree, or to the kernel after.", "FILE"),
    Option("commit", "Before and after: this commit and its first parent.", "REV"),
    Option("before", "Before and after: the revision before.", "REV"),
    Option("after", "Before and after: the revision after.", "REV"),
    Option("numa", "Numbers of NUMA nodes, such as 4, 1,2,4 or 1-8.", "NODES"),
    Option("vm", "Guest of vmconfigs, by its name or file, instead.", "NAME"),
    Option("memory", "Memory of each node, in MiB.", "MIB"),
    Option("cpus", "CPUs of each node.", "NUMBER"),
    Option("sanitizer", "Sanitizers of the kernel, separated by commas.", "NAMES"),
    Option("kasan", "The same as --harness-sanitizer=kasan."),
    Option("kmsan", "The same as --harness-sanitizer=kmsan."),
    Option("kcsan", "The same as --harness-sanitizer=kcsan."),
    Option("kubsan", "The same as --harness-sanitizer=kubsan."),
    Option("backend", "What runs guests: qemu or libvirt.", "NAME"),
    Option("boot", "How FreeBSD kernels are loaded.", "METHOD", ("loader", "direct")),
    Option("accelerator", "QEMU's accelerator.", "NAME", ("auto", "tcg", "kvm")),
    Option("scope", "Scope of a guest, which the tests in it share (module).", "SCOPE", SCOPES),
    Option("out", "Directory of the records.", "DIR"),
)  # fmt: skip
"""All options, as the markers' defaults."""

SANITIZER_FLAGS: Final = ("kasan", "kmsan", "kcsan", "kubsan")


def add_options(parser: pytest.Parser) -> None:
    """Add all options to pytest's."""
    group = parser.getgroup("harness", "guests of harness (fixture guest)")
    for option in OPTIONS:
        words: dict[str, Any] = {"action": "store_true"}
        if option.metavar:
            words = {"metavar": option.metavar, "choices": option.choices or None}
        group.addoption(
            f"--harness-{option.name}", dest=option.dest, default=None, help=option.help, **words
        )
        kind: Any = "string" if option.metavar else "bool"
        parser.addini(option.dest, option.help, type=kind, default=None)


def option_values(config: pytest.Config) -> dict[str, Any]:
    """Return the values of options that were given, by name; the command line's first."""
    found = {}
    for option in OPTIONS:
        value = config.getoption(option.dest, None)
        if value is None:
            value = config.getini(option.dest)
        if value:
            found[option.name] = value
    return found


def guest_scope(config: pytest.Config) -> Any:
    """Return the scope of guests.

    Raises:
        pytest.UsageError: the configuration file has another word.
    """
    scope = option_values(config).get("scope", "module")
    if scope not in SCOPES:
        import pytest

        raise pytest.UsageError(f"harness_scope = {scope}: name one of {', '.join(SCOPES)}")
    return scope
