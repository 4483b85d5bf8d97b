import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import unused_port

from ingest.gateway.body_budget import BodyBudget
from ingest.gateway.gateway import Gateway, Neighbours
from ingest.gateway.server import GatewayServer
from ingest.log.memory import MemoryLog, MemoryLogWriter
from tests.ingest.gateway.running import Keys, OneCustomer, Running, StubCore


async def not_ours(request):
    return web.json_response({"passed_on": request.raw_path}, status=299)


@pytest.fixture
async def start():
    """Start gateways; they end with the test."""
    runners, sessions = [], []

    async def begin(writer=None, pass_on=not_ours, **options) -> Running:
        log, core, budget = MemoryLog(), StubCore(), BodyBudget(options.pop("budget_bytes_max", 1 << 30))
        neighbours = Neighbours(
            options.pop("keys", None) or Keys(),
            writer or MemoryLogWriter(log),
            core,
            OneCustomer(),
            pass_on,
            options.pop("limiter", None),
            options.pop("meter", None),
            options.pop("tracing", None),
        )
        answer = Gateway(neighbours, budget, options.pop("waiting", None)).answer
        if neighbours.meter is not None:
            answer = neighbours.meter.measured(answer)
        if neighbours.tracing is not None:
            answer = neighbours.tracing.traced(answer)
        runner = web.ServerRunner(GatewayServer(answer, **options))
        await runner.setup()
        port = unused_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        session = ClientSession()
        runners.append(runner)
        sessions.append(session)
        return Running(f"http://127.0.0.1:{port}", session, log, core, budget)

    yield begin
    for session in sessions:
        await session.close()
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def gateway(start) -> Running:
    return await start()
