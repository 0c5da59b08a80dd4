"""A failure counts against the kernel once it repeats; QEMU is a script that fails now and then."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_kvm
import pytest
from command import Home, Said, script
from junitparser import Error, JUnitXml

pytestmark = pytest.mark.guest

BOOT = ("boot", "--source", "embedded", "--accelerator", "tcg")
#: Runs QEMU with further arguments, the last of which count.
WRAPPER = """
guest=
for word; do
    case $word in harness-*) guest=$word ;; esac
done
RULE
exec QEMU "$@" $more
"""

#: A machine on which the guest resets or hangs, where that is planted; QEMU describes no CPU's
#: features, so it is the machine that was asked for.
FAULTY = "more='-cpu max,-popcnt'"
RESETS = ("--tunable", "harness.plant=reset-without-popcnt")
HANGS = ("--tunable", "harness.plant=hang-without-popcnt")
FIRST_TIME = f"case $guest in *again*) ;; *) {FAULTY} ;; esac"
ONCE = f"mkdir DIRECTORY/once 2>/dev/null && {FAULTY}"

#: A processor without the mode that the guest enters before it prints anything.
NO_LONG_MODE = "more='-cpu max,-lm'"

Fake = Callable[[str], str]


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    """Puts such a QEMU first in the PATH that it gives."""

    def make(rule: str) -> str:
        text = WRAPPER.replace("RULE", rule.replace("DIRECTORY", str(tmp_path)))
        qemu = "qemu-system-x86_64"
        return script(tmp_path / "bin", qemu, text.replace("QEMU", str(shutil.which(qemu))))

    return make


def cells(said: Said) -> list[dict[str, Any]]:
    return list(json.loads(said.stdout)["cells"])


def outcomes(said: Said) -> list[str]:
    return [cell["verdict"]["outcome"] for cell in cells(said)]


def directory(home: Home, said: Said) -> Path:
    return home.runs / str(json.loads(said.stdout)["name"])


def test_what_does_not_repeat_is_unverified_and_both_consoles_are_kept(
    shared_home: Home, fake: Fake, tmp_path: Path
) -> None:
    junit = tmp_path / "junit.xml"
    said = shared_home.run(*BOOT, *RESETS, "--json", "--junit", junit, PATH=fake(FIRST_TIME))
    (cell,) = cells(said)
    assert (said.code, cell["verdict"]["outcome"]) == (3, "unverified")
    assert cell["verdict"]["title"].startswith("reset: reset in the kernel stage; booted when")
    (repeat,) = cell["repeats"]
    assert (repeat["accelerator"], repeat["outcome"]) == ("tcg", "booted")
    for console in (".", repeat["name"]):
        kept = directory(shared_home, said) / cell["name"] / console / "console.log"
        assert b"built-in guest" in kept.read_bytes()
    assert "booting again under tcg" in said.stderr
    (case,) = list(next(iter(JUnitXml.fromfile(str(junit)))))
    (error,) = case.result
    assert isinstance(error, Error)
    assert f"{cell['name']}/{repeat['name']}/console.log" in error.text
    told = shared_home.run("report", directory(shared_home, said).name).stdout
    assert "repeat tcg/direct: booted" in told
    console = shared_home.run("console", "latest", f"{cell['name']}/{repeat['name']}")
    assert "built-in guest" in console.stdout


def test_git_bisect_stops_at_it(shared_home: Home, fake: Fake) -> None:
    assert shared_home.run(*BOOT, *RESETS, "--git-bisect", PATH=fake(FIRST_TIME)).code == 128


def test_one_of_several_counts_as_seen_once(shared_home: Home, fake: Fake) -> None:
    words = (*BOOT, *RESETS, "--repeat", "3")
    said = shared_home.run(*words, PATH=fake(ONCE))
    assert said.code == 1
    assert "booted 2 of 3" in said.stdout
    assert "reset 1 of 3" in said.stdout
    assert "seen once: booted when repeated" in said.stdout


def test_several_of_which_none_repeats_say_nothing_of_the_kernel(
    shared_home: Home, fake: Fake
) -> None:
    said = shared_home.run(*BOOT, *RESETS, "--repeat", "2", "--json", PATH=fake(FIRST_TIME))
    assert (said.code, outcomes(said)) == (3, ["unverified", "unverified"])


def test_a_failure_of_a_guest_that_is_kept_is_not_repeated(guest_home: Home, fake: Fake) -> None:
    words = (*BOOT, *HANGS, "--keep", "--timeout", "3", "--json")
    said = guest_home.run(*words, PATH=fake(FIRST_TIME))
    (cell,) = cells(said)
    assert (said.code, cell["verdict"]["outcome"]) == (3, "unverified")
    assert cell["repeats"] == []
    assert cell["opinion"].endswith("not repeated")


class TestKvm:
    """Which is no faster than TCG when it is measured, and so suspect."""

    KVM = ("boot", "--source", "embedded", "--accelerator", "kvm", "--json")

    def test_a_panic_counts_and_a_repeat_stands_beside_it(
        self, shared_home: Home, tmp_path: Path
    ) -> None:
        words = ("--numa", "4", "--mutant", "drop-commit")
        said = shared_home.run(*self.KVM, *words, PATH=fake_kvm.install(tmp_path / "bin"))
        (cell,) = cells(said)
        assert (said.code, cell["verdict"]["outcome"], cell["accelerator"]) == (1, "panic", "kvm")
        (repeat,) = cell["repeats"]
        assert (repeat["accelerator"], repeat["title"]) == ("tcg", cell["verdict"]["title"])

    def test_what_speaks_against_it_is_evidence_about_the_host(
        self, shared_home: Home, tmp_path: Path
    ) -> None:
        path = fake_kvm.install(tmp_path / "bin", cpu="max,-popcnt")
        said = shared_home.run(*self.KVM, *RESETS, "--repeat", "2", PATH=path)
        assert (said.code, outcomes(said)) == (3, ["unverified", "unverified"])
        assert "measuring KVM again" in said.stderr


class TestBeforeTheBanner:
    def boot(self, home: Home, path: str) -> dict[str, Any]:
        said = home.run(*BOOT, "--kasan", "--json", PATH=path)
        (cell,) = cells(said)
        return {"code": said.code, **cell}

    def test_a_failure_counts_if_another_kernel_boots(self, shared_home: Home, fake: Fake) -> None:
        rule = f"case $guest in *control*) ;; *) {NO_LONG_MODE} ;; esac"
        cell = self.boot(shared_home, fake(rule))
        assert (cell["code"], cell["verdict"]["outcome"]) == (1, "reset")
        told = [(one["purpose"], one["outcome"]) for one in cell["repeats"]]
        assert told == [("repeat", "reset"), ("control", "booted")]

    def test_it_does_not_where_none_boots(self, shared_home: Home, fake: Fake) -> None:
        cell = self.boot(shared_home, fake(NO_LONG_MODE))
        assert (cell["code"], cell["verdict"]["outcome"]) == (3, "unverified")
        assert cell["repeats"][-1]["purpose"] == "control"
