"""What brings a kernel into memory: the loader, or QEMU by itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command import Home

EMBEDDED = ("boot", "--source", "embedded")


@pytest.mark.guest
def test_the_built_in_guest_needs_no_loader_and_its_record_says_so(shared_home: Home) -> None:
    said = shared_home.run(*EMBEDDED, "--json")
    (cell,) = json.loads(said.stdout)["cells"]
    assert cell["boot"] == "direct"
    assert "/direct" in shared_home.run("report").stdout


@pytest.mark.guest
def test_a_setting_that_it_cannot_follow_is_no_error_but_a_flag_is(home: Home) -> None:
    home.configure('[boot]\nmethod = "loader"\n')
    assert home.run(*EMBEDDED).code == 0
    refused = home.run(*EMBEDDED, "--boot", "loader")
    assert refused.code == 2
    assert refused.error.startswith("harness: --boot loader cannot start the built-in guest")


@pytest.fixture
def kernel(home: Home) -> Path:
    """A kernel file that is not of the cache."""
    built = min((home.cache / "kernels").glob("[!.]*/kernel"))
    return Path(shutil.copy(built, home.directory / "kernel"))


@pytest.mark.parametrize(
    ("words", "configured"),
    [
        ((), '[boot]\nmethod = "loader"\n'),
        (("--boot", "loader"), ""),
        (("--boot", "loader"), '[boot]\nmethod = "direct"\n'),
    ],
    ids=["by setting", "by flag", "by flag, against the setting"],
)
def test_without_a_loader_a_kernel_file_can_be_started_directly_only(
    home: Home, kernel: Path, words: tuple[str, ...], configured: str
) -> None:
    home.configure(configured)
    said = home.run("boot", "--kernel", kernel, *words)
    assert said.code == 2
    assert said.error.startswith(f"harness: no loader is cached to start {kernel}")
    assert "--boot direct" in said.error
    assert home.leftovers() == []


@pytest.mark.parametrize("how", ["default", "flag", "setting"])
def test_what_is_not_linked_as_a_freebsd_kernel_cannot_be_started_directly(
    home: Home, kernel: Path, how: str
) -> None:
    data = bytearray(kernel.read_bytes())
    data[16] = 3  # e_type: a shared object
    kernel.write_bytes(data)
    home.configure('[boot]\nmethod = "loader"\n' if how == "flag" else "")
    if how == "setting":
        home.configure('[boot]\nmethod = "direct"\n')
    said = home.run("boot", "--kernel", kernel, *(["--boot", "direct"] if how == "flag" else []))
    assert said.code == 2
    assert said.error.startswith(f"harness: {kernel} cannot be started directly")
    assert "--boot loader" in said.error
    assert home.leftovers() == []
