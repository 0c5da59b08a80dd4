"""Exit codes and environment variables, for the help and the manual page."""

from __future__ import annotations

from typing import Final

EXIT_CODES: Final = (
    ("0", "as expected"),
    ("1", "the kernel failed or differs; bisect: inconclusive"),
    ("2", "bad arguments, files, revisions or trees"),
    ("3", "the host or the harness failed, or the output could not be written"),
    ("4", "the revision does not build"),
    ("125", "with --git-bisect: the revision does not build; git bisect run skips it"),
    ("128", "with --git-bisect: bad arguments or a host failure; git bisect run stops"),
    ("130, 143, 129", "ended by Ctrl-C, SIGTERM or SIGHUP; guests are ended"),
)

ENVIRONMENT: Final = (
    ("HARNESS_SOURCE", "default of --source: a FreeBSD tree, a git URL or 'embedded'"),
    ("HARNESS_QEMU_USER", "the user that root's guests run as; overrides qemu.user"),
    ("XDG_CONFIG_HOME", "directory of harness/config.toml, the settings; default: ~/.config"),
    ("XDG_CACHE_HOME", "kernels, images and objects of trees; default: ~/.cache"),
    ("XDG_STATE_HOME", "records of runs, kept guests, bug reports; default: ~/.local/state"),
    ("XDG_RUNTIME_DIR", "sockets of guests; default: /tmp/harness-UID"),
    ("http_proxy, no_proxy", "these and other proxy variables are passed to git for transfers"),
    ("SSH_AUTH_SOCK", "passed to git for transfers, like GIT_SSH_COMMAND"),
    ("TMPDIR", "temporary files of the programs that the harness starts"),
    ("TERM, NO_COLOR", "with 'dumb' or NO_COLOR, no colours; with 'dumb', no live progress"),
)
