"""What a test leaves behind in this process: threads, descriptors and children."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

SECONDS = 60.0


@dataclass(frozen=True)
class Held:
    """What this process has: threads by name, open descriptors, children."""

    threads: frozenset[int]
    descriptors: frozenset[str]
    children: frozenset[int]

    @classmethod
    def now(cls) -> Held:
        threads = frozenset(id(thread) for thread in threading.enumerate())
        children = frozenset(child.pid for child in psutil.Process().children())
        descriptors = set()
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                descriptors.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        return cls(threads, frozenset(descriptors), children)

    def more(self, before: Held) -> list[str]:
        words = [
            *(f"descriptor {one}" for one in self.descriptors - before.descriptors),
            *(f"child {one}" for one in self.children - before.children),
        ]
        names = {id(thread): thread.name for thread in threading.enumerate()}
        words += [f"thread {names.get(one)}" for one in self.threads - before.threads]
        return [word for word in words if "/proc/" not in word]


@contextlib.contextmanager
def nothing_leaked() -> Iterator[None]:
    """At the end, all is as before; a thread that was ended may need a moment."""
    before = Held.now()
    yield
    deadline = time.monotonic() + SECONDS
    while (more := Held.now().more(before)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not more
