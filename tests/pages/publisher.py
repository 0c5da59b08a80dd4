"""A site of made-up nights, and a server that publishes it as Jenkins does."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

JENKINS = "sandbox; default-src 'none'; img-src 'self'; style-src 'self';"
"""What Jenkins sends with files of builds, unless ``hudson.model.DirectoryBrowserSupport.CSP`` is
set: https://www.jenkins.io/doc/book/security/configuring-content-security-policy/"""


class Publisher(SimpleHTTPRequestHandler):
    """Sends files with Jenkins' default policy."""

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", JENKINS)
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@contextlib.contextmanager
def published(directory: Path) -> Iterator[str]:
    """Yield the URL of a directory, served on the loopback address."""
    handler = functools.partial(Publisher, directory=str(directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
