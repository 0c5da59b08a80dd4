"""Files as they are saved, by what the host's kernel reports of their directories."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from watchfiles import watch

from harness.errors import InfraError

if TYPE_CHECKING:
    from watchfiles import Change

#: Milliseconds without another report after which a save counts as complete, and the most that
#: reports are waited for; editors write several files for one save.
_STEP: Final = 50
_LONGEST: Final = 1000
#: Milliseconds between two looks at whether somebody still waits.
_TICK: Final = 200


class Saves:
    """Saves of some files since the beginning; see ``watched``."""

    def __init__(self, directories: Sequence[Path], follows: Callable[[Path], bool]) -> None:
        self._directories = directories
        self._follows = follows
        self._found: queue.SimpleQueue[frozenset[Path] | Exception] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._begun = threading.Event()
        # In a thread: watchfiles takes signals for itself where it waits.
        self._thread = threading.Thread(target=self._watch, name="saves", daemon=True)

    def start(self) -> None:
        """Watch; what is saved from now on is not missed."""
        self._thread.start()
        self._begun.wait()

    def end(self) -> None:
        """Watch no more."""
        self._ended.set()
        self._thread.join()

    def wait(self) -> frozenset[Path]:
        """Wait for a save; give all files that were saved, or removed, since the last call.

        Raises:
            InfraError: the host cannot watch the directories.
        """
        saved = self._next()
        while not self._found.empty():
            saved |= self._next()
        return saved

    def _next(self) -> frozenset[Path]:
        found = self._found.get()
        if isinstance(found, Exception):
            raise InfraError(
                f"cannot watch {', '.join(map(str, self._directories))}: {found}",
                remedy="raise fs.inotify.max_user_watches and max_user_instances with sysctl(8), "
                "or leave --watch out",
            ) from found
        return found

    def _watch(self) -> None:
        def counts(change: Change, path: str) -> bool:
            del change
            return self._follows(Path(path))

        try:
            for changes in watch(
                *self._directories, watch_filter=counts, debounce=_LONGEST, step=_STEP,
                stop_event=self._ended, rust_timeout=_TICK, yield_on_timeout=True, recursive=False,
            ):  # fmt: skip
                self._begun.set()
                if changes:
                    self._found.put(frozenset(Path(path) for _, path in changes))
        except (OSError, RuntimeError) as error:
            self._found.put(error)
        finally:
            self._begun.set()


@contextlib.contextmanager
def watched(directories: Sequence[Path], follows: Callable[[Path], bool]) -> Iterator[Saves]:
    """Watch directories, not those below them, for as long as the context lasts.

    Args:
        directories: that exist.
        follows: whether a file in one of them counts.
    """
    saves = Saves(directories, follows)
    saves.start()
    try:
        yield saves
    finally:
        saves.end()
