import asyncio
import json
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from ingest.imports import runner
from ingest.imports.api import Imports, import_routes
from ingest.imports.runner import ImportRunner
from ingest.imports.spool import Spool
from ingest.log.memory import MemoryLog, MemoryLogWriter
from ingest.wire import decode
from metering.http.app import build_app
from metering.http.problem import unauthorized
from metering.http.route import Principal
from metering.http.scope import Scope
from metering.registry.accounts import create_account
from metering.world import Mode, World

HEADER = "timestamp,event_type,customer_id,record/id,record/x\n"


def now():
    return datetime.now(UTC)


def a_file(rows, header=HEADER):
    """Rows that are good, but for those given as text."""
    good = "2024-01-15T10:30:00Z,call,acme,{0},{0}.5\n"
    return (header + "".join(row if isinstance(row, str) else good.format(row) for row in rows)).encode()


def a_form(content, name="file", **headers):
    form = aiohttp.FormData()
    form.add_field(name, content, filename="events.csv", content_type="text/csv", **headers)
    return form


class Keys:
    """Two accounts; the first in both modes, and a key of it that may only read."""

    def __init__(self, account, other):
        self.worlds = {
            "owner": World(account, Mode.TEST),
            "prod": World(account, Mode.PROD),
            "stranger": World(other, Mode.TEST),
            "reader": World(account, Mode.TEST),
        }

    async def authenticate(self, authorization):
        name = (authorization or "").removeprefix("Bearer ")
        if name not in self.worlds:
            raise unauthorized("this API key is not known")
        scope = Scope.READ if name == "reader" else Scope.INGEST
        return Principal(name, self.worlds[name], frozenset({scope}))


class Site:
    """The routes of imports in this process, over a real registry, a real folder and a log in memory."""

    def __init__(self, registry, folder, writer, log, keys):
        self.registry, self.folder, self.writer, self.log, self.keys = registry, folder, writer, log, keys
        self.clock, self.lost_after, self.looks = now, None, 0
        self.working = None

    async def start(self):
        """Start what the core starts; may be called again after `crash`."""
        self.spool = Spool(self.folder)
        self.runner = ImportRunner(self.registry, self.writer, self.spool, self.clock, lost_after=self.lost_after)
        looking = self.runner._ours

        async def counted():
            self.looks += 1
            return await looking()

        self.runner._ours = counted
        await self.runner.prepare()
        self.imports = Imports(self.registry, self.spool, self.runner, now)
        self.http = TestClient(TestServer(build_app(import_routes(self.imports), self.keys)))
        await self.http.start_server()

    async def looked(self):
        """Return once it has looked for jobs twice more."""
        wanted = self.looks + 2
        while self.looks < wanted:
            await asyncio.sleep(0.005)

    def work(self):
        self.working = asyncio.create_task(self.runner.run())

    async def crash(self):
        """Stop in the middle of whatever is under way."""
        if self.working is not None:
            self.working.cancel()
            await asyncio.gather(self.working, return_exceptions=True)
            self.working = None
        await self.http.close()
        self.spool.close()

    async def send(self, data, key="owner", **headers):
        sent = {"Authorization": f"Bearer {key}", **headers}
        async with self.http.post("/v1/events/import", data=data, headers=sent) as answer:
            return answer.status, json.loads(await answer.read())

    async def ask(self, job_id, key="owner"):
        async with self.http.get(f"/v1/imports/{job_id}", headers={"Authorization": f"Bearer {key}"}) as answer:
            return answer.status, json.loads(await answer.read())

    async def finished(self, content):
        """Import a file and give the job at its end."""
        status, begun = await self.send(a_form(content))
        assert (status, begun["status"]) == (202, "pending"), begun
        return await self.until_ended(begun["id"])

    async def until_ended(self, job_id):
        for _ in range(2000):
            _, told = await self.ask(job_id)
            if told["ended_at"] is not None:
                while self.working is not None and self.spool.holds(job_id):  # The file goes after the job has ended.
                    await asyncio.sleep(0.005)
                return told
            await asyncio.sleep(0.005)
        raise AssertionError(told)

    def files(self):
        return sorted(path.name for path in self.folder.iterdir() if not path.name.startswith("."))

    def sections(self):
        return [section for message in self.log.messages(0, 10**9) for section in decode(message.payload)]

    def logged(self):
        return [event for section in self.sections() for event in json.loads(section.body)]


@pytest.fixture
async def site(registry, tmp_path):
    """A site that takes files; `work` makes it import them."""
    with registry.writing() as connection:
        account, other = (create_account(connection, name, now()).id for name in ("owner", "stranger"))
    log = MemoryLog()
    site = Site(registry, tmp_path / "imports", MemoryLogWriter(log), log, Keys(account, other))
    await site.start()
    yield site
    await site.crash()


@pytest.fixture
async def working(site):
    """A site that imports what it takes."""
    site.work()
    return site


@pytest.fixture
async def another_folder(site, tmp_path, monkeypatch):
    """Another process over the same registry, with a folder of its own; not started."""
    monkeypatch.setattr(runner, "LOOK_EVERY_S", 0.02)
    other = Site(site.registry, tmp_path / "elsewhere", site.writer, site.log, site.keys)
    yield other
    await other.crash()


@pytest.fixture
async def same_folder(site, monkeypatch):
    """Another process over the same registry and the same folder; not started."""
    monkeypatch.setattr(runner, "LOOK_EVERY_S", 0.02)
    other = Site(site.registry, site.folder, site.writer, site.log, site.keys)
    yield other
    await other.crash()
