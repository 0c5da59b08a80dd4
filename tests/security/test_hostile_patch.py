"""A patch that leads out of the tree is refused, and nothing of it is applied."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Home, temporary_home
from small_tree import UMA, git_tree

GOOD = f"""\
--- a/{UMA}
+++ b/{UMA}
@@ -1,2 +1,3 @@
 /* No allocator here. */
 int uma;
+int patched;
"""

NEW_FILE = "--- /dev/null\n+++ {path}\n@@ -0,0 +1 @@\n+planted\n"


@pytest.fixture
def home() -> Iterator[Home]:
    with temporary_home() as home:
        yield home


def refused(home: Home, patch: str) -> str:
    """What the harness says of a patch that is not applied."""
    (home.directory / "change.diff").write_text(patch)
    tree = git_tree(home.directory / "tree")
    said = home.run("build", "--source", tree, "--patch", "change.diff")
    assert said.code == 2, said.stderr
    assert not list(home.directory.rglob("planted*"))
    assert not list(home.cache.glob("trees/*/src"))
    return said.stderr


@pytest.mark.parametrize(
    "path",
    ["../planted", "a/../planted", "b/sys/../../planted", "/tmp/planted", "b//tmp/planted",
     '"b/\\056\\056/planted"', "b/sys/..\t2026-01-01"],
)  # fmt: skip
def test_a_path_outside_the_tree(home: Home, path: str) -> None:
    said = refused(home, GOOD + NEW_FILE.format(path=path))
    assert "outside of the tree" in said or "invalid path" in said


@pytest.mark.parametrize(
    ("source", "target"), [("../planted", UMA), (UMA, "../planted"), ("/etc/passwd", "sys/x.c")]
)
@pytest.mark.parametrize("how", ["rename", "copy"])
def test_a_file_from_or_to_outside(home: Home, how: str, source: str, target: str) -> None:
    patch = (f"diff --git a/{source} b/{target}\nsimilarity index 100%\n"
             f"{how} from {source}\n{how} to {target}\n")  # fmt: skip
    assert "outside of the tree" in refused(home, GOOD + patch)


def test_a_link_that_is_made_and_written_through(home: Home, tmp_path: Path) -> None:
    link = (
        f"diff --git a/sys/link b/sys/link\nnew file mode 120000\n--- /dev/null\n"
        f"+++ b/sys/link\n@@ -0,0 +1 @@\n+{tmp_path}\n\\ No newline at end of file\n"
    )
    through = NEW_FILE.format(path="b/sys/link/planted")
    assert "beyond a symbolic link" in refused(home, GOOD + link + through)
    assert list(tmp_path.iterdir()) == []


def test_the_repositorys_own_directory(home: Home) -> None:
    assert "invalid path" in refused(home, NEW_FILE.format(path="b/.git/hooks/planted"))


def test_content_that_looks_like_a_header_is_content(home: Home) -> None:
    tree = git_tree(home.directory / "tree")
    (tree / UMA).write_text("-- ../x\n++ /y\nint uma;\n")
    (home.directory / "change.diff").write_text(
        f"--- a/{UMA}\n+++ b/{UMA}\n@@ -1,3 +1,3 @@\n--- ../x\n+++ /y\n ++ /y\n int uma;\n"
    )
    said = home.run("build", "--source", tree, "--patch", "change.diff")
    assert said.code == 4, said.stderr
