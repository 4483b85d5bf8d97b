"""A gateway in this process, over a log in memory, and the neighbours that stand in for the others."""

import io
import json
from dataclasses import dataclass, field

from aiohttp import ClientSession

from ingest.gateway.body_budget import BodyBudget
from ingest.log.memory import MemoryLog
from ingest.wire import Section, decode
from metering.http.problem import unauthorized
from metering.http.route import Principal
from metering.http.scope import Scope
from metering.world import Mode, World

WORLD = World("acc_1", Mode.TEST)


class Keys:
    """Knows two keys."""

    async def authenticate(self, authorization):
        if authorization == "Bearer test_ingest":
            return Principal("key_1", WORLD, frozenset({Scope.INGEST}))
        if authorization == "Bearer test_read":
            return Principal("key_2", WORLD, frozenset({Scope.READ}))
        raise unauthorized("this API key is not known")


class OneCustomer:
    """Knows one customer by two names."""

    async def of(self, world, identifier):
        assert world == WORLD
        return ["cus_1", "acme"] if identifier in {"cus_1", "acme"} else [identifier]


@dataclass
class StubCore:
    """Applies at once; counts what it is told to."""

    retracts: int = 3
    priced: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    error: Exception | None = None

    async def wait_applied(self):
        self.asked.append("wait")
        if self.error:
            raise self.error

    async def prices(self, world, receipt, body):
        assert world == WORLD
        self.asked.append((dict(receipt.offsets), body))
        if self.error:
            raise self.error
        return self.priced

    async def retracted(self, world, receipt):
        assert world == WORLD
        self.asked.append(dict(receipt.offsets))
        return self.retracts


class FailingLog:
    """Takes nothing."""

    def __init__(self, error):
        self.error = error

    async def append(self, section):  # noqa: ARG002
        raise self.error


def whole(digits: str) -> int | str:
    return int(digits) if len(digits) < 1000 else digits


@dataclass
class Running:
    """A gateway at an address, and what it wrote."""

    url: str
    session: ClientSession
    log: MemoryLog
    core: StubCore
    budget: BodyBudget

    def sections(self) -> list[Section]:
        return [section for message in self.log.messages(0, 10**9) for section in decode(message.payload)]

    def logged(self) -> list:
        return [event for section in self.sections() for event in json.loads(section.body)]

    async def send(self, path, body, method="POST", **headers):
        if not isinstance(body, bytes | type(None)):
            body = json.dumps(body).encode()
        sent = {"Authorization": "Bearer test_ingest", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in sent.items() if value is not None}
        data = io.BytesIO(body) if body and len(body) > 1_000_000 else body
        skip = () if "Content-Type" in sent else ("Content-Type",)
        async with self.session.request(
            method, self.url + path, data=data, headers=sent, skip_auto_headers=skip
        ) as answer:
            text = await answer.read()
            return answer.status, json.loads(text, parse_int=whole) if text else None, answer.headers
