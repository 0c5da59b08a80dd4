"""The built-in guest does, operation by operation, what the reference model says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
from check_guest import ListeningGuest, fields, listening_guest
from embedded_guest import Boot, Kernels, even

from harness.check.channel import GuestRefused
from harness.check.checker import CheckPlan
from harness.check.protocol import line
from harness.check.result import Conclusion
from harness.guest.topology import Node, Topology
from harness.image.embedded import CommitSide
from harness.sanitizers import NONE, Sanitizers, parse_sanitizers
from harness.subsystems.uma.check.protocol import Order
from harness.subsystems.uma.model.trace import parse_trace
from harness.subsystems.uma.subsystem import UMA

pytestmark = pytest.mark.guest

BEFORE, AFTER = CommitSide.BEFORE, CommitSide.AFTER
KASAN = parse_sanitizers("kasan")

MODELS = {
    BEFORE: UMA.held_to(UMA.variant("13-before")),
    AFTER: UMA.held_to(UMA.variant("13-after")),
}

TOPOLOGIES = {
    "one domain": Topology.even(1, 2, 64),
    "two domains": Topology.even(2, 2, 64),
    "four domains": Topology.even(4, 1, 64),
    "a domain without memory": Topology.of([Node(1, 64), Node(2, 0), Node(1, 64)]),
    "the first domain without memory": Topology.of([Node(1, 0), Node(1, 64), Node(1, 64)]),
}
TWO = TOPOLOGIES["two domains"]

BOTH = pytest.mark.parametrize("variant", [BEFORE, AFTER])
BUILDS = pytest.mark.parametrize("sanitizer", [NONE, KASAN])
MACHINES = pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=TOPOLOGIES)

Guests = Callable[[CommitSide, Sanitizers, Topology], ListeningGuest]


@pytest.fixture(scope="module")
def guests(kernels: Kernels) -> Iterator[Guests]:
    """Guests that listen; one runs as long as the same is asked for."""
    running: dict[tuple[CommitSide, Sanitizers, Topology], ListeningGuest] = {}
    with contextlib.ExitStack() as stack:

        def guest(variant: CommitSide, sanitizer: Sanitizers, topology: Topology) -> ListeningGuest:
            key = (variant, sanitizer, topology)
            if key not in running:
                stack.close()
                running.clear()
                kernel = kernels(variant, sanitizer)
                running[key] = stack.enter_context(listening_guest(kernel, topology))
            return running[key]

        yield guest


# Against the model


@BUILDS
@BOTH
@MACHINES
def test_every_step_of_random_traces_is_what_the_model_says(
    guests: Guests, variant: CommitSide, topology: Topology, sanitizer: Sanitizers
) -> None:
    result = guests(variant, sanitizer, topology).checked(CheckPlan(MODELS[variant], 300, seed=1))
    assert result.agreed, result
    assert result.setups >= 5


@pytest.mark.long
@BOTH
@MACHINES
def test_every_step_of_many_random_traces_is_what_the_model_says(
    guests: Guests, variant: CommitSide, topology: Topology
) -> None:
    result = guests(variant, KASAN, topology).checked(CheckPlan(MODELS[variant], 5000, seed=2))
    assert result.agreed, result


@pytest.mark.parametrize("seed", range(1, 11))
def test_the_guest_without_the_commit_is_caught_within_200_operations_and_shrunk(
    guests: Guests, seed: int
) -> None:
    result = guests(BEFORE, NONE, TWO).checked(CheckPlan(MODELS[AFTER], 200, seed))
    assert result.conclusion is Conclusion.DIFFERS
    assert result.difference is not None
    assert result.difference.first <= 200
    assert result.difference.length <= 10


DRAINED = """
variant 13-after
zone domains=1 ipers=1 reserve={reserve}
prealloc 7
drain 0
alloc cpu=0 M_NOWAIT|M_USE_RESERVE
alloc cpu=0 M_NOWAIT|M_USE_RESERVE
alloc cpu=0 M_NOWAIT|M_USE_RESERVE
alloc cpu=0 M_NOWAIT|M_USE_RESERVE
"""


@pytest.mark.parametrize("reserve", range(8))
def test_a_drain_keeps_the_slabs_and_the_order_that_the_model_says(
    guests: Guests, reserve: int
) -> None:
    trace = parse_trace(DRAINED.format(reserve=reserve))
    guest = guests(AFTER, NONE, TOPOLOGIES["one domain"])
    assert guest.checked(CheckPlan(MODELS[AFTER], 1, 1, replay=trace)).agreed


# What the model does not tell


@BUILDS
@pytest.mark.parametrize(
    ("size", "ipers"),
    [(1, 256), (8, 256), (96, 42), (500, 8), (1000, 4), (1300, 3), (1900, 2), (4032, 1)],
)
def test_a_slab_holds_what_fits_before_its_header_with_the_sanitizer_too(
    guests: Guests, sanitizer: Sanitizers, size: int, ipers: int
) -> None:
    channel = guests(AFTER, sanitizer, TWO).channel()
    order = Order(size, 0, round_robin=False, hashed=False, patience=1)
    assert fields(channel, str(order))["ipers"] == str(ipers)


def test_pages_and_zones_come_back_for_hundreds_of_zones(guests: Guests) -> None:
    channel = guests(AFTER, NONE, TWO).channel()
    for number in range(100):
        channel.ask("zone size=4000 reserve=0 kind=0 patience=1")
        made = fields(channel, "prealloc items=400")
        assert (made["d0"], made["d1"]) == ("200,200,200,0,200,0",) * 2
        channel.ask("alloc slot=0 cpu=0 flags=n")
        if number % 2:
            channel.ask("discard")


def test_waiting_ends_by_patience_as_freebsds_iterators_have_it(guests: Guests) -> None:
    channel = guests(AFTER, NONE, TWO).channel()
    channel.ask("zone size=1000 reserve=0 kind=0 patience=7")
    for domain in (0, 1):
        channel.ask(f"refuse domain={domain}")
    # Two passes in vain, no sleep; then on from the last domain, as the pass goes on for ever.
    assert fields(channel, "prealloc items=1")["calls"] == "1010010"
    channel.ask("zone size=1000 reserve=0 kind=0 patience=7")
    for domain in (0, 1):
        channel.ask(f"refuse domain={domain}")
        channel.ask(f"low domain={domain}")
    # The first pass passes by domains that are low; the sleep ends that.
    answer = fields(channel, "prealloc items=1")
    assert (answer["calls"], answer["slept"]) == ("1001010", "1")


@pytest.mark.parametrize(
    ("variant", "slept"), [(BEFORE, None), (AFTER, "1")], ids=["before", "after"]
)
def test_a_short_domain_is_slept_for_only_after_the_commit(
    guests: Guests, variant: CommitSide, slept: str | None
) -> None:
    channel = guests(variant, NONE, TWO).channel()
    channel.ask("zone size=1000 reserve=0 kind=0 patience=200")
    channel.ask("refuse domain=1")
    channel.ask("low domain=1")
    answer = fields(channel, "alloc slot=0 cpu=0 domain=1 flags=w")
    assert answer["calls"] == "1" * 128
    assert answer["more"] == str(200 - 128)
    assert answer.get("slept") == slept


def test_an_item_lies_in_the_domain_of_the_cpu_that_asks(guests: Guests) -> None:
    channel = guests(AFTER, NONE, TWO).channel()
    channel.ask("zone size=1000 reserve=0 kind=0 patience=1")
    answers = [fields(channel, f"alloc slot={cpu} cpu={cpu} flags=n") for cpu in range(4)]
    assert [answer["domain"] for answer in answers] == ["0", "0", "1", "1"]


# What is refused


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("dance", "no-such-command"),
        ("allocate slot=0 flags=n", "no-such-command"),
        ("alloc slot=0", "no-such-command"),
        ("alloc slot=0 flags=nw", "no-such-command"),
        ("alloc slot=0 flags=wv", "no-such-command"),
        ("alloc slot=0 flags=x", "no-such-command"),
        ("alloc slot=4096 flags=n", "out-of-range"),
        ("alloc slot=999999999 flags=n", "out-of-range"),
        ("alloc slot=-1 flags=n", "no-such-command"),
        ("alloc slot=1 domain=2 flags=n", "out-of-range"),
        ("alloc slot=1 cpu=4 flags=n", "no-such-cpu"),
        ("alloc slot=0 flags=n", "slot-is-taken"),
        ("free slot=1", "no-such-item"),
        ("free slot=4096", "out-of-range"),
        ("prealloc items=0", "no-such-command"),
        ("prealloc items=999999999", "too-many-slabs"),
        ("drain domain=7", "out-of-range"),
        ("drain", "no-such-command"),
        ("refuse domain=2", "out-of-range"),
        ("low", "no-such-command"),
        ("starve domain=0 cpu=0 milliseconds=1", "not-here"),
        ("zone size=0 reserve=0 kind=0 patience=1", "not-an-order"),
        ("zone size=96 reserve=0 kind=0 patience=0", "not-an-order"),
        ("zone size=96 reserve=0 kind=2 patience=1", "not-hashed"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(
    guests: Guests, command: str, why: str
) -> None:
    channel = guests(AFTER, KASAN, TWO).channel()
    channel.ask("zone size=96 reserve=1 kind=0 patience=1")
    channel.ask("alloc slot=0 cpu=0 flags=n")
    with pytest.raises(GuestRefused, match=f"^{why}$"):
        channel.ask(command)
    assert fields(channel, "alloc slot=1 cpu=0 flags=n")["item"] == "0.1"


def test_a_round_robin_zone_takes_no_domain(guests: Guests) -> None:
    channel = guests(AFTER, NONE, TWO).channel()
    channel.ask("zone size=96 reserve=0 kind=1 patience=1")
    with pytest.raises(GuestRefused, match=r"^zone-chooses-the-domain$"):
        channel.ask("alloc slot=0 cpu=0 domain=0 flags=n")


def test_an_item_larger_than_a_page_is_refused_and_leaves_no_zone(guests: Guests) -> None:
    channel = guests(AFTER, NONE, TWO).channel()
    with pytest.raises(GuestRefused, match=r"^slab-of-several-pages$"):
        channel.ask("zone size=999999999 reserve=0 kind=0 patience=1")
    for command in ("alloc slot=0 cpu=0 flags=n", "prealloc items=1", "drain domain=0", "discard"):
        with pytest.raises(GuestRefused, match=r"^no-zone$"):
            channel.ask(command)


HELLO = line(0, "hello").removesuffix(b"\n")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\0\xff\r",
        b"hello",
        b"@harness 0000 hello",
        b"@harness 0000 hello *00000000",
        HELLO[:-1] + b"x",
        HELLO + b" ",
        line(0, "").removesuffix(b"\n"),
        b"x" * 10_000,
        b"@harness 0000 " + b"x" * 10_000 + HELLO,
        line(0, "batch a=hello;a").removesuffix(b"\n") + b"x",
        b"@harness 0000 batch a=hello;a *00000000",
    ],
    ids=range(12),
)
def test_a_line_that_is_none_of_ours_is_nobodys(guests: Guests, said: bytes) -> None:
    guest = guests(AFTER, KASAN, TWO)
    assert guest.say(said).startswith(b"@harness 9999 error why=checksum *")
    assert fields(guest.channel(), "hello")["guest"] == "embedded"


@pytest.mark.parametrize(
    ("number", "batch", "names"),
    [
        (9998, "a=hello;a;a", ["9998 hello", "0000 hello"]),
        (5, "a=discard;a;b1;a=hello;a", ["0005 error", "0006 error", "0007 hello"]),
        (5, "a=batch a=%;ahello;b=drain domain=%;b", ["0005 error", "0006 error"]),
    ],
)
def test_each_command_of_a_batch_is_answered_with_its_own_number(
    guests: Guests, number: int, batch: str, names: list[str]
) -> None:
    guest = guests(AFTER, KASAN, TWO)
    answers = guest.say(line(number, f"batch {batch}").removesuffix(b"\n"), len(names))
    assert [" ".join(each.split()[1:3]) for each in answers.decode().splitlines()] == names


def test_without_a_second_port_it_says_so_and_ends(
    kernels: Kernels, boot: Callable[..., Boot]
) -> None:
    result = boot(kernels(AFTER, NONE), even(1), "harness.check=1")
    assert "harness.check: no second serial port, so nobody to talk to" in result.lines
    assert result.ended
