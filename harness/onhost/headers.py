"""Headers for a tree's C that no file of the tree has: of kernel options, and generated ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.arch import GUEST
from harness.host.workspace import make_directory
from harness.onhost import recipe
from harness.onhost.options import option_headers

if TYPE_CHECKING:
    from harness.onhost.generated import GeneratedFiles
    from harness.onhost.objects import Object
    from harness.onhost.treefiles import TreeFiles


@dataclass(frozen=True, slots=True)
class Headers:
    """Makes the headers of one tree.

    Args:
        files: the tree's files.
        release: the tree's release, such as 13.2.
        config: the text of the kernel configuration.
        left_out: options that are left out of it.
        generated: keeps the headers.
        nm: the path of nm(1) for the kernel's objects.
        script: runs a command in a directory, and returns its output.
        compiled: compiles a source with these flags.
    """

    files: TreeFiles
    release: str
    config: str
    left_out: frozenset[str]
    generated: GeneratedFiles
    nm: Path
    script: Callable[[Sequence[str | Path], Path], str]
    compiled: Callable[[Path, Sequence[str]], Object]

    def flags(self) -> recipe.KernelFlags:
        """Return the flags with which the tree's files find all headers.

        Raises:
            NoHostProgramError: a file is missing, or a script fails.
        """
        options = self.generated.of_texts(self._option_headers())
        flags = recipe.KernelFlags(self.release, self.files.sys, self._links(), options)
        directories = self._interfaces(), self._vnode_interface(), self._offsets(flags)
        return replace(flags, generated=directories)

    def _option_headers(self) -> Mapping[str, str]:
        tables = [self.files.read(path) for path in ("sys/conf/options", *GUEST.options)]
        return option_headers(
            self.config + recipe.WITH, [table or "" for table in tables], self._included,
            self.left_out,
        )  # fmt: skip

    def _included(self, name: str) -> str | None:
        """Return the text of an included kernel configuration; None if it is missing."""
        if name.startswith("/") or ".." in name.split("/"):
            return None
        paths = (f"{directory}/{name}" for directory in (GUEST.configurations, "sys/conf"))
        return next((text for path in paths if (text := self.files.read(path))), None)

    def _links(self) -> Path:
        """Return the directory of links to directories that are included by another name."""
        links = self.files.at("links")
        make_directory(links)
        for name, target in GUEST.host_headers.items():
            link = links / name
            if not link.is_symlink():
                link.symlink_to(self.files.at(target))
        return links

    def _interfaces(self) -> Path:
        sources = [f"sys/kern/{name}_if.m" for name in recipe.INTERFACES]
        script = "sys/tools/makeobjops.awk"

        def run(work: Path) -> Mapping[str, str]:
            for source in sources:
                self._awk(script, work, source, "-h")
            return {}

        return self.generated.of_script(self.files.required(script, *sources), run)

    def _vnode_interface(self) -> Path:
        source, script = "sys/kern/vnode_if.src", "sys/tools/vnode_if.awk"

        def run(work: Path) -> Mapping[str, str]:
            for letter in ("-p", "-q", "-h"):
                self._awk(script, work, source, letter)
            return {}

        return self.generated.of_script(self.files.required(script, source), run)

    def _offsets(self, flags: recipe.KernelFlags) -> Path:
        """Return the directory of ``offset.inc``, which the tree's ``genoffset.sh`` writes."""
        script = "sys/kern/genoffset.sh"
        source = self.files.at("sys/kern/genoffset.c")
        listed = self.compiled(source, flags.words("-O1", ("-fcommon",)))

        def run(work: Path) -> Mapping[str, str]:
            words: list[str | Path] = ["env", f"NM={self.nm}", "sh", self.files.at(script)]
            return {"offset.inc": self.script([*words, listed.path], work)}

        return self.generated.of_script([*self.files.required(script), listed.digest], run)

    def _awk(self, script: str, work: Path, source: str, letter: str) -> None:
        self.script(["awk", "-f", self.files.at(script), self.files.at(source), letter], work)
