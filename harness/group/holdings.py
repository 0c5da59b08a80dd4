"""What is known of where the kernels of a night lie, and of their way to other hosts.

The host that built a kernel, or was sent it, has its very files, and can send them on. A host whose
cache has another build of the same sources can boot it, but not send it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

#: Times that a kernel is moved to a host in vain.
_TRIES: Final = 3


@dataclass(slots=True)
class Holdings:
    """Where kernels lie."""

    _held: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _keys: dict[str, frozenset[str]] = field(default_factory=dict)
    _where: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _lacking: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _barred: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _sent: dict[str, str] = field(default_factory=dict)
    _vain: Counter[tuple[str, str]] = field(default_factory=Counter)

    def built(self, kernel: str, answer: Mapping[str, Any], host: str) -> bool:
        """Note that a host has built a kernel; return False if it differs from the first build.

        Args:
            kernel: the kernel.
            answer: what the host answered; ``held`` names the files, ``keys`` what a host that has
                them announces.
            host: name of the host.
        """
        held = answer.get("held")
        if not isinstance(held, Mapping):
            return True
        if self._held.setdefault(kernel, held) != held:
            self._barred[kernel].add(host)
            return False
        keys = answer.get("keys")
        found = keys if isinstance(keys, list | tuple) else ()
        self._keys[kernel] = frozenset(each for each in found if isinstance(each, str))
        self.arrived(kernel, host)
        return True

    def held(self, kernel: str) -> Mapping[str, Any] | None:
        """Return what names the files of a kernel; None if it was not built yet."""
        return self._held.get(kernel)

    def arrived(self, kernel: str, host: str) -> None:
        """Note that a host has the very files of a kernel."""
        self._where[kernel].add(host)
        self._lacking[kernel].discard(host)

    def sent(self, kernel: str, host: str) -> None:
        """Note that a host has sent a kernel's files, so that others can fetch them."""
        self._sent[kernel] = host

    def lost(self, kernel: str, host: str) -> None:
        """Note that a host does not have a kernel, whatever it announced."""
        self._where[kernel].discard(host)
        self._lacking[kernel].add(host)
        if self._sent.get(kernel) == host:
            del self._sent[kernel]

    def not_arrived(self, kernel: str, host: str, *, wrong: bool) -> None:
        """Note that a host could not fetch a kernel.

        Args:
            kernel: the kernel.
            host: name of the host.
            wrong: whether what was sent was not the kernel.
        """
        sender = self._sent.pop(kernel, "")
        if wrong:
            self._where[kernel].discard(sender)
        self._vain[kernel, host] += 1
        if self._vain[kernel, host] >= _TRIES:
            self.bar(kernel, host)

    def bar(self, kernel: str, host: str) -> None:
        """Give a host no cell with a kernel."""
        self._barred[kernel].add(host)

    def barred(self, kernel: str) -> frozenset[str]:
        """Return the hosts that get no cell with a kernel."""
        return frozenset(self._barred[kernel])

    def at(self, host: str, announced: Collection[str]) -> frozenset[str]:
        """Return the kernels that a host has.

        Args:
            host: its name.
            announced: what it announces of its cache.
        """
        found = {kernel for kernel, hosts in self._where.items() if host in hosts}
        found |= {kernel for kernel, keys in self._keys.items() if keys & set(announced)}
        return frozenset(each for each in found if host not in self._lacking[each])

    def sender(self, kernel: str) -> str:
        """Return the host whose files can be fetched; empty if none has sent them yet."""
        return self._sent.get(kernel, "")

    def holder(self, kernel: str, hosts: Collection[str]) -> str:
        """Return one of the hosts that can send a kernel; empty if there is none."""
        return min(self._where[kernel] & set(hosts), default="")
