"""A boot counts only if it proves which kernel ran, on which machine, and when."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proofs import (
    BANNER,
    BUILD_ID,
    EVIDENCE,
    FACTS,
    NONCE,
    OLD_NONCE,
    OTHER_BUILD_ID,
    OTHER_IDENT,
    OTHER_RELEASE,
    PANIC,
    events_of,
    line,
    outcome_of,
    report,
    weighed_console,
)

from harness.outcome import Outcome, Until
from harness.verification import Banner

TORN = "WARNING: in the middle"


def test_whole_report_of_this_boot_and_this_kernel_passes() -> None:
    verdict, verification = weighed_console([*BANNER, *report(), *report()])
    assert verdict.outcome is Outcome.BOOTED
    assert verification.identified
    assert verification.banner is Banner.EXPECTED
    assert not verification.doubts


@pytest.mark.parametrize(
    ("lines", "doubt"),
    [
        (["Trying to mount root from ufs:/dev/md0 []...", *report(OLD_NONCE)], "no report with"),
        (report(""), "no report with this boot's nonce"),
        ([*report(OLD_NONCE), *report()], f"of another boot, with the nonce {OLD_NONCE}"),
        ([*report(""), *report()], "of another boot, without a nonce"),
        ([*report(), *report(OLD_NONCE)[:1]], "of another boot"),
        ([line(0, "begin version=2 guest=other"), *report()[1:], *report()], "contradict"),
        (report(kernel=f"release=14.1-STABLE osreldate=1 ident=GREEN build_id={OTHER_BUILD_ID}"),
         f"the build id {OTHER_BUILD_ID}"),
        (report(kernel="release=14.1-STABLE osreldate=1401500 ident=GREEN build_id="),
         "the build id none"),
        (report(config="sanitizers= numa=1"), "configured with no sanitizer"),
        (report(config="sanitizers=KASAN,KCSAN numa=1"), "configured with KASAN, KCSAN"),
        (report(kernel=None), "0 records kernel, expected one"),
        ([*report(), line(8, "cpu id=1 domain=0")], "records after its end"),
    ],
)  # fmt: skip
def test_report_that_proves_something_else_is_no_pass(lines: list[str], doubt: str) -> None:
    verdict, verification = weighed_console([*BANNER, *lines])
    assert verdict.outcome is Outcome.UNVERIFIED
    assert verdict.blames_host
    assert any(doubt in one for one in verification.doubts), verification.doubts


def test_what_is_torn_in_one_copy_is_taken_from_the_other() -> None:
    first = report()
    first[0] = first[0][:14] + TORN
    first[3] = first[3][:30] + TORN
    assert outcome_of([*BANNER, *first, *report()]) is Outcome.BOOTED


def test_nonce_torn_in_both_copies_proves_nothing() -> None:
    torn = report()
    torn[0] = torn[0][:14] + TORN
    assert outcome_of([*BANNER, "Trying to mount root from ufs:/dev/md0 []...", *torn * 2]) not in {
        Outcome.BOOTED,
        Outcome.DIFFERS,
    }


def test_root_mounted_without_a_report_is_no_boot_to_mountroot() -> None:
    lines = [*BANNER, "Trying to mount root from ufs:/dev/md0 []..."]
    verdict, verification = weighed_console(lines, until=Until.MOUNTROOT)
    assert verdict.outcome is Outcome.UNVERIFIED
    assert "no report" in verification.doubts[0]
    verdict, _ = weighed_console([*lines, *report()], until=Until.MOUNTROOT)
    assert verdict.outcome is Outcome.BOOTED


def test_kernels_own_failure_after_mountroot_is_the_kernels() -> None:
    lines = [*BANNER, "Trying to mount root from ufs:/dev/md0 []...", *PANIC]
    verdict, _ = weighed_console(lines, until=Until.MOUNTROOT)
    assert verdict.outcome is Outcome.PANIC


def test_kernel_that_tells_no_configuration_has_the_sanitizers_of_its_file() -> None:
    _, verification = weighed_console([*BANNER, *report(config=None)])
    assert not verification.doubts
    assert verification.sanitizers == ("KASAN",)


def test_kernel_without_a_build_id_is_known_by_its_version() -> None:
    bare = replace(EVIDENCE, facts=replace(FACTS, build_id=""))
    kernel = "release=14.1-STABLE osreldate=1401500 ident=GREEN build_id="
    assert outcome_of([*BANNER, *report(kernel=kernel)], bare) is Outcome.BOOTED
    other = report(kernel=kernel, version="text=FreeBSD%2014.1-STABLE%20GREEN")
    assert outcome_of([*BANNER, *other], bare) is Outcome.UNVERIFIED


@pytest.mark.parametrize(
    ("lines", "outcome", "banner"),
    [
        ([*BANNER, *PANIC], Outcome.PANIC, Banner.EXPECTED),
        (PANIC, Outcome.UNVERIFIED, Banner.MISSING),
        ([*PANIC, *BANNER], Outcome.UNVERIFIED, Banner.MISSING),
        ([*OTHER_IDENT, *PANIC], Outcome.UNVERIFIED, Banner.OTHER),
        ([*OTHER_RELEASE, *PANIC], Outcome.UNVERIFIED, Banner.OTHER),
        ([*BANNER, *OTHER_IDENT, *PANIC], Outcome.UNVERIFIED, Banner.OTHER),
        (BANNER, Outcome.ENDED, Banner.EXPECTED),
        (OTHER_IDENT, Outcome.UNVERIFIED, Banner.OTHER),
        ([], Outcome.UNVERIFIED, Banner.MISSING),
        ([*BANNER, *report(), *PANIC], Outcome.PANIC, Banner.EXPECTED),
        ([*report(), *PANIC], Outcome.PANIC, Banner.MISSING),
        ([*BANNER, *report(OLD_NONCE), *PANIC], Outcome.UNVERIFIED, Banner.EXPECTED),
        ([*BANNER, *report(kernel="build_id=77")[:4], *PANIC], Outcome.UNVERIFIED, Banner.EXPECTED),
        ([*BANNER, *report()[:4], *PANIC], Outcome.PANIC, Banner.EXPECTED),
    ],
)  # fmt: skip
def test_failure_counts_against_the_kernel_that_is_known(
    lines: list[str], outcome: Outcome, banner: Banner
) -> None:
    verdict, verification = weighed_console(lines)
    assert (verdict.outcome, verification.banner) == (outcome, banner)


def test_title_still_says_what_an_unverified_guest_died_of() -> None:
    verdict, _ = weighed_console([*OTHER_IDENT, *PANIC])
    assert "out of green ideas" in verdict.title


@pytest.mark.parametrize("lines", [[*BANNER, *report()], [*BANNER, *PANIC], BANNER])
def test_nothing_counts_on_a_machine_that_was_not_asked_for(lines: list[str]) -> None:
    elsewhere = replace(EVIDENCE, machine_differences=("QEMU's node 0 has 512 MiB, not 1024",))
    assert outcome_of(lines, elsewhere) is Outcome.UNVERIFIED
    assert elsewhere.proven_report(events_of(lines)) is None


def test_kernel_that_sees_another_machine_differs() -> None:
    words = ("domain 1 has 512 MiB, not 936 to 1024", "the distance from domain 0 to 1 is 3, not 9")
    verdict, _ = weighed_console([*BANNER, *report()], differences=words)
    assert verdict.outcome is Outcome.DIFFERS
    assert not verdict.blames_host
    assert verdict.message.split("\n") == list(words)
    assert not any(char.isdigit() for char in verdict.title)


def test_only_a_proven_report_is_worked_with() -> None:
    assert EVIDENCE.proven_report(events_of(report())) is not None
    assert EVIDENCE.proven_report(events_of(report()[:-1])) is None
    assert EVIDENCE.proven_report(events_of([*report(), *report(OLD_NONCE)])) is None
    assert EVIDENCE.proven_report(events_of(report(config="sanitizers= numa=1"))) is None


LINES = [*BANNER, *OTHER_IDENT, *PANIC, *report(), *report(OLD_NONCE)]


@given(st.lists(st.sampled_from(LINES) | st.text(max_size=40), max_size=30))
def test_no_mixture_of_old_and_new_lines_passes_without_a_whole_report(lines: list[str]) -> None:
    if outcome_of(lines) is Outcome.BOOTED:
        assert set(report()) <= {one.strip() for one in lines}
        assert not any(OLD_NONCE in one for one in lines)


@given(st.lists(st.integers(0, 15), min_size=1), st.from_regex(r"[!-~]{1,4}", fullmatch=True))
def test_what_other_output_tears_in_every_copy_never_passes(places: list[int], noise: str) -> None:
    """The same lines are hit in both copies, so that one record at least is lost."""
    lines = report()
    for place in places:
        at = place % len(lines)
        lines[at] = lines[at][:25] + noise + lines[at][25:]
    assert outcome_of([*BANNER, *lines, *lines]) is not Outcome.BOOTED


def test_nonce_and_build_id_stand_in_what_is_kept() -> None:
    _, verification = weighed_console([*BANNER, *report()])
    assert (verification.nonce, verification.build_id) == (NONCE, BUILD_ID)
    assert verification.version.startswith("FreeBSD 14.1-STABLE #0 main-n1")
