"""Write down when API keys were last used, now and then."""

import asyncio

import structlog

from metering.errors import MeteringError
from metering.registry.authenticator import KeyAuthenticator

FLUSH_USE_EVERY_S = 5.0

_log = structlog.get_logger(__name__)


async def flush_use(authenticator: KeyAuthenticator) -> None:
    """Write down now and then when keys were last used, until cancelled."""
    while True:
        await asyncio.sleep(FLUSH_USE_EVERY_S)
        try:
            await authenticator.flush_use()
        except MeteringError as error:
            _log.warning("last use of keys not written", reason=str(error))
