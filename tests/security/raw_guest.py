"""A guest of a few lines at QEMU's network: it sends and receives single Ethernet frames."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.guest.machine import read_forwarded_port
from harness.guest.qmp import ControlChannel
from harness.host.clock import HostClock
from harness.host.process import HostRunner

GUEST_MAC = bytes.fromhex("525400123456")
GUEST = "10.0.2.15"
HOST = "10.0.2.2"
NAMES = "10.0.2.3"
BROADCAST = b"\xff" * 6

ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
ICMP, TCP, UDP = 1, 6, 17
SYN, RST, ACK = 2, 4, 16

SECONDS = 30.0


@dataclass(frozen=True)
class Packet:
    """A frame that QEMU sent to the guest."""

    kind: int
    body: bytes

    @property
    def protocol(self) -> int:
        return self.body[9] if self.kind == IPV4 else 0

    @property
    def payload(self) -> bytes:
        return self.body[(self.body[0] & 15) * 4 :]

    @property
    def ports(self) -> tuple[int, int]:
        source, target = struct.unpack_from("!HH", self.payload)
        return source, target

    @property
    def flags(self) -> int:
        return self.payload[13] if self.protocol == TCP else 0

    @property
    def sequence(self) -> int:
        return int(struct.unpack_from("!I", self.payload, 4)[0])


@dataclass
class RawGuest:
    """The guest, and QEMU's monitor."""

    wire: socket.socket
    control: ControlChannel
    gateway: bytes = BROADCAST

    @property
    def port(self) -> int:
        return read_forwarded_port(self.control.query)

    def send(self, target: bytes, kind: int, body: bytes) -> None:
        frame = target + GUEST_MAC + struct.pack("!H", kind) + body
        self.wire.sendall(struct.pack("!I", len(frame)) + frame)

    def receive(self, wanted: Callable[[Packet], bool]) -> Packet:
        """The next packet of a kind; QEMU's questions for the guest's address are answered."""
        while True:
            packet = self._next()
            if packet.kind == ARP and packet.body[24:28] == socket.inet_aton(GUEST):
                self._answer(packet)
            if wanted(packet):
                return packet

    def ip(self, target: str, protocol: int, payload: bytes, source: str = GUEST) -> None:
        ends = socket.inet_aton(source) + socket.inet_aton(target)
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0)
        total = checksum(head + ends)
        self.send(self.gateway, IPV4, head[:10] + struct.pack("!H", total) + ends + payload)

    def tcp(self, target: str, ports: tuple[int, int], flags: int, numbers: Sequence[int]) -> None:
        segment = struct.pack("!HHIIBBHHH", *ports, *numbers, 5 << 4, flags, 8192, 0, 0)
        ends = socket.inet_aton(GUEST) + socket.inet_aton(target)
        total = checksum(ends + struct.pack("!HH", TCP, len(segment)) + segment)
        self.ip(target, TCP, segment[:16] + struct.pack("!H", total) + segment[18:])

    def udp(self, target: str, ports: tuple[int, int], data: bytes, source: str = GUEST) -> None:
        self.ip(target, UDP, struct.pack("!HHHH", *ports, 8 + len(data), 0) + data, source)

    def ping(self, target: str) -> None:
        message = struct.pack("!BBHHH", 8, 0, 0, 7, 7)
        self.ip(target, ICMP, message[:2] + struct.pack("!H", checksum(message)) + message[4:])

    def find_gateway(self) -> None:
        self.gateway = self.settle()[-1].body[8:14]

    def settle(self) -> list[Packet]:
        """Ask for the gateway's address; return all that QEMU sends up to its answer."""
        question = struct.pack("!HHBBH", 1, IPV4, 6, 4, 1)
        ends = GUEST_MAC + socket.inet_aton(GUEST) + bytes(6) + socket.inet_aton(HOST)
        self.send(BROADCAST, ARP, question + ends)
        seen: list[Packet] = []

        def answered(packet: Packet) -> bool:
            seen.append(packet)
            return packet.kind == ARP and packet.body[7] == 2

        self.receive(answered)
        return seen

    def _answer(self, packet: Packet) -> None:
        head = struct.pack("!HHBBH", 1, IPV4, 6, 4, 2)
        ends = GUEST_MAC + socket.inet_aton(GUEST) + packet.body[8:18]
        self.send(packet.body[8:14], ARP, head + ends)

    def _next(self) -> Packet:
        size = struct.unpack("!I", self._exactly(4))[0]
        frame = self._exactly(size)
        return Packet(int.from_bytes(frame[12:14], "big"), frame[14:])

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.wire.recv(size - len(data))
            assert more, "QEMU has ended"
            data += more
        return data


def checksum(data: bytes) -> int:
    """RFC 1071."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@contextlib.contextmanager
def raw_guest(netdev: str) -> Iterator[RawGuest]:
    """QEMU without a machine, whose ``-netdev`` with the id net0 ends at this process."""
    control, theirs = ControlChannel.paired(HostClock())
    ours, wire = socket.socketpair()
    ours.settimeout(SECONDS)
    with contextlib.closing(control), ours:
        process = HostRunner().spawn(
            [
                *("qemu-system-x86_64", "-M", "none", "-nodefaults", "-display", "none"),
                *("-netdev", netdev, "-netdev", f"socket,id=wire,fd={wire.fileno()}"),
                *("-netdev", "hubport,id=one,hubid=0,netdev=net0"),
                *("-netdev", "hubport,id=two,hubid=0,netdev=wire"),
                *("-chardev", f"socket,id=control,fd={theirs.fileno()}"),
                *("-mon", "chardev=control,mode=control"),
            ],
            pass_fds=(wire.fileno(), theirs.fileno()),
        )
        try:
            wire.close()
            theirs.close()
            while not control.ready(0.1):
                assert process.poll() is None
            guest = RawGuest(ours, control)
            guest.find_gateway()
            yield guest
        finally:
            process.kill()
