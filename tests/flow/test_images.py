"""What ``harness image ls`` and ``harness image rm`` do with the images of the cache."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from command import Home
from inprocess import call

from harness.host.sealedstore import MANIFEST
from harness.host.workspace import Workspace
from harness.world.image import DISK, HOST_KEY, KEY, WorldCache, WorldIdentity

SLIM = WorldIdentity(
    "a1" * 20, "/usr/src", "1a2b3c4d5e", None, "t" * 40, dirty=False, overlaid=(),
    release="15.1-RELEASE", kind="slim", suites=(), services="few", compiler="clang",
)  # fmt: skip
ALL_SERVICES = replace(SLIM, key="a2" * 20, kind="tests", services="all")


@pytest.fixture
def stored(empty_home: Home) -> Home:
    """A home with two images, of which the slim one is older by a day."""
    cache = WorldCache(Workspace(empty_home.cache, empty_home.directory, empty_home.directory))
    file = empty_home.directory / "file"
    file.write_text("contents\n")
    for identity, seconds in ((SLIM, 0), (ALL_SERVICES, 86_400)):
        world = cache.store(identity, dict.fromkeys((DISK, HOST_KEY, KEY), file))
        os.utime(world.directory / MANIFEST, (seconds, seconds))
    return empty_home


def test_images_are_listed_with_the_newest_first(stored: Home) -> None:
    said = call(stored, "image", "ls")
    assert said.code == 0
    header, newer, older = said.stdout.splitlines()
    assert header.split() == ["name", "made", "(UTC)", "release", "world", "revision", "size"]
    assert newer.startswith("a2a2a2a2a2a2  1970-01-02 00:00  15.1-RELEASE  tests, all services")
    assert older.startswith("a1a1a1a1a1a1  1970-01-01 00:00  15.1-RELEASE  slim ")


def test_a_damaged_image_is_not_listed(stored: Home) -> None:
    (stored.cache / "worlds" / SLIM.key / DISK).write_text("something else\n")
    assert "a1a1" not in call(stored, "image", "ls").stdout


def test_an_image_is_removed_by_the_start_of_its_name(stored: Home) -> None:
    assert call(stored, "image", "rm", "a1").code == 0
    assert [path.name for path in (stored.cache / "worlds").glob("a*")] == [ALL_SERVICES.key]


@pytest.mark.parametrize(("name", "cause"), [("a", "several images begin"), ("b", "no image beg")])
def test_nothing_is_removed_by_a_name_that_is_not_one_images(
    stored: Home, name: str, cause: str
) -> None:
    said = call(stored, "image", "rm", "a1", name)
    assert (said.code, cause in said.error) == (2, True)
    assert len([*(stored.cache / "worlds").glob("a*")]) == 2


def test_a_cache_without_images_says_how_one_is_built(empty_home: Home) -> None:
    assert "harness image build" in call(empty_home, "image", "ls").stderr
