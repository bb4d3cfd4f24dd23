"""What others give as an address reaches public hosts and no others, whatever it looks like."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cm_assets.engines.public_hosts import PublicHosts, addresses, is_public
from cm_assets.models.base import PermanentFailure
from cm_assets_tests.emulators.media_server import CERTIFICATE, MediaFault, MediaServer


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.3.4",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "2001:db8::1",
        "no address",
        # The rest of https://www.iana.org/assignments/iana-ipv4-special-registry and -ipv6- that is not for everybody.
        "192.0.0.1",
        "192.0.0.8",
        "192.0.0.9",
        "192.0.0.170",
        "192.0.0.255",
        "192.88.99.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "::ffff:192.88.99.1",
        "64:ff9b::192.88.99.1",
        "2002:c058:6301::",
        "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
        "100::1",
        "100:0:0:1::1",
        "2001:1::1",
        "2001:1::3",
        "2001:2::1",
        "2001:3::1",
        "2001:4:112::1",
        "2001:10::1",
        "2001:20::1",
        "2001:30::1",
        "2001:1ff:ffff::1",
        "3fff::1",
        "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
        "5f00::1",
        "fec0::1",
    ],
)
def test_what_is_not_public_is_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("1.1.1.1", "151.101.2.208", "192.0.1.1", "192.88.98.255", "192.88.100.1"),
        *("2606:4700::6810:1", "64:ff9b::101:101", "::ffff:8.8.8.8", "2001:200::1", "2001:4860:4860::8888"),
    ],
)
def test_what_is_public_is_known(address: str) -> None:
    assert is_public(address)


@settings(deadline=None)
@given(st.ip_addresses(v=4, network="10.0.0.0/8"))
def test_no_wrapping_makes_a_private_address_public(address: object) -> None:
    assert not is_public(str(address))
    assert not is_public(f"::ffff:{address}")
    assert not is_public(f"64:ff9b::{address}")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "::1", "0"])
def test_the_loopback_host_is_refused_in_every_spelling(host: str) -> None:
    with pytest.raises((PermanentFailure, httpx.ConnectError)):
        addresses(host, 80)


def get(url: str, *, allow_private: bool = False) -> httpx.Response:
    with httpx.Client(transport=PublicHosts(allow_private=allow_private), follow_redirects=True) as client:
        return client.get(url)


def test_a_private_host_is_reached_only_where_that_is_allowed() -> None:
    with MediaServer() as server:
        url = server.add("a.mp4", b"content")
        with pytest.raises(PermanentFailure, match="is no https address"):
            get(url)
        with pytest.raises(PermanentFailure, match=r"no public host.*CM_ALLOW_PRIVATE_HOSTS"):
            get(url.replace("http:", "https:"))
        assert server.asked == []
        assert get(url, allow_private=True).content == b"content"


def test_another_protocol_is_refused_even_where_private_hosts_are_allowed() -> None:
    with MediaServer() as server:
        url = server.add("a.mp4", b"content", faults=[MediaFault(location="ftp://127.0.0.1/a.mp4")])
        with pytest.raises((PermanentFailure, httpx.UnsupportedProtocol)):
            get(url, allow_private=True)


@dataclass
class Internet:
    """What names mean, and where connections to a public address lead: to a server on loopback.

    Only the operating system's part is played; everything of ours is real.
    """

    server: MediaServer
    names: dict[str, list[str]] = field(default_factory=dict)
    resolved: list[str] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)

    def url(self, host: str, name: str = "a.mp4") -> str:
        return f"https://{host}:{self.server.port}/media/{name}"


PUBLIC = "93.184.215.14"


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    with MediaServer(tls=True) as server:
        there = Internet(server)
        resolve, connect = socket.getaddrinfo, socket.create_connection

        def resolved(host: str, port: Any, *arguments: Any, **options: Any) -> Any:
            if host not in there.names:
                return resolve(host, port, *arguments, **options)
            there.resolved.append(host)
            meant = there.names[host]
            address = meant.pop(0) if len(meant) > 1 else meant[0]
            return resolve(address, port, *arguments, **options)

        def connected(address: tuple[str, int], *arguments: Any, **options: Any) -> socket.socket:
            there.connected.append(address[0])
            return connect(("127.0.0.1", address[1]), *arguments, **options)

        monkeypatch.setattr(socket, "getaddrinfo", resolved)
        monkeypatch.setattr(socket, "create_connection", connected)
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        yield there


def test_the_address_that_was_judged_is_connected_to(internet: Internet) -> None:
    """A name that means a public address when it is judged and a private one when it is used gains nothing."""
    internet.server.add("a.mp4", b"content")
    internet.names["media.example"] = [PUBLIC, "127.0.0.1"]
    assert get(internet.url("media.example")).content == b"content"
    assert internet.resolved == ["media.example"]
    assert internet.connected == [PUBLIC]
    (asked,) = internet.server.asked
    assert asked.headers["host"] == f"media.example:{internet.server.port}"
    with pytest.raises(PermanentFailure, match="no public host"):
        get(internet.url("media.example"))
    assert internet.connected == [PUBLIC]


def test_one_private_address_among_public_ones_is_enough(internet: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def both(host: str, port: Any, *arguments: Any, **options: Any) -> Any:
        if host != "media.example":
            return resolve(host, port, *arguments, **options)
        return [*resolve(PUBLIC, port, *arguments, **options), *resolve("10.0.0.1", port, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with pytest.raises(PermanentFailure, match="no public host"):
        get(internet.url("media.example"))
    assert internet.connected == []


def test_the_certificate_must_be_the_name_s(internet: Internet) -> None:
    internet.names["stranger.example"] = [PUBLIC]
    internet.server.add("a.mp4", b"content")
    with pytest.raises(httpx.ConnectError):
        get(internet.url("stranger.example"))
    assert internet.server.asked == []


def test_each_redirect_is_judged(internet: Internet) -> None:
    internet.names |= {"media.example": [PUBLIC], "other.example": ["169.254.169.254"]}
    internet.server.add("a.mp4", b"", faults=[MediaFault(location=internet.url("other.example", "secret"))])
    internet.server.add("secret", b"secret")
    with pytest.raises(PermanentFailure, match=r"other\.example is no public host"):
        get(internet.url("media.example"))
    assert len(internet.server.asked) == 1


def test_a_redirect_to_plain_http_is_refused(internet: Internet) -> None:
    internet.names |= {"media.example": [PUBLIC]}
    plain = internet.url("media.example").replace("https:", "http:")
    internet.server.add("a.mp4", b"", faults=[MediaFault(location=plain)])
    with pytest.raises(PermanentFailure, match="no https address"):
        get(internet.url("media.example"))


def test_a_redirect_between_public_hosts_is_followed(internet: Internet) -> None:
    internet.names |= {"media.example": [PUBLIC], "other.example": [PUBLIC]}
    internet.server.add("a.mp4", b"", faults=[MediaFault(location=internet.url("other.example", "b.mp4"))])
    internet.server.add("b.mp4", b"content")
    assert get(internet.url("media.example")).content == b"content"
    assert internet.resolved == ["media.example", "other.example"]
    assert internet.connected == [PUBLIC, PUBLIC]
