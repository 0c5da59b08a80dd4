"""A failure counts against the kernel once it repeats; QEMU is a script that fails now and then."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import Home, Said, script
from junitparser import Error, JUnitXml

pytestmark = pytest.mark.guest

BOOT = ("boot", "--source", "embedded")
KVM = (*BOOT, "--accelerator", "kvm")

#: KVM is TCG here; a case's own rule sets ``more``: further arguments, the last of which count.
WRAPPER = """
accelerator=tcg guest= more=
for word; do
    case $word in kvm) accelerator=kvm ;; harness-*) guest=$word ;; esac
done
count=$#
while [ "$count" -gt 0 ]; do
    word=$1; shift; count=$((count - 1))
    case $word in kvm) word=tcg ;; host) word=max ;; esac
    set -- "$@" "$word"
done
RULE
exec QEMU "$@" $more
"""

RESETS = "more='-append harness.plant=reset'"
UNDER_KVM = f"[ $accelerator = kvm ] && {RESETS}"
ONCE_UNDER_KVM = f"[ $accelerator = kvm ] && mkdir FOLDER/once 2>/dev/null && {RESETS}"

Fake = Callable[[str], str]


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    """Puts such a QEMU first in the PATH that it gives."""

    def make(rule: str) -> str:
        text = WRAPPER.replace("RULE", rule.replace("FOLDER", str(tmp_path)))
        qemu = "qemu-system-x86_64"
        return script(tmp_path / "bin", qemu, text.replace("QEMU", str(shutil.which(qemu))))

    return make


def cells(said: Said) -> list[dict[str, Any]]:
    return list(json.loads(said.stdout)["cells"])


def outcomes(said: Said) -> list[str]:
    return [cell["verdict"]["outcome"] for cell in cells(said)]


def folder(home: Home, said: Said) -> Path:
    return home.runs / str(json.loads(said.stdout)["name"])


def test_what_fails_under_kvm_alone_is_unverified_and_both_consoles_are_kept(
    shared_home: Home, fake: Fake, tmp_path: Path
) -> None:
    junit = tmp_path / "junit.xml"
    said = shared_home.run(*KVM, "--json", "--junit", junit, PATH=fake(UNDER_KVM))
    (cell,) = cells(said)
    assert (said.code, cell["verdict"]["outcome"]) == (3, "unverified")
    assert cell["verdict"]["title"].startswith("reset: reset in the kernel stage; booted when")
    (repeat,) = cell["repeats"]
    assert (repeat["accelerator"], repeat["outcome"]) == ("tcg", "booted")
    for console in (".", repeat["name"]):
        kept = folder(shared_home, said) / cell["name"] / console / "console.log"
        assert b"built-in guest" in kept.read_bytes()
    assert "booting again under tcg" in said.stderr
    (case,) = list(next(iter(JUnitXml.fromfile(str(junit)))))
    (error,) = case.result
    assert isinstance(error, Error)
    assert f"{cell['name']}/{repeat['name']}/console.log" in error.text
    told = shared_home.run("report", folder(shared_home, said).name).stdout
    assert "repeat tcg/direct: booted" in told
    console = shared_home.run("console", "latest", f"{cell['name']}/{repeat['name']}")
    assert "built-in guest" in console.stdout


def test_git_bisect_stops_at_it(shared_home: Home, fake: Fake) -> None:
    assert shared_home.run(*KVM, "--git-bisect", PATH=fake(UNDER_KVM)).code == 128


def test_one_of_several_counts_as_seen_once(shared_home: Home, fake: Fake) -> None:
    words = (*KVM, "--repeat", "3")
    said = shared_home.run(*words, PATH=fake(ONCE_UNDER_KVM))
    assert said.code == 1
    assert "booted 2 of 3" in said.stdout
    assert "reset 1 of 3" in said.stdout
    assert "seen once: booted when repeated" in said.stdout


def test_several_that_all_fail_under_kvm_alone_say_nothing_of_the_kernel(
    shared_home: Home, fake: Fake
) -> None:
    said = shared_home.run(*KVM, "--repeat", "2", "--json", PATH=fake(UNDER_KVM))
    assert (said.code, outcomes(said)) == (3, ["unverified", "unverified"])


def test_a_panic_under_kvm_counts_and_the_repeat_stands_beside_it(
    shared_home: Home, fake: Fake
) -> None:
    words = ("--numa", "4", "--mutant", "drop-commit", "--json")
    said = shared_home.run(*KVM, *words, PATH=fake(":"))
    (cell,) = cells(said)
    assert (said.code, cell["verdict"]["outcome"]) == (1, "panic")
    assert [repeat["title"] for repeat in cell["repeats"]] == [cell["verdict"]["title"]]


def test_a_failure_of_a_guest_that_is_kept_is_not_repeated(guest_home: Home, fake: Fake) -> None:
    hangs = fake(UNDER_KVM.replace("=reset", "=hang"))
    said = guest_home.run(*KVM, "--keep", "--timeout", "3", "--json", PATH=hangs)
    (cell,) = cells(said)
    assert (said.code, cell["verdict"]["outcome"]) == (3, "unverified")
    assert cell["repeats"] == []
    assert cell["opinion"].endswith("not repeated")


class TestBeforeTheBanner:
    """A kernel whose first instructions reset the machine; other guests have their own."""

    @pytest.fixture
    def broken(self, shared_home: Home, tmp_path: Path) -> Path:
        said = shared_home.run("build", "--source", "embedded", "--kasan", "--json")
        kernel = Path(json.loads(said.stdout)["kernel"]).read_bytes()
        return resetting(kernel, tmp_path / "broken")

    def boot(self, home: Home, path: str) -> dict[str, Any]:
        said = home.run(*BOOT, "--kasan", "--accelerator", "tcg", "--json", PATH=path)
        (cell,) = cells(said)
        return {"code": said.code, **cell}

    def test_it_counts_if_another_kernel_boots(
        self, shared_home: Home, fake: Fake, broken: Path
    ) -> None:
        rule = f"case $guest in *control*) ;; *) more='-kernel {broken}' ;; esac"
        cell = self.boot(shared_home, fake(rule))
        assert (cell["code"], cell["verdict"]["outcome"]) == (1, "reset")
        told = [(one["purpose"], one["outcome"]) for one in cell["repeats"]]
        assert told == [("repeat", "reset"), ("control", "booted")]

    def test_it_does_not_where_none_boots(
        self, shared_home: Home, fake: Fake, broken: Path
    ) -> None:
        cell = self.boot(shared_home, fake(f"more='-kernel {broken}'"))
        assert (cell["code"], cell["verdict"]["outcome"]) == (3, "unverified")
        assert cell["repeats"][-1]["purpose"] == "control"


def resetting(kernel: bytes, path: Path) -> Path:
    """That kernel with an undefined instruction for its first one, before it has any handler."""
    entry = b"\xfa\xfc\x89\xdf"  # cli; cld; mov %ebx,%edi: entry.S
    assert kernel.count(entry) == 1
    path.write_bytes(kernel.replace(entry, b"\x0f\x0b" + entry[2:]))
    return path
