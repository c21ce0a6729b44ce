"""Where panels and relays may be: the name in an address is looked up once, what it leads to is judged, and is kept.

An address is entered by people who may keep some houses only, and a name's owner decides where it leads, at any moment.
So it is judged when it is connected to, and the connection goes to the address that was judged. Private networks are
where panels stand. The machine itself is asked only where its address was written as such (127.0.0.1, localhost), as
only who may change devices everywhere enters that; `ours` are hosts of our own that no panel is.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import trio

from config import Config
from telephony.panels.interface import PanelAway, PanelBarred

Address = IPv4Address | IPv6Address
NOBODYS = "no panel or relay can have this address"
_NAT64 = IPv6Network("64:ff9b::/96")
_THIS_NETWORK = ip_network("0.0.0.0/8")  # some of it leads to the machine itself
# Where clouds tell machines their secrets, beside the link-local address.
_METADATA = frozenset(map(ip_address, ("100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")))


def hosts_of(config: Config) -> frozenset[str]:
    """The hosts of our own machines that the settings name: none of them is a panel."""
    named = [config.ari.url, config.crm.url, config.push.url, config.duty.url, config.billing.url]
    named += [
        config.node.kamailio,
        *config.web.nodes,
        *(f"//{each}" for each in (config.node.http, config.web.http)),
    ]
    found = {urlsplit(each).hostname or "" for each in named} | {*config.web.proxies}
    return frozenset(found - {"", "0.0.0.0", "::"})


async def find_address(host: str, port: int, ours: Iterable[str] = ()) -> str:
    """The address to connect to for `host` of an URL. Raises PanelBarred, PanelAway (nobody knows the name)."""
    found = await _look_up(host, port)
    if not found:
        raise PanelAway(f"cannot connect: no address of the name {host} is known; check its url")
    as_written = is_loopback_as_written(host)
    known = frozenset().union(*[await _look_up(each, 0) for each in ours]) if not as_written else frozenset()
    for address in found:
        if why := why_barred(address, known, as_written=as_written):
            shown = "" if host == str(address) else f" (the name leads to {address})"
            raise PanelBarred(f"{why}{shown}: enter the address of its own web interface")
    return str(min(found, key=lambda each: each.version))  # few panels speak IPv6


def why_barred(address: Address, ours: Iterable[Address] = (), *, as_written: bool = False) -> str:
    """Why nothing is sent to `address`; "": it may be a panel's. `as_written`: whoever entered it meant this machine."""
    meant = plain(address)
    if meant.is_loopback:
        return "" if as_written else "this is the server itself"
    if isinstance(meant, IPv4Address) and meant in _THIS_NETWORK:
        return NOBODYS
    if meant.is_link_local or meant.is_multicast or meant.is_unspecified or meant.is_reserved:
        return NOBODYS
    if meant in _METADATA:
        return NOBODYS
    if meant in {plain(each) for each in ours} or _is_this_machine(meant):
        return "this is one of our own servers"
    return ""


def is_loopback_as_written(host: str) -> bool:
    """Whether `host` says itself that it is the machine: "127.0.0.1", "::1", "localhost"."""
    bare = host.rstrip(".").lower()
    address = _literal(bare)
    return bare == "localhost" or bare.endswith(".localhost") or (address is not None and address.is_loopback)


def plain(address: Address) -> Address:
    """The IPv4 address that one of IPv6 stands for, by whichever way of carrying it; else itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address


async def _look_up(host: str, port: int) -> tuple[Address, ...]:
    literal = _literal(host)
    if literal is not None:
        return (literal,)
    try:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(ip_address(str(each[4][0]).partition("%")[0]) for each in found))


def _literal(host: str) -> Address | None:
    """The address that `host` is, if it is one and no name."""
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _is_this_machine(address: Address) -> bool:
    """Whether one of this machine's own interfaces has it: then it is its own way there. Nothing is sent."""
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return bool(probe.getsockname()[0] == str(address))
    except OSError:
        return False  # there is no way to it at all
