"""What a machine boots from is laid out under names that its programs can rely on."""

from __future__ import annotations

from pathlib import Path

from harness.guest.handover import hand_over, loader_conf
from harness.image.media import DirectKernel, EfiDirectory
from harness.image.recipe import LOADER_SCRIPT, kernel_environment, loader_rc


def test_the_loaders_volume_comes_with_its_environment(tmp_path: Path) -> None:
    volume, directory = tmp_path / "volume", tmp_path / "handed"
    (volume / "boot" / "kernel").mkdir(parents=True)
    (volume / "boot" / "kernel" / "kernel").write_bytes(b"kernel")
    script = loader_rc({"vm.pmap.pti": "0"}, module=True, nonce="0123")
    (volume / LOADER_SCRIPT).write_text(script)
    directory.mkdir()
    hand_over(EfiDirectory(volume), directory)
    assert (directory / "volume" / "boot" / "kernel" / "kernel").read_bytes() == b"kernel"
    assert (directory / "volume" / LOADER_SCRIPT).read_text() == script
    conf = (directory / "loader.conf").read_text().splitlines()
    environment = kernel_environment({"vm.pmap.pti": "0"}, module=True, nonce="0123")
    assert conf == [f'{name}="{value}"' for name, value in environment.items()]


def test_a_direct_start_has_a_kernel_and_a_command_line(tmp_path: Path) -> None:
    kernel, directory = tmp_path / "kernel.elf", tmp_path / "handed"
    kernel.write_bytes(b"elf")
    directory.mkdir()
    hand_over(DirectKernel(kernel, "a=b c=d"), directory)
    assert (directory / "kernel").read_bytes() == b"elf"
    assert (directory / "command-line").read_text() == "a=b c=d\n"


def test_only_what_a_script_sets_is_in_the_environment() -> None:
    script = '-copy_staging enable\n@set a.b="c d"\n-load /boot/kernel/kernel\n-boot\nreboot\n'
    assert loader_conf(script) == 'a.b="c d"\n'
