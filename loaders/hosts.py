"""Which hosts a user may have us connect to: so that a connection's address cannot reach into the operator's network.

A name is resolved once, every address it has is judged, and the driver connects to one that was judged: a name that
answers differently the second time gains nothing.
"""

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from loaders.errors import SourceDeniedError, SourceUnavailableError

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """What an operator allows. `allow` wins over `deny`, and both over `private`.

    `private`: whether addresses may be reached that are not of the public internet: loopback, private, link-local.
    """

    private: bool = True
    allow: Sequence[IpNetwork | str] = ()
    """Networks, and host names in lower case; a name stands for itself, `.example.com` for all below it."""
    deny: Sequence[IpNetwork | str] = ()

    def pinned(self, host: str, port: int) -> Sequence[str]:
        """Give the addresses to connect to, each judged, in the resolver's order.

        Raises:
            SourceDeniedError: the policy refuses the name or one of its addresses.
            SourceUnavailableError: the name is not known.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise SourceUnavailableError(f"the host {host} is not known: {error}") from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            self._judge(host.lower(), ipaddress.ip_address(address.partition("%")[0]))
        return addresses

    def _judge(self, host: str, address: IpAddress) -> None:
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped or address
        if _names(self.allow, host, address):
            return
        if _names(self.deny, host, address):
            raise SourceDeniedError(f"the host {host} ({address}) is on the operator's list of hosts not to connect to")
        if not self.private and not address.is_global:
            raise SourceDeniedError(
                f"the host {host} ({address}) is not of the public internet, where the operator does not allow it"
            )


def _names(listed: Sequence[IpNetwork | str], host: str, address: IpAddress) -> bool:
    return any(
        (host == one or (one.startswith(".") and host.endswith(one))) if isinstance(one, str) else address in one
        for one in listed
    )
