"""Kernel configurations: their names, their texts, and the sanitizer that they have."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.kernel.spec import KernelConfig, kernel_config
from harness.kerneloptions import parse_options
from harness.sanitizers import NONE, Sanitizers, parse_sanitizers

KASAN, KMSAN = parse_sanitizers("kasan"), parse_sanitizers("kmsan")


def options(config: KernelConfig) -> list[str]:
    words = [line.split() for line in config.text.splitlines()]
    return [word[1] for word in words if word[:1] == ["options"]]


@pytest.mark.parametrize(
    ("sanitizer", "name"), [(NONE, "HARNESS"), (KASAN, "HARNESS-KASAN"), (KMSAN, "HARNESS-KMSAN")]
)
def test_slim_kernel_is_named_after_its_sanitizer(sanitizer: Sanitizers, name: str) -> None:
    config = kernel_config(sanitizer)
    assert (config.name, config.sanitizers) == (name, sanitizer)
    assert config.text.endswith(f"\nident\t\t{name}\n")
    found = {word for word in options(config) if word in ("KASAN", "KMSAN")}
    assert found == (set(sanitizer.options))
    assert {"NUMA", "MD_ROOT", "KDB"} <= set(options(config))


def test_configuration_of_the_tree_is_included_with_what_our_guests_need() -> None:
    config = kernel_config(NONE, "GENERIC")
    assert config.name == "HARNESS-GENERIC"
    assert config.text.startswith('include\t"GENERIC"\n')
    assert "MD_ROOT" in options(config)


@pytest.mark.parametrize("asked", [NONE, KASAN])
def test_sanitizer_that_a_configuration_brings_is_told_and_not_added(asked: Sanitizers) -> None:
    config = kernel_config(asked, "GENERIC-KASAN")
    assert (config.name, config.sanitizers) == ("HARNESS-GENERIC-KASAN", KASAN)
    assert "KASAN" not in options(config)


def test_sanitizer_is_added_to_a_configuration_without_one() -> None:
    config = kernel_config(KMSAN, "GENERIC")
    assert (config.name, config.sanitizers) == ("HARNESS-GENERIC-KMSAN", KMSAN)
    assert "KMSAN" in options(config)


def test_file_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "MY.conf"
    path.write_text("cpu\t\tHAMMER\nident MINE\n#options KASAN\n")
    config = kernel_config(NONE, str(path))
    assert (config.name, config.sanitizers) == ("HARNESS-MY_conf", NONE)
    assert config.text.startswith(path.read_text())
    assert config.text.endswith("ident\t\tHARNESS-MY_conf\n"), "the last ident counts"


@pytest.mark.parametrize("line", ["options KASAN", "  options\tKASAN # slow", "options \t KASAN"])
def test_sanitizer_of_a_file_is_found(tmp_path: Path, line: str) -> None:
    path = tmp_path / "MINE"
    path.write_text(f"cpu HAMMER\n{line}\n")
    assert kernel_config(NONE, str(path)).sanitizers == KASAN
    assert options(kernel_config(KASAN, str(path))).count("KASAN") == 1


def test_sanitizers_that_fit_together_are_in_one_configuration() -> None:
    config = kernel_config(parse_sanitizers("kubsan,kasan"))
    assert (config.name, str(config.sanitizers)) == ("HARNESS-KASAN-KUBSAN", "kasan+kubsan")
    assert {"KASAN", "KUBSAN"} <= set(options(config))


def test_sanitizer_is_added_to_a_configuration_with_another_that_it_fits() -> None:
    config = kernel_config(parse_sanitizers("kubsan"), "GENERIC-KCSAN")
    assert (config.name, str(config.sanitizers)) == ("HARNESS-GENERIC-KCSAN-KUBSAN", "kcsan+kubsan")
    assert options(config).count("KUBSAN") == 1
    assert "KCSAN" not in options(config), "the tree's own configuration has it"


@pytest.mark.parametrize("kernconf", ["GENERIC-KASAN", "file"])
def test_two_sanitizers_are_refused(tmp_path: Path, kernconf: str) -> None:
    (tmp_path / "file").write_text("options KASAN\n")
    name = str(tmp_path / "file") if kernconf == "file" else kernconf
    with pytest.raises(UsageError, match=r"cannot add KMSAN: .* has KASAN"):
        kernel_config(KMSAN, name)


@pytest.mark.parametrize("kernconf", ["", "../GENERIC", "no/such", "1ST", 'A"B', "A B", "-j"])
def test_what_is_neither_file_nor_name_is_refused(kernconf: str) -> None:
    with pytest.raises(UsageError, match="is neither a file nor a name"):
        kernel_config(NONE, kernconf)


def test_digest_follows_the_text() -> None:
    assert kernel_config(NONE).digest == kernel_config(NONE).digest
    assert kernel_config(NONE).digest != kernel_config(KASAN).digest


LISTING = "COMPAT_43\topt_global.h\n" + "".join(
    f"COMPAT_FREEBSD{release}\topt_global.h\n" for release in (4, 9, 10, 14)
)


def test_kernel_for_worlds_runs_those_of_every_older_release_that_the_tree_knows() -> None:
    config = kernel_config(NONE, userland=True).completed(LISTING)
    assert "COMPAT_FREEBSD10\n" in config.text
    assert "COMPAT_FREEBSD14\n" in config.text
    assert "COMPAT_FREEBSD9" not in config.text
    assert "COMPAT_43" not in config.text


def test_user_removes_what_a_kernel_for_worlds_would_have() -> None:
    asked = parse_options(["COMPAT_FREEBSD14=n"])
    lines = kernel_config(NONE, None, asked, userland=True).completed(LISTING).text.splitlines()
    (added,) = (
        n for n, line in enumerate(lines) if line.split() == ["options", "COMPAT_FREEBSD14"]
    )
    (removed,) = (n for n, line in enumerate(lines) if line.startswith("nooptions"))
    assert added < removed


@pytest.mark.parametrize(("userland", "kernconf"), [(False, None), (True, "GENERIC")])
def test_no_other_configuration_is_completed(userland: bool, kernconf: str | None) -> None:
    assert not kernel_config(NONE, kernconf, userland=userland).for_worlds
