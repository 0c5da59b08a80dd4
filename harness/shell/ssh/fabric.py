"""A fabric connection to a guest, for programs of users; with the checks of ``SshShell``.

fabric by itself trusts any host key, reads the configuration of the user, asks the user's agent,
and reads standard input; this connection does none of that. It keeps all output of a command in
memory, and its time limits use the host's clock.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import fabric
import paramiko

from harness.shell.ssh.errors import host_key_blob
from harness.shell.ssh.keys import KEY_TYPE, read_key

if TYPE_CHECKING:
    from harness.shell.ssh.address import SshAddress

_CONNECT_SECONDS: Final = 120
_PORT: Final = 22


def fabric_connection(address: SshAddress) -> fabric.Connection:
    """Return a connection that is opened by its first use; its ``close`` ends it.

    Raises:
        InfraError: the key or the known host key cannot be used.
    """
    private = io.StringIO(read_key(address.key).private.decode("ascii"))
    known = paramiko.Ed25519Key(data=host_key_blob(address.host_key))
    config = fabric.Config(
        lazy=True,  # reads no files
        ssh_config=paramiko.SSHConfig(),
        overrides={"run": {"in_stream": False}, "load_ssh_configs": False},
    )
    connection = fabric.Connection(
        address.host,
        user=address.user,
        port=address.port,
        config=config,
        connect_timeout=_CONNECT_SECONDS,
        connect_kwargs={
            "pkey": paramiko.Ed25519Key(file_obj=private),
            "allow_agent": False,
            "look_for_keys": False,
            "banner_timeout": _CONNECT_SECONDS,
            "auth_timeout": _CONNECT_SECONDS,
        },
    )
    connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    name = address.host if address.port == _PORT else f"[{address.host}]:{address.port}"
    connection.client.get_host_keys().add(name, KEY_TYPE, known)
    return connection
