"""Where a request says it comes from: pure checks of its headers, so that no web page reaches a server unseen."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from intaglio.core.errors import Forbidden

Headers = Sequence[tuple[bytes, bytes]]

LOCAL = ("127.0.0.1", "localhost", "[::1]")
_PORTS = {"http": "80", "https": "443"}
# What a proxy adds. A request that came through one does not come from the user of this machine.
_PROXIED = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via"})


def check_local(headers: Headers, port: int) -> None:
    """Raises Forbidden unless a request to a server on loopback was meant for it, and no other page sent it.

    A page whose own name was pointed at 127.0.0.1 (DNS rebinding) gives itself away by its Host; any other page by its
    Origin, or by Sec-Fetch-Site where a browser sends no Origin.
    """
    host = _only(headers, b"host")
    if host not in {f"{name}:{port}" for name in LOCAL} | (set(LOCAL) if port == 80 else set()):
        raise Forbidden(
            f"this server is not {host[:80]!r}", hint=f"Ask it as http://127.0.0.1:{port}, from this machine."
        )
    origin = _only(headers, b"origin")
    if origin and origin != f"http://{host}":
        raise Forbidden(f"a page of {origin[:80]!r} may not ask this server", hint="Ask it from no other site's page.")
    site = _only(headers, b"sec-fetch-site")
    if site not in ("", "same-origin", "none"):
        raise Forbidden("a page of another site may not ask this server", hint="Open the address in a tab of its own.")


def check_remote(headers: Headers, hosts: Collection[str]) -> None:
    """Raises Forbidden unless a request names one of `hosts` (if any are given), and no other site's page sent it."""
    host = _only(headers, b"host")
    if hosts and _name(host) not in hosts:
        raise Forbidden(
            f"this server is not {host[:80]!r}", hint="Start it with --host-name NAME for each of its names."
        )
    origin = _only(headers, b"origin")
    scheme, _, place = origin.partition("://")
    if origin and (scheme not in _PORTS or _without(place, _PORTS[scheme]) != _without(host, _PORTS[scheme])):
        raise Forbidden(f"a page of {origin[:80]!r} may not ask this server", hint="Ask it from no other site's page.")


def is_proxied(headers: Headers) -> bool:
    """Whether a proxy handed the request on, as far as it says so."""
    return any(name.lower() in _PROXIED for name, _ in headers)


def _only(headers: Headers, wanted: bytes) -> str:
    """The header in lower case, "" when there is none. Raises Forbidden for one that is there twice."""
    found = [value for name, value in headers if name.lower() == wanted]
    if len(found) > 1:
        raise Forbidden(f"header {wanted.decode()} is there {len(found)} times", hint="Send it once.")
    return found[0].decode("latin-1").strip().lower() if found else ""


def _name(host: str) -> str:
    """A host without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() and (":" not in name or name.endswith("]")) else host


def _without(place: str, port: str) -> str:
    return place.removesuffix(f":{port}")
