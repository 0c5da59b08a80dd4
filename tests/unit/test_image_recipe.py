"""The loader's script, and the volume it stands on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.arch import GUEST
from harness.errors import UsageError
from harness.image.recipe import (
    DEFAULT_TUNABLES,
    KERNEL,
    LOADER,
    ROOT_IMAGE,
    loader_rc,
    makefs_words,
    volume,
)

LOADER_BUFFER = 256
"""``char input[256]`` of interp_include(): what is longer would be read as two lines."""

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.%-]{0,126}", fullmatch=True).filter(
    lambda name: name not in GUEST.console_tunables
)
ANY_TEXT = st.text(max_size=140)


def environment(script: str) -> dict[str, str]:
    """What the loader's parser makes of the script's settings, for the values we let through."""
    settings = re.findall(r'^@set ([^=]+)="([^"]*)"$', script, re.MULTILINE)
    return dict(settings)


def commands(script: str) -> list[str]:
    return [line for line in script.splitlines() if not line.startswith("@set ")]


def test_staging_is_set_before_anything_is_loaded_because_it_drops_what_was() -> None:
    lines = loader_rc({}).splitlines()
    loads = [number for number, line in enumerate(lines) if "load " in line]
    assert lines[0] == "-copy_staging enable"
    assert min(loads) > 0


def test_the_kernel_is_loaded_before_the_memory_disk_and_then_booted() -> None:
    assert commands(loader_rc({}))[1:] == [
        "-load /boot/kernel/kernel",
        "-load -t mfs_root /boot/mfsroot",
        "-boot",
        "reboot",
    ]


def test_every_command_that_may_fail_lets_the_script_reach_the_reset() -> None:
    *may_fail, last = commands(loader_rc({}))
    assert all(line.startswith("-") for line in may_fail)
    assert last == "reboot"


def test_everything_is_set_before_the_kernel_is_loaded() -> None:
    script = loader_rc({"vm.pmap.pti": "0"})
    assert script.rindex("@set ") < script.index("load /boot")


def test_the_kernel_speaks_on_the_first_serial_port() -> None:
    assert environment(loader_rc({})).items() >= {
        ("console", "comconsole"),
        ("boot_serial", "YES"),
        ("hint.uart.0.at", "isa"),
        ("hint.uart.0.port", "0x3F8"),
        ("hint.uart.0.flags", "0x10"),
        ("hint.uart.0.irq", "4"),
    }


def test_a_panic_ends_the_guest_without_a_prompt_or_a_wait() -> None:
    told = environment(loader_rc({}))
    assert told["debug.debugger_on_panic"] == "0"
    assert told["kern.panic_reboot_wait_time"] == "0"


@pytest.mark.parametrize("name", DEFAULT_TUNABLES)
def test_a_tunable_of_the_user_overrides_a_default(name: str) -> None:
    assert environment(loader_rc({name: "other"}))[name] == "other"


@pytest.mark.parametrize("name", GUEST.console_tunables)
def test_the_console_cannot_be_taken_from_the_harness(name: str) -> None:
    with pytest.raises(UsageError, match=f"{re.escape(name)} is reserved"):
        loader_rc({name: "vidconsole"})


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a=b", "1a", "a\nboot", 'a"b', "a$b", "a\\b", "ä", "-a", "a" * 128],
    ids=["empty", "blank", "equals", "digit first", "newline", "quote", "dollar", "backslash",
         "not ASCII", "dash first", "too long"],
)  # fmt: skip
def test_a_name_that_the_loader_would_read_as_something_else_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is not the name of a tunable"):
        loader_rc({name: "1"})


@pytest.mark.parametrize(
    "value",
    ["a\nunload", "a\rb", 'x" boot "', "x'y", "$currdev", "a\\b", "\x00", "é", "v" * 128],
    ids=["newline", "carriage return", "quote", "apostrophe", "dollar", "backslash", "NUL",
         "not ASCII", "too long"],
)  # fmt: skip
def test_a_value_that_the_loader_would_read_as_something_else_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match=r"cannot set the tunable vm\.x to"):
        loader_rc({"vm.x": value})


def test_a_name_and_a_value_that_fill_the_loaders_line_are_refused_together() -> None:
    assert loader_rc({"n" * 120: "v" * 127})
    with pytest.raises(UsageError, match="are too long"):
        loader_rc({"n" * 127: "v" * 127})


@given(st.dictionaries(NAMES, ANY_TEXT, max_size=4))
def test_a_script_sets_exactly_what_was_given_or_is_refused(tunables: dict[str, str]) -> None:
    try:
        script = loader_rc(tunables)
    except UsageError:
        return
    assert environment(script) == {**DEFAULT_TUNABLES, **tunables, **GUEST.console_tunables}
    assert commands(script) == commands(loader_rc({}))
    assert all(len(line) < LOADER_BUFFER for line in script.splitlines())
    assert script.isascii()


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_.]{0,40}", fullmatch=True).filter(
            lambda name: name not in GUEST.console_tunables
        ),
        st.from_regex(r"[A-Za-z0-9 ,.:;/=+-]{0,60}", fullmatch=True),
        max_size=4,
    )
)
def test_ordinary_tunables_are_never_refused(tunables: dict[str, str]) -> None:
    assert environment(loader_rc(tunables)).items() >= tunables.items()


def test_the_volume_has_the_loader_where_firmware_looks() -> None:
    files = volume(Path("/k"), Path("/l"), Path("/r"))
    assert files[LOADER] == Path("/l")
    assert str(LOADER) == "EFI/BOOT/BOOTX64.EFI"


def test_the_volume_has_each_file_that_the_script_loads() -> None:
    loaded = re.findall(r"-load (?:-t \w+ )?/(\S+)", loader_rc({}))
    placed = {str(place) for place in volume(Path("/k"), Path("/l"), Path("/r"))}
    assert set(loaded) == {str(KERNEL), str(ROOT_IMAGE)} <= placed


def test_the_root_is_of_the_version_that_the_kernel_mounts() -> None:
    words = makefs_words(Path("/image"), Path("/root"))
    assert "version=1" in words
    assert words[-2:] == ("/image", "/root")
