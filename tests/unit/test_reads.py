"""Which sources a build read, by what the compilers wrote down."""

from __future__ import annotations

from pathlib import Path

from harness.kernel.dependencies import READS, read_list, sources_read


def test_the_lists_of_all_objects_make_one(tmp_path: Path) -> None:
    tree, objects = Path("/cache/src"), tmp_path / "objects"
    objects.mkdir()
    (objects / ".depend.a.o").write_text(
        "a.o: /cache/src/sys/kern/a.c opt_global.h \\\n  /cache/src/sys/sys/param.h\n"
        "/cache/src/sys/sys/param.h:\n"
    )
    (objects / ".depend.b.o").write_text(
        "b.o: /cache/src/sys/vm/../kern/b.c /cache/src/sys/./vm/b.h /usr/include/other.h\n"
    )
    (objects / "a.o").write_text("/cache/src/no.c")
    assert sources_read(objects, tree) == {
        "sys/kern/a.c", "sys/sys/param.h", "sys/kern/b.c", "sys/vm/b.h",
    }  # fmt: skip


def test_a_kernel_of_the_cache_has_its_list_beside_it_or_none(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    assert read_list(kernel) is None
    (tmp_path / READS).write_text("sys/kern/a.c\nsys/kern/b.c")
    assert read_list(kernel) == frozenset({"sys/kern/a.c", "sys/kern/b.c"})
