"""A transport that reaches public hosts only, for addresses that others give: they may lead into our own network.

A name is resolved once, every address that it has is judged, and the connection goes to one of those very addresses, so
that a name which means something else a moment later (DNS rebinding) gains nothing. Redirects take the same way, one by
one. Proxies of the environment are not used: they would resolve the name again.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterator

import httpx

from cm_assets.models.base import PermanentFailure

MOST_ADDRESSES = 4
"""Addresses of one name that are tried."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052: the last four bytes are an IPv4 address."""

_SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # RFC 6890: protocols' own
            "192.88.99.0/24",  # RFC 7526: whichever 6to4 relay is near
            "64:ff9b:1::/48",  # RFC 8215: NAT64 of a network's own, the IPv4 address wherever it wants it
            "2001::/23",  # RFC 2928: protocols' own; Teredo is unwrapped before
            "3fff::/20",  # RFC 9637: documentation
            "5f00::/16",  # RFC 9602: segment routing
        ),
    )
)
"""What IANA's special-purpose registries have and `ipaddress` does not know, or not in every Python from 3.11 on."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class NotPublic(PermanentFailure):
    """A host is one of our own network, or of nobody's."""


class PublicHosts(httpx.BaseTransport):
    """Connects by https to public hosts.

    Args:
        allow_private: reach any host, by http as well: for tests and for networks of one's own.
        trust: whose certificates are trusted, for who makes several; those of the environment if None.
    """

    def __init__(self, *, allow_private: bool = False, trust: ssl.SSLContext | None = None) -> None:
        self._allow_private = allow_private
        # A kept connection would be found again by its IP address, whichever name it was verified for.
        self._transport = httpx.HTTPTransport(verify=trust or True, limits=httpx.Limits(max_keepalive_connections=0))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request.

        Raises:
            PermanentFailure: its address is not https, or its host is not public.
            httpx.HTTPError: as other transports.
        """
        url = request.url
        if url.scheme != "https" and not (self._allow_private and url.scheme == "http"):
            raise PermanentFailure(f"an address at {_shown(url.host)} is no https address, and is not loaded")
        error: httpx.ConnectError | httpx.ConnectTimeout | None = None
        for address in addresses(url.host, url.port or (443 if url.scheme == "https" else 80), self._allow_private):
            try:
                return self._transport.handle_request(_sent_to(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as failed:
                error = failed
        raise error or httpx.ConnectError("no address", request=request)

    def close(self) -> None:
        """Close what is open."""
        self._transport.close()


class AsyncPublicHosts(httpx.AsyncBaseTransport):
    """The same for who sends asynchronously, by http as well: to addresses that an operator gives.

    Args:
        allow_private: reach any host.
    """

    def __init__(self, *, allow_private: bool = False) -> None:
        self._allow_private = allow_private
        self._transport = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request.

        Raises:
            NotPublic: its host is not.
            httpx.HTTPError: as other transports.
        """
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        found = await asyncio.to_thread(addresses, url.host, port, self._allow_private)
        error: httpx.ConnectError | httpx.ConnectTimeout | None = None
        for address in found:
            try:
                return await self._transport.handle_async_request(_sent_to(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as failed:
                error = failed
        raise error or httpx.ConnectError("no address", request=request)

    async def aclose(self) -> None:
        """Close what is open."""
        await self._transport.aclose()


def addresses(host: str, port: int, allow_private: bool = False) -> list[str]:
    """The IP addresses of a host.

    Raises:
        NotPublic: one of them is not, and that is not allowed.
        httpx.ConnectError: it has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise httpx.ConnectError("the name cannot be resolved") from None
    several = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not allow_private and not all(is_public(address) for address in several):
        raise NotPublic(
            f"{_shown(host)} is no public host, and nothing is loaded from it "
            "(CM_ALLOW_PRIVATE_HOSTS=true for a network of your own)"
        )
    return several[:MOST_ADDRESSES]


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, whatever it is wrapped in."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(
        one.is_global
        and not (
            getattr(one, "is_site_local", False)
            or one.is_multicast
            or one.is_reserved
            or one.is_unspecified
            or one.is_loopback
            or any(one in network for network in _SPECIAL)
        )
        for one in _unwrapped(parsed)
    )


def _unwrapped(address: _Address) -> Iterator[_Address]:
    """An address, or the IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            yield ipaddress.IPv4Address(address.packed[-4:])
            return
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if any(inner):
            yield from (one for one in inner if one is not None)
            return
        if address.packed[:12] == bytes(12):
            # IPv4-compatible, long out of use; some systems still route it.
            yield ipaddress.IPv4Address(address.packed[-4:])
    yield address


def _sent_to(request: httpx.Request, address: str) -> httpx.Request:
    """The request to this very address; certificate and Host header stay those of the name."""
    extensions = {**request.extensions, "sni_hostname": request.url.host}
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address.partition("%")[0]),
        headers=request.headers,
        stream=request.stream,
        extensions=extensions,
    )


def _shown(host: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in host[:100])
