"""Exit codes and environment variables, as the help and the manual page list them."""

from __future__ import annotations

from typing import Final

EXIT_CODES: Final = (
    ("0", "as expected"),
    ("1", "the kernel failed or differs; of bisect: inconclusive"),
    ("2", "bad arguments, files, revisions or trees"),
    ("3", "the host failed, or the harness itself, or what was asked for could not be written"),
    ("4", "the revision does not build"),
    ("125", "with --git-bisect: the revision does not build; git bisect run skips it"),
    ("128", "with --git-bisect: bad arguments or a failure of the host; git bisect run stops"),
    ("130, 143, 129", "ended by Ctrl-C, SIGTERM or SIGHUP; no guest is left"),
)

ENVIRONMENT: Final = (
    ("HARNESS_SOURCE", "the FreeBSD tree, git URL or 'embedded' to take without --source"),
    ("HARNESS_QEMU_USER", "the user that QEMU of root's guests runs as, before qemu.user"),
    ("XDG_CONFIG_HOME", "settings are in harness/config.toml below it; default: ~/.config"),
    ("XDG_CACHE_HOME", "kernels, images and objects of trees; default: ~/.cache"),
    ("XDG_STATE_HOME", "records of runs, kept guests, reports of bugs; default: ~/.local/state"),
    ("XDG_RUNTIME_DIR", "sockets of guests; default: a directory of the user's in /tmp"),
    ("http_proxy, no_proxy", "these and the like reach git where it clones and fetches"),
    ("SSH_AUTH_SOCK", "reaches git as well, and so does GIT_SSH_COMMAND"),
    ("TMPDIR", "temporary files of the programs that the harness starts"),
    ("TERM, NO_COLOR", "'dumb' or NO_COLOR: neither colours nor live progress"),
)
