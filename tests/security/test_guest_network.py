"""QEMU's user networking: the host reaches one port of the guest, the guest reaches nothing.

The guest is this process, which sends and receives the frames itself.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Iterator

import psutil
import pytest
from raw_guest import (
    ACK,
    GUEST,
    GUEST_MAC,
    HOST,
    ICMP,
    IPV6,
    NAMES,
    RST,
    SECONDS,
    SYN,
    TCP,
    UDP,
    Packet,
    RawGuest,
    checksum,
    raw_guest,
)

from harness.guest.devices import LOOPBACK, Network, network_options

pytestmark = pytest.mark.guest

RESTRICTED = network_options(Network())[1]
OPEN = RESTRICTED.replace("restrict=on", "restrict=off").replace(",ipv6=off", "")


@pytest.fixture(scope="module")
def guest() -> Iterator[RawGuest]:
    with raw_guest(RESTRICTED) as one:
        yield one


@pytest.fixture(scope="module")
def free_guest() -> Iterator[RawGuest]:
    """The same without restriction: what a test would see if nothing was withheld."""
    with raw_guest(OPEN) as one:
        yield one


@contextlib.contextmanager
def listener(kind: socket.SocketKind, address: str = LOOPBACK) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind((address, 0))
        if kind == socket.SOCK_STREAM:
            one.listen()
        one.settimeout(SECONDS)
        yield one


def own_address() -> str:
    """An address of this host's that is not the loopback; the loopback again if there is none."""
    for addresses in psutil.net_if_addrs().values():
        for each in addresses:
            if each.family == socket.AF_INET and not each.address.startswith("127."):
                return each.address
    return LOOPBACK


def test_the_guest_gets_its_address_by_dhcp(guest: RawGuest) -> None:
    head = struct.pack("!BBBBIHH", 1, 1, 6, 0, 0x1234, 0, 0) + bytes(16)
    discover = head + GUEST_MAC.ljust(16, b"\0") + bytes(192)
    options = b"\x63\x82\x53\x63\x35\x01\x01\xff".ljust(64, b"\0")
    guest.udp("255.255.255.255", (68, 67), discover + options, source="0.0.0.0")  # noqa: S104
    offer = guest.receive(lambda packet: packet.protocol == UDP and packet.ports[1] == 68)
    assert socket.inet_ntoa(offer.payload[8 + 16 : 8 + 20]) == GUEST


def test_the_host_reaches_the_guests_port_and_accepting_proves_nothing(guest: RawGuest) -> None:
    with socket.create_connection((LOOPBACK, guest.port), SECONDS) as connection:
        arrived = guest.receive(lambda packet: bool(packet.flags & SYN))
        assert arrived.ports[1] == 22
        guest.tcp(HOST, (22, arrived.ports[0]), RST | ACK, (0, arrived.sequence + 1))
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""


def test_only_the_loopback_address_leads_to_the_guest_and_the_port_is_taken(
    guest: RawGuest,
) -> None:
    with socket.socket() as another:
        with pytest.raises(OSError, match="in use") as taken:
            another.bind((LOOPBACK, guest.port))
        assert taken.value.errno == errno.EADDRINUSE
    if (address := own_address()) != LOOPBACK:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, guest.port), SECONDS)


def test_two_guests_have_two_ports(guest: RawGuest, free_guest: RawGuest) -> None:
    assert guest.port != free_guest.port


@pytest.mark.parametrize("target", ["the gateway", "the host's own address"])
def test_the_guest_cannot_connect_to_the_host(
    guest: RawGuest, free_guest: RawGuest, target: str
) -> None:
    address = LOOPBACK if target == "the gateway" else own_address()
    with listener(socket.SOCK_STREAM, address) as here:
        port = here.getsockname()[1]
        where = HOST if address == LOOPBACK else address

        def answer(packet: Packet) -> bool:
            return packet.protocol == TCP and packet.ports == (port, 4000)

        free_guest.tcp(where, (4000, port), SYN, (1, 0))
        assert free_guest.receive(answer).flags & (SYN | ACK) == SYN | ACK
        here.accept()[0].close()

        guest.tcp(where, (4000, port), SYN, (1, 0))
        assert not any(answer(each) and each.flags & SYN for each in guest.settle())
        here.settimeout(0)
        with pytest.raises(BlockingIOError):
            here.accept()


def test_the_guest_cannot_send_datagrams_to_the_host(guest: RawGuest, free_guest: RawGuest) -> None:
    with listener(socket.SOCK_DGRAM) as here:
        port = here.getsockname()[1]
        free_guest.udp(HOST, (4000, port), b"free")
        assert here.recv(16) == b"free"
        guest.udp(HOST, (4000, port), b"held")
        guest.settle()
        here.settimeout(0)
        with pytest.raises(BlockingIOError):
            here.recv(16)


@pytest.mark.parametrize("target", [LOOPBACK, "192.0.2.1", NAMES])
def test_the_guest_gets_no_answer_from_beyond(guest: RawGuest, target: str) -> None:
    guest.ping(target)
    guest.udp(target, (4000, 53), b"\0\1\1\0\0\1\0\0\0\0\0\0\7example\0\0\1\0\1")
    guest.tcp(target, (4000, 53), SYN, (1, 0))
    for each in guest.settle():
        assert each.protocol != UDP
        assert each.protocol != ICMP or target == NAMES  # QEMU itself answers for its addresses
        assert not each.flags & SYN


def test_the_guest_has_no_ipv6(guest: RawGuest, free_guest: RawGuest) -> None:
    source = bytes.fromhex("fe80000000000000505400fffe123456")
    routers = bytes.fromhex("ff020000000000000000000000000002")
    message = struct.pack("!BBHI", 133, 0, 0, 0)
    pseudo = source + routers + struct.pack("!II", len(message), 58) + message
    message = message[:2] + struct.pack("!H", checksum(pseudo)) + message[4:]
    packet = struct.pack("!IHBB", 6 << 28, len(message), 58, 255) + source + routers + message
    for each in (guest, free_guest):
        each.send(bytes.fromhex("333300000002"), IPV6, packet)
    assert free_guest.receive(lambda packet: packet.kind == IPV6)
    assert not any(each.kind == IPV6 for each in guest.settle())
