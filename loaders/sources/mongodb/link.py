"""A client of the driver with limits of ours, and the gate that all its connections pass."""

import contextlib
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from loaders.errors import SourceDeniedError, SourceUnavailableError
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.sources.mongodb.address import MongoAddress
from loaders.sources.mongodb.connecting import Gate, pool_of


class Link:
    """A client, not connected yet, and the gate of its connections."""

    def __init__(self, address: MongoAddress, policy: HostPolicy, limits: SourceLimits) -> None:
        self._address = address
        self.gate = Gate(policy)
        connect_ms = int(limits.connect_s_max * 1000)
        options: dict[str, Any] = {
            "_pool_class": pool_of(self.gate),
            "connect": False,
            "connectTimeoutMS": connect_ms,
            "serverSelectionTimeoutMS": connect_ms,
            "waitQueueTimeoutMS": connect_ms,
            "socketTimeoutMS": int(limits.idle_s_max * 1000),
            "maxPoolSize": 4,
            "serverMonitoringMode": "poll",
            # A query that was cut must not run again on its own: the runner decides.
            "retryReads": False,
        }
        try:
            self.client: MongoClient[Any] = MongoClient(address.url, **options)
        except (PyMongoError, TypeError, ValueError) as error:
            raise SourceDeniedError(f"the URL cannot be used: {error}") from None

    def judge(self) -> None:
        """Refuse at once what the policy refuses; whether a host is there is seen when it is dialled.

        Raises:
            SourceDeniedError: it refuses one of the hosts that the URL names.
        """
        for host, port in self._address.seeds:
            with contextlib.suppress(SourceUnavailableError):
                self.gate.policy.pinned(host, port)

    def close(self) -> None:
        """Cut what is under way and end the client."""
        self.gate.close()
        with contextlib.suppress(Exception):
            self.client.close()
