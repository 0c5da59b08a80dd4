"""Marks of what was built: a part is fresh only after a whole build of the same content."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.kernel.stamp import Stamp


def test_a_part_is_fresh_after_a_build_of_its_content(tmp_path: Path) -> None:
    stamp = Stamp(tmp_path / "part", "one")
    assert not stamp.is_fresh()
    with stamp:
        assert not stamp.is_fresh()
    assert stamp.is_fresh()
    assert not Stamp(tmp_path / "part", "another").is_fresh()


def test_a_build_that_fails_leaves_the_part_stale_but_whole(tmp_path: Path) -> None:
    stamp = Stamp(tmp_path / "part", "one")
    with stamp:
        pass
    with pytest.raises(ValueError, match="does not compile"), stamp:
        raise ValueError("does not compile")
    assert (stamp.is_fresh(), stamp.was_interrupted()) == (False, False)


@pytest.mark.parametrize("ended_by", [KeyboardInterrupt, SystemExit])
def test_a_build_that_is_killed_is_interrupted_until_the_next_one_ends(
    tmp_path: Path, ended_by: type[BaseException]
) -> None:
    stamp = Stamp(tmp_path / "part", "one")
    with pytest.raises(ended_by), stamp:
        raise ended_by
    assert (stamp.is_fresh(), stamp.was_interrupted()) == (False, True)
    with stamp:
        pass
    assert (stamp.is_fresh(), stamp.was_interrupted()) == (True, False)


def test_what_a_killed_build_wrote_is_removed_and_what_was_there_stays(tmp_path: Path) -> None:
    objects = tmp_path / "objects"
    (objects / "sub").mkdir(parents=True)
    old, new, link = objects / "old.o", objects / "sub" / "new.o", objects / "link.o"
    old.touch()
    os.utime(old, (0, 0))
    stamp = Stamp(tmp_path / "part", "one")
    stamp.__enter__()
    new.touch()
    link.symlink_to(old)
    stamp.__exit__(KeyboardInterrupt)
    stamp.remove_newer(objects)
    assert sorted(path.name for path in objects.rglob("*.o")) == ["link.o", "old.o"]
