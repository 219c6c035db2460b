"""HTTP connections that stay open: a distribution of ten thousand files takes ten thousand requests.

The standard library alone. pooch, the usual choice, neither resumes nor locks nor unpacks safely; urllib.request closes
the connection after every file.
"""

import base64
import http.client
import ssl
import threading
import urllib.parse
import urllib.request
from collections.abc import Mapping

import hsjax
from hsjax.types import UserError

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
AGENT = f"hsjax/{hsjax.__version__}"


class DroppedError(Exception):
    """The network failed in a way that may pass."""


class Session:
    """Requests from any thread, each thread on its own connections, through the proxy that the environment names."""

    def __init__(self, timeout: float):
        self._timeout = timeout
        self._own = threading.local()
        self._all: list[http.client.HTTPConnection] = []

    def get(self, address: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """The answer to GET, redirects followed; its body is to be read to the end, or `close` called.

        Raises:
          DroppedError: there is no answer.
          UserError: it redirects to something that is no web address, to an unencrypted one, or in circles, or the
            server's certificate is not valid.
        """
        asked = address
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._request(address, headers)
            if response.status not in _REDIRECTS:
                return response
            target = response.getheader("Location") or ""
            self.close()  # unread bodies of redirects are not worth a limit of their own
            old, address = address, urllib.parse.urljoin(address, target)
            scheme = urllib.parse.urlsplit(address).scheme
            if scheme not in ("http", "https"):
                raise UserError(f"{old} redirects to {target!r}, which is not a web address: report it")
            if scheme == "http" and urllib.parse.urlsplit(old).scheme == "https":
                raise UserError(f"{old} redirects to {target!r}, which is not encrypted: report it")
        raise UserError(f"{asked} redirects more than {_MOST_REDIRECTS} times: report it, or try again later")

    def close(self) -> None:
        """Closes this thread's connections; the next request opens new ones."""
        for connection in self._connections().values():
            connection.close()
        self._connections().clear()

    def close_all(self) -> None:
        """Closes every thread's connections, when the threads are done."""
        for connection in self._all:
            connection.close()

    def _connections(self) -> dict[tuple[str, str], http.client.HTTPConnection]:
        return self._own.__dict__.setdefault("connections", {})

    def _request(self, address: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        parts = urllib.parse.urlsplit(address)
        key = (parts.scheme, parts.netloc)
        kept = key in self._connections()
        try:
            return self._send(key, address, headers)
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise UserError(
                f"the certificate of {parts.netloc} is not valid ({error.verify_message}): check the clock and the "
                "network of this computer"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if not kept:
                raise DroppedError(str(error) or type(error).__name__) from error
        # A kept connection may have been closed from the other end in the meantime, which is no failure.
        try:
            return self._send(key, address, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise DroppedError(str(error) or type(error).__name__) from error

    def _send(self, key: tuple[str, str], address: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        parts = urllib.parse.urlsplit(address)
        proxy = _proxy(parts)
        connection = self._connections().get(key)
        if connection is None:
            connection = self._connections()[key] = _connect(parts, proxy, self._timeout)
            self._all = [other for other in self._all if other.sock is not None] + [connection]
        target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        sent = {"User-Agent": AGENT, "Accept-Encoding": "identity", **headers}
        if proxy is not None and parts.scheme == "http":
            target = urllib.parse.urlunsplit((*parts[:4], ""))
            sent |= _authorization(proxy)
        connection.request("GET", target, headers=sent)
        return connection.getresponse()


def _proxy(parts: urllib.parse.SplitResult) -> urllib.parse.SplitResult | None:
    address = urllib.request.getproxies().get(parts.scheme)
    if not address or urllib.request.proxy_bypass(parts.netloc):
        return None
    return urllib.parse.urlsplit(address if "://" in address else f"http://{address}")


def _authorization(proxy: urllib.parse.SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    account = f"{urllib.parse.unquote(proxy.username)}:{urllib.parse.unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(account.encode()).decode()}"}


def _connect(
    parts: urllib.parse.SplitResult, proxy: urllib.parse.SplitResult | None, timeout: float
) -> http.client.HTTPConnection:
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "http":
        if proxy is not None:
            host, port = proxy.hostname or "", proxy.port
        return http.client.HTTPConnection(host, port, timeout=timeout)
    context = ssl.create_default_context()
    if proxy is None:
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    connection = http.client.HTTPSConnection(proxy.hostname or "", proxy.port, timeout=timeout, context=context)
    connection.set_tunnel(host, port or 443, _authorization(proxy))
    return connection
