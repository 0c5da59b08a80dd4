"""The accelerator is chosen by itself, and a user may overrule it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Home, Said
from fake_kvm import BAD, GOOD, install_probed

from harness.host.accelerator import kvm_refusal

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(bool(kvm_refusal()), reason="no /dev/kvm that a fake could stand for"),
]

DIES_LATER = """
case "$*" in
*"-accel kvm"*) echo "KVM internal error. Suberror: 1" >&2;;
esac
"""


def doctor(home: Home, path: str) -> str:
    """What it says once the accelerators are measured, for which a host may be too busy."""
    while "too busy" in (told := home.run("doctor", PATH=path).stdout):
        pass
    return told


def boot(home: Home, path: str, *words: str) -> Said:
    return home.run("boot", "--source", "embedded", "--json", *words, PATH=path)


def accelerator(said: Said) -> str:
    assert said.code == 0, said.stderr
    (cell,) = json.loads(said.stdout)["cells"]
    assert cell["verdict"]["outcome"] == "booted"
    return str(cell["accelerator"])


@pytest.mark.parametrize(("probe", "chosen"), [(GOOD, "kvm"), (BAD, "tcg")])
def test_the_better_accelerator_is_chosen_and_the_doctor_tells_why(
    home: Home, tmp_path: Path, probe: str, chosen: str
) -> None:
    path = install_probed(tmp_path / "bin", probe)
    told = doctor(home, path)
    assert accelerator(boot(home, path)) == chosen
    assert accelerator(boot(home, path, "--accelerator", "auto")) == chosen
    assert f"{chosen}: " in told
    assert "TCG 0." in told
    assert "wrong result of rdrand" in told if chosen == "tcg" else "every result is right" in told


def test_kvm_that_fails_later_is_the_hosts_failure_and_is_measured_again(
    home: Home, tmp_path: Path
) -> None:
    path = install_probed(tmp_path / "bin", GOOD, DIES_LATER)
    doctor(home, path)
    kept = home.cache / "accelerator.json"
    assert kept.exists()
    failed = boot(home, path)
    assert failed.code == 3, failed.stderr
    (cell,) = json.loads(failed.stdout)["cells"]
    assert cell["error"].startswith("QEMU cannot run the guest any further: KVM internal error")
    assert not kept.exists()


def test_settings_and_then_the_flag_overrule_the_measurement(home: Home, tmp_path: Path) -> None:
    path = install_probed(tmp_path / "bin", GOOD)
    home.configure('[boot]\naccelerator = "tcg"\n')
    assert accelerator(boot(home, path)) == "tcg"
    assert accelerator(boot(home, path, "--accelerator", "kvm")) == "kvm"
    home.configure('[boot]\naccelerator = "kqemu"\n')
    refused = boot(home, path)
    assert refused.code == 2
    assert "boot.accelerator" in refused.error
