"""Lists of a world's files: what installworld writes, and what makefs reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import BuildError
from harness.world.metalog import FileEntry, Metalog

WORLD = """\
#mtree 2.0
. type=dir uname=root gname=wheel mode=0755
./bin type=dir uname=root gname=wheel mode=0755
./bin/sh type=file uname=root gname=wheel mode=0555 size=1234 tags=package=runtime
./bin/[ type=link link=test uname=root gname=wheel mode=0755
./etc/rc.d/sshd type=file uname=root gname=wheel mode=0555
./etc type=dir uname=root gname=wheel mode=0755
./etc/rc.d type=dir uname=root gname=wheel mode=0755
"""


def read(*texts: str) -> Metalog:
    metalog = Metalog()
    for text in texts:
        metalog.read(text, "METALOG")
    return metalog


def test_directories_stand_before_what_is_in_them() -> None:
    lines = read(WORLD).text().splitlines()
    paths = [line.split()[0] for line in lines[1:]]
    assert paths == [".", "./bin", "./bin/[", "./bin/sh", "./etc", "./etc/rc.d", "./etc/rc.d/sshd"]


def test_only_type_owner_mode_and_target_are_kept() -> None:
    assert "./bin/sh type=file uname=root gname=wheel mode=0555" in read(WORLD).text().splitlines()


def test_a_later_line_replaces_what_it_says_and_keeps_the_rest() -> None:
    metalog = read(WORLD, "./bin/sh mode=04755\n")
    assert metalog.entries["bin/sh"] == FileEntry("bin/sh", mode="04755")


def test_own_files_replace_those_of_the_world() -> None:
    metalog = read(WORLD)
    metalog.add([FileEntry("etc/rc.d/sshd", mode="0444")])
    assert "./etc/rc.d/sshd type=file uname=root gname=wheel mode=0444" in metalog.text()


@pytest.mark.parametrize(
    "line",
    [
        "./../../etc/passwd type=file uname=root gname=wheel mode=0644",
        "./dev/mem type=char uname=root gname=wheel mode=0600",
        "./bin/x type=file uname=root;id gname=wheel mode=0644",
        "./bin/x type=file uname=root gname=wheel mode=9999",
        "./bin/x type=link uname=root gname=wheel mode=0755",
    ],
)
def test_a_line_that_installworld_does_not_write_is_refused(line: str) -> None:
    with pytest.raises(BuildError, match="line 1 of METALOG") as refused:
        read(line)
    assert refused.value.detail == line


def test_contents_of_a_file_elsewhere_cannot_be_named() -> None:
    metalog = read("./x type=file uname=root gname=wheel mode=0644 contents=/etc/shadow\n")
    assert "shadow" not in metalog.text()


def test_a_file_without_its_directory_is_refused() -> None:
    with pytest.raises(BuildError, match="installed usr/bin/x, and no directory usr/bin"):
        read("./usr/bin/x type=file uname=root gname=wheel mode=0644\n").text()


NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4).map("/".join)


@given(st.lists(NAMES))
def test_each_path_stands_once_whatever_the_order(paths: list[str]) -> None:
    lines = [f"./{path} type=dir uname=root gname=wheel mode=0755" for path in paths]
    above = [
        f"./{'/'.join(path.split('/')[:depth])} type=dir mode=0755"
        for path in paths
        for depth in range(1, path.count("/") + 1)
    ]
    found = [line.split()[0] for line in read("\n".join(lines + above)).text().splitlines()[2:]]
    assert len(found) == len(set(found))
    assert all(
        parent in found[: found.index(path)]
        for path in found
        if (parent := path.rpartition("/")[0]) != "."
    )
