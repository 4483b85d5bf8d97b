"""Which hosts a user may have us connect to: so that a connection's address cannot reach into the operator's network.

A name is resolved once, every address it has is judged, and the driver connects to one that was judged: a name that
answers differently the second time gains nothing. An IPv6 address that carries an IPv4 one (NAT64, 6to4, Teredo, mapped
or compatible) has to pass as both.
"""

import ipaddress
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loaders.errors import SourceDeniedError, SourceUnavailableError

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

GUARDED: Sequence[IpNetwork] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16",  # Link-local: AWS, Azure, Google, Oracle and others, the credentials of containers too.
        "fd00:ec2::/32",  # AWS.
        "fd20:ce::254/128",  # Google.
        "100.100.100.200/32",  # Alibaba.
        "168.63.129.16/32",  # Azure.
        "192.0.0.192/32",  # Oracle.
    )
)
"""Where clouds tell a machine its own credentials: refused unless `allow` names a network within one of these."""

_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))  # RFC 6052, RFC 8215.
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_NUMBERS = re.compile(r"(?:0[xX][0-9a-fA-F]*|[0-9]+)(?:\.(?:0[xX][0-9a-fA-F]*|[0-9]+))*")
_IPV4_MASK = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """What an operator allows. `allow` wins over `deny`, and both over `private`.

    `private`: whether addresses may be reached that are not of the public internet: loopback, private, link-local.
    """

    private: bool = True
    allow: Sequence[IpNetwork | str] = ()
    """Networks, and host names as `name_of` gives them; a name stands for itself, `.example.com` for all below it."""
    deny: Sequence[IpNetwork | str] = ()

    def pinned(self, host: str, port: int) -> Sequence[str]:
        """Give the addresses to connect to, each judged, in the resolver's order.

        Raises:
            SourceDeniedError: the policy refuses the name or one of its addresses.
            SourceUnavailableError: the name is not known.
        """
        name = name_of(host)
        try:
            found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, ValueError) as error:
            raise SourceUnavailableError(f"the host {host[:255]} is not known: {error}") from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            bare = ipaddress.ip_address(address.partition("%")[0])  # What follows names an interface.
            for one in (bare, *_carried(bare)):
                self._judge(name, one)
        return addresses

    def _judge(self, name: str, address: IpAddress) -> None:
        guarded = next((one for one in GUARDED if address in one), None)
        if guarded is not None:
            if not any(_lies_within(one, guarded) and address in one for one in _networks(self.allow)):
                raise SourceDeniedError(
                    f"the host {name} ({address}) is where clouds keep a machine's credentials: no database is there; "
                    "an operator who has one there allows its address by METERLINE_SOURCES_ALLOW"
                )
            return
        if _names(self.allow, name, address):
            return
        if _names(self.deny, name, address):
            raise SourceDeniedError(f"the host {name} ({address}) is on the operator's list of hosts not to connect to")
        if not self.private and not _is_public(address):
            raise SourceDeniedError(
                f"the host {name} ({address}) is not of the public internet, where the operator does not allow it"
            )


def name_of(host: str) -> str:
    """Give the one form of a host's name or address: lower case, no dot at the end, IDNA in ASCII.

    Raises:
        SourceDeniedError: it is neither, or a number that only looks like an address.
    """
    name = host.strip().rstrip(".").lower()
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    if ":" in name:
        return name
    if not name.isascii():
        try:
            name = name.encode("idna").decode().rstrip(".").lower()
        except UnicodeError:
            raise SourceDeniedError(f"the host {host[:255]!r} is no name: write it as it stands in the DNS") from None
    if _NUMBERS.fullmatch(name):  # Some programs read 010.0.0.1 as octal, others do not: neither gets to.
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise SourceDeniedError(
                f"the host {host[:255]} is no address: write four decimal numbers, as in 192.0.2.1"
            ) from None
    if not name or not all(1 <= len(label) <= 63 for label in name.split(".")):
        raise SourceDeniedError(f"the host {host[:255]!r} is no name: write it as it stands in the DNS")
    return name


def parse_listed(text: str) -> IpNetwork | str:
    """Read an entry of `allow` or `deny`: an address, a network, a name, or `.example.com`.

    Raises:
        ValueError: it is none of them.
    """
    text = text.strip()
    if "/" in text or ":" in text or _NUMBERS.fullmatch(text):
        return ipaddress.ip_network(text)
    if text.startswith("."):
        return "." + parse_name(text[1:])
    return parse_name(text)


def parse_name(text: str) -> str:
    """Give the one form of a name.

    Raises:
        ValueError: it is none.
    """
    try:
        name = name_of(text)
    except SourceDeniedError as error:
        raise ValueError(str(error)) from None
    if not re.fullmatch(r"[a-z0-9._-]+", name):
        raise ValueError(f"{text!r} is no name")
    return name


def _carried(address: IpAddress) -> Iterator[ipaddress.IPv4Address]:
    """Give the IPv4 addresses that an IPv6 one carries, to which a gateway would pass on what is sent to it."""
    if not isinstance(address, ipaddress.IPv6Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if any(address in network for network in _NAT64) or (address in _COMPATIBLE and int(address) > 1):
        yield ipaddress.IPv4Address(int(address) & _IPV4_MASK)


def _is_public(address: IpAddress) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        # Of a mapped address the one that it carries is judged besides.
        return address.ipv4_mapped is not None or (address.is_global and not address.is_multicast)
    return address.is_global and not address.is_multicast and not address.is_reserved


def _networks(listed: Sequence[IpNetwork | str]) -> Iterator[IpNetwork]:
    return (one for one in listed if not isinstance(one, str))


def _lies_within(inner: IpNetwork, outer: IpNetwork) -> bool:
    return inner.version == outer.version and inner.prefixlen >= outer.prefixlen and inner.network_address in outer


def on_this_machine(host: str) -> bool:
    """Tell whether a host, by its name or address as given, is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _names(listed: Sequence[IpNetwork | str], host: str, address: IpAddress) -> bool:
    return any(
        (host == one or (one.startswith(".") and host.endswith(one))) if isinstance(one, str) else address in one
        for one in listed
    )
