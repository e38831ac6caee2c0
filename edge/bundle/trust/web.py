"""A repository behind https, fetched with urllib3, which comes with tuf."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from edge import __version__
from edge.bundle.trust.places import CHUNK_BYTES, Limits, MissingFileError, check_address
from edge.errors import RepositoryError, UsageError

if TYPE_CHECKING:
    from http.client import HTTPConnection

    from urllib3 import BaseHTTPResponse, PoolManager
    from urllib3.exceptions import HTTPError

MOST_REDIRECTS = 5
LATER = "Nothing has changed on this box; try again later."
CERTIFICATE = (
    "The system's authorities are asked, or those of the file that SSL_CERT_FILE names. Is this box's clock right?"
)


class WebPlace:
    """A repository under an address."""

    def __init__(self, address: str, limits: Limits) -> None:
        self.where = address
        self._timeout_s = limits.timeout_s
        self._grace_s = limits.grace_s
        self._pools: dict[str | None, PoolManager] = {}

    def chunks(self, name: str) -> Iterator[bytes]:
        """Bytes under a name, as the server keeps them."""
        from urllib3.exceptions import HTTPError

        address = f"{self.where}/{name}"
        try:
            response = self._answer(address)
            try:
                if response.status != 200:
                    raise _refused(response.status, address)
                # As it comes, or a byte now and then would go unseen; not decompressed, or a few could become a great many.
                while chunk := response.read1(CHUNK_BYTES, decode_content=False):
                    yield chunk
            finally:
                response.release_conn()
        except HTTPError as error:
            raise _unreachable(error, address) from error

    def _answer(self, address: str) -> BaseHTTPResponse:
        """Follows to other addresses, but never out of TLS."""
        headers = {"User-Agent": f"ostiary/{__version__}", "Accept-Encoding": "identity"}
        for _ in range(MOST_REDIRECTS + 1):
            response = self._pool(address).request(
                "GET", address, headers=headers, redirect=False, retries=2, preload_content=False, timeout=self._timeout_s
            )  # fmt: skip
            target = response.get_redirect_location()
            if not target:
                return response
            response.close()
            address = urljoin(address, target)
            try:
                check_address(address)
            except UsageError as error:
                raise RepositoryError(f"redirects to {address[:200]!r}", where=self.where, expected="https") from error
        raise RepositoryError("redirects without end", where=self.where, expected="a file")

    def _pool(self, address: str) -> PoolManager:
        """One for each proxy that the environment names."""
        import urllib3

        parts = urlsplit(address)
        bypassed = parts.hostname is None or proxy_bypass(parts.hostname)
        proxy = None if bypassed else getproxies().get(parts.scheme)
        if proxy not in self._pools:
            context = ssl.create_default_context()
            manager = (
                urllib3.ProxyManager(proxy, ssl_context=context) if proxy else urllib3.PoolManager(ssl_context=context)
            )
            manager.pool_classes_by_scheme = _hurried(self._grace_s)
            self._pools[proxy] = manager
        return self._pools[proxy]


def _hurried(limit_s: float) -> dict[str, Any]:
    """Connections whose answer must have begun by then: headers that come byte by byte never end a socket's timeout."""
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    def hurried(kind: Any) -> type[Any]:
        def getresponse(self: Any) -> Any:
            with _cut_after(limit_s, self):
                return kind.getresponse(self)

        return type(kind.__name__, (kind,), {"getresponse": getresponse})

    plain = type("Pool", (HTTPConnectionPool,), {"ConnectionCls": hurried(HTTPConnection)})
    secure = type("Pool", (HTTPSConnectionPool,), {"ConnectionCls": hurried(HTTPSConnection)})
    return {"http": plain, "https": secure}


@contextmanager
def _cut_after(limit_s: float, connection: HTTPConnection) -> Iterator[None]:
    """Cutting a line wakes who waits for it, as if the answer had ended there: hence an error of its own afterwards."""
    is_cut = threading.Event()

    def cut() -> None:
        is_cut.set()
        line = connection.sock
        if line is not None:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(limit_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if is_cut.is_set():
            raise RepositoryError(f"too slow: no answer in {limit_s:g} s", where=connection.host, hint=LATER)


def _refused(status: int, address: str) -> Exception:
    if status in {403, 404, 410}:
        return MissingFileError(address)
    return RepositoryError(f"answers {status}", where=address, expected="200", hint=LATER)


def _unreachable(error: HTTPError, where: str) -> RepositoryError:
    from urllib3 import exceptions as faults

    reason = getattr(error, "reason", None) or error
    if isinstance(reason, faults.SSLError):
        return RepositoryError(f"its certificate is not accepted ({reason})", where=where, hint=CERTIFICATE)
    if isinstance(reason, faults.NameResolutionError):
        return RepositoryError("host name cannot be resolved", where=where, hint=LATER)
    if isinstance(reason, faults.NewConnectionError):
        return RepositoryError("nothing listens there, or no way leads there", where=where, hint=LATER)
    if isinstance(reason, faults.TimeoutError):
        return RepositoryError("too slow: no answer in time", where=where, hint=LATER)
    return RepositoryError(f"the connection broke off ({type(reason).__name__})", where=where, hint=LATER)
