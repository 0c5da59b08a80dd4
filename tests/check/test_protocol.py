"""The channel's lines: what is sent reads as a record, and what is no answer is nonsense."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_guest import said, unbatched

from harness.check.channel import Channel, GuestGone, GuestRefused, GuestSilent
from harness.check.protocol import NUMBERS, Nonsense, batches, line, read_record
from harness.host.clock import HostClock, ManualClock
from harness.subsystems.domainset.check import protocol as domainset
from harness.subsystems.domainset.model.machine import Wait
from harness.subsystems.domainset.model.operations import Call, Start
from harness.subsystems.domainset.model.player import Seen
from harness.subsystems.domainset.model.sets import Domainset, Policy
from harness.subsystems.uma.check.generate import random_steps
from harness.subsystems.uma.check.observation import answer_text, of_guest
from harness.subsystems.uma.check.protocol import (
    ANSWER_NAMES,
    Counters,
    command,
    read_answer,
    read_starved,
)
from harness.subsystems.uma.model.flags import M_NOVM, M_NOWAIT, M_USE_RESERVE, M_WAITOK
from harness.subsystems.uma.model.player import DomainSource, Operation, Verb
from harness.subsystems.uma.model.shape import Shape
from harness.subsystems.uma.model.variants import VARIANTS, Variant


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        (Operation(Verb.ALLOC, 1, M_NOWAIT | M_NOVM), "alloc slot=7 cpu=3 flags=nv"),
        (
            Operation(Verb.ALLOC, 1, M_WAITOK | M_USE_RESERVE, DomainSource.DOMAIN),
            "alloc slot=7 cpu=3 domain=1 flags=wr",
        ),
        (Operation(Verb.FREE, 5), "free slot=7 cpu=3"),
        (Operation(Verb.PREALLOC, 5), "prealloc items=5 cpu=3"),
        (Operation(Verb.DRAIN, 1), "drain domain=1"),
        (Operation(Verb.REFUSE, 0), "refuse domain=0"),
        (Operation(Verb.ACCEPT, 0), "accept domain=0"),
        (Operation(Verb.LOW, 2), "low domain=2"),
        (Operation(Verb.RECOVER, 2), "recover domain=2"),
    ],
)
def test_operations_are_told_in_the_modules_words(operation: Operation, told: str) -> None:
    assert command(operation, slot=7, cpu=3) == told


@given(
    st.integers(0, 9998),
    st.from_regex(r"[a-z]{1,9}( [a-z]{1,9}=[a-z0-9]{1,9}){0,5}", fullmatch=True),
)
def test_a_command_reads_back_as_a_record(number: int, text: str) -> None:
    record = read_record(line(number, text).rstrip(b"\n"))
    told = " ".join([record.name, *(f"{key}={value}" for key, value in record.fields)])
    assert (record.number, told) == (number, text)


def test_an_answer_says_all_that_is_compared() -> None:
    body = "0001 alloc item=3.1 domain=1 calls=0110 slept=2 place=9 d1=4,7,1,2,1,1"
    answer = read_answer(read_record(said(body).rstrip(b"\n")))
    assert (answer.item, answer.domain, answer.calls) == ((3, 1), 1, (0, 1, 1, 0))
    assert (answer.slept, answer.place) == (2, 9)
    assert answer.changed == {1: Counters(4, 7, 1, 2, 1, 1)}


def test_a_counter_that_has_become_negative_is_read() -> None:
    body = "0001 free place=0 d0=1,4294967295,1,0,1,0"
    answer = read_answer(read_record(said(body).rstrip(b"\n")))
    assert answer.changed == {0: Counters(1, 2**32 - 1, 1, 0, 1, 0)}


def test_calls_past_those_listed_count_as_one_that_no_model_makes() -> None:
    body = "0001 alloc calls=00 more=77 place=0"
    assert read_answer(read_record(said(body).rstrip(b"\n"))).calls == (0, 0, -1)


@pytest.mark.parametrize(
    "body",
    [
        "0001 alloc", "0001 alloc place=", "0001 alloc place=-1", "0001 alloc place=1e3",
        "0001 alloc place=0 item=1", "0001 alloc place=0 item=1.2", "0001 alloc place=0 item=a.b",
        "0001 alloc place=0 calls=9", "0001 alloc place=0 calls=", "0001 alloc place=0 d0=1,2,3",
        "0001 alloc place=0 slept=x", "0001 alloc place=99999999999999999999",
        "0001 alloc place=\N{ARABIC-INDIC DIGIT ONE}",
    ],
)  # fmt: skip
def test_an_answer_of_another_form_is_nonsense(body: str) -> None:
    with pytest.raises(Nonsense):
        read_answer(read_record(said(body).rstrip(b"\n")))


@given(st.binary(max_size=200))
def test_whatever_bytes_come_they_are_a_record_or_nonsense(data: bytes) -> None:
    try:
        read_answer(read_record(data))
    except Nonsense:
        return
    assert data.startswith(b"@harness ")


def test_starvation_is_told_in_calls_and_microseconds() -> None:
    body = "0001 starve calls=300 run_us=20 elapsed_us=2000000 wake_us=7 asleep=1 served=1"
    starved = read_starved(read_record(said(body).rstrip(b"\n")))
    assert starved.calls_per_second == 150
    assert (starved.asleep, starved.served, starved.wake_us) == (True, True, 7)


class Script:
    """A tap that says what it is given, piece by piece, and keeps what it hears."""

    def __init__(self, *pieces: bytes | None) -> None:
        self.pieces = list(pieces)
        self.heard = b""

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        return self.pieces.pop(0) if self.pieces else None

    def write(self, data: bytes) -> None:
        self.heard += data


HELLO = said("0000 hello version=1 domains=2")


def opened(*pieces: bytes | None) -> Channel:
    channel = Channel(Script(HELLO, said("0001 hello version=1 domains=2"), *pieces),
                      HostClock(), silence=0.2)  # fmt: skip
    channel.open()
    return channel


def test_the_greeting_is_found_behind_what_the_firmware_printed() -> None:
    noise = b"\x1b[2J BdsDxe: loading\r\n@harness 0000 hel\n Consoles: EFI  "
    channel = Channel(Script(noise, HELLO, said("0001 hello version=1")), HostClock(), 0.2)
    assert dict(channel.open().fields)["domains"] == "2"


def test_answers_to_further_greetings_are_passed_over() -> None:
    script = Script(HELLO + HELLO + HELLO[:9], HELLO[9:], said("0001 hello version=1"))
    channel = Channel(script, HostClock(), 0.2)
    channel.open()
    script.pieces = [said("0002 done place=0")]
    assert channel.ask("refuse domain=0").name == "done"


def test_an_answer_may_come_in_pieces() -> None:
    answer = said("0002 done place=4")
    channel = opened(answer[:5], None, answer[5:])
    assert channel.ask("low domain=1").number == 2


KEYS = st.sampled_from(["cpu", "domain", "flags", "slot", "ops"])
VALUES = st.from_regex(r"[0-9a-z.,:/]{0,12}", fullmatch=True)
COMMANDS = st.builds(
    lambda name, fields: " ".join([name, *(f"{key}={value}" for key, value in fields.items())]),
    st.sampled_from(["alloc", "discard", "run"]), st.dictionaries(KEYS, VALUES),
)  # fmt: skip


@given(st.integers(0, NUMBERS - 1), st.lists(COMMANDS, max_size=120))
def test_a_batch_is_short_and_stands_for_the_lines_of_its_commands(
    number: int, commands: list[str]
) -> None:
    lines = list(batches(number, commands))
    assert all(len(each) <= 1024 for each in lines)
    single = [line((number + place) % NUMBERS, command) for place, command in enumerate(commands)]
    told = [f"{each}\n".encode() for whole in lines for each in unbatched(whole[:-1].decode())]
    assert told == single


def test_commands_that_differ_in_their_values_take_a_fifth_of_their_lines() -> None:
    commands = [f"alloc slot={slot} cpu={slot % 4} flags=nv" for slot in range(60)]
    (batch,) = batches(1, commands)
    assert 5 * len(batch) < sum(len(line(1, each)) for each in commands)


def test_a_guest_that_refuses_says_why() -> None:
    with pytest.raises(GuestRefused, match="no-such-item"):
        opened(said("0002 error why=no-such-item")).ask("free slot=1 cpu=0")


def test_an_answer_with_another_number_is_nonsense() -> None:
    with pytest.raises(Nonsense, match="answer 3 to command 2"):
        opened(said("0003 done place=0")).ask("low domain=0")


def test_a_checksum_that_does_not_hold_is_nonsense() -> None:
    with pytest.raises(Nonsense):
        opened(said("0002 done place=0").replace(b"place=0", b"place=1")).ask("low domain=0")


def test_a_guest_that_ends_is_gone_and_one_that_says_nothing_is_silent() -> None:
    with pytest.raises(GuestGone):
        opened(b"").ask("low domain=0")
    with pytest.raises(GuestSilent, match="no answer"):
        opened().ask("low domain=0")


def test_endless_lines_are_nonsense_before_they_fill_the_memory() -> None:
    with pytest.raises(Nonsense, match="more than 1100 bytes"):
        opened(*[b"x" * 500] * 4).ask("low domain=0")
    with pytest.raises(Nonsense, match="without an answer to hello"):
        Channel(Script(*[b"x" * 60_000] * 20), HostClock(), 60.0).open()


def test_a_guest_that_prints_other_lines_for_ever_counts_as_silent() -> None:
    clock = ManualClock()

    class Chatter(Script):
        def read(self, timeout: float, also: int | None = None) -> bytes | None:
            clock.sleep(timeout)
            return super().read(timeout, also) or b"no answer\n"

    with pytest.raises(GuestSilent, match="other lines"):
        Channel(Chatter(HELLO), clock, 60.0).open()
    with pytest.raises(GuestSilent, match="did not answer"):
        Channel(Chatter(), clock, 60.0).open()


def test_a_megabyte_of_single_bytes_before_the_greeting_is_read_in_linear_time() -> None:
    noise = [b"x", b"\n"] * 500_000
    script = Script(*reversed([*noise, HELLO, said("0001 hello version=1")]))
    script.read = lambda timeout, also=None: script.pieces.pop()  # type: ignore[method-assign]
    assert Channel(script, ManualClock(), 60.0).open().name == "hello"


@given(st.integers(0, 2**32), st.sampled_from(list(VARIANTS.values())), st.integers(1, 8))
def test_an_answer_in_the_modules_words_reads_as_what_it_was_made_of(
    seed: int, variant: Variant, domains: int
) -> None:
    rng = random.Random(seed)
    shape = Shape(domains, rng.choice((1, 3, 42)), rng.choice((0, 1, 5)), patience=40)
    before = (Counters(),) * domains
    for operation, seen in random_steps(rng, variant, shape, 60):
        text = answer_text(seen, ANSWER_NAMES[operation.verb], before)
        assert of_guest(read_answer(read_record(line(1, text).strip())), before) == seen
        before = seen.counters


@given(
    st.builds(
        Seen, st.integers(-1, 3), st.sampled_from((0, 12)), st.integers(0, 2**32 - 1),
        st.just(Wait.NOWAIT), st.booleans(), st.none(), st.tuples(*[st.integers(0, 15)] * 3),
        st.none() | st.integers(0, 2**64 - 1), st.integers(0, 9),
    )
)  # fmt: skip
def test_an_iterators_answer_reads_as_what_it_was_made_of(seen: Seen) -> None:
    start = Start(Call.REF, Domainset(Policy.ROUNDROBIN, 1), 0, Wait.NOWAIT)
    record = read_record(line(1, domainset.answer_text(seen, 4, Wait.WAITOK)).strip())
    assert domainset.read_seen(record, start, 4) == seen
