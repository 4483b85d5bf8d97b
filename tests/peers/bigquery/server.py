"""BigQuery's REST interface in front of a real SQL engine: jobs, pages, parameters, errors and tokens as in the API.

Queries are turned from BigQuery's dialect into DuckDB's and run there. A dataset is a schema. What a test needs beyond
that goes by the names of datasets: in `slow` queries take minutes, in `failing` they fail after they began, `locked`
is not for this account. `POST /run` takes the owner's own statements, in DuckDB's dialect; `POST /refuse` has the next
requests answered with a status; `GET /seen` tells what came in.

`GET /running` how many jobs are under way.

Runs on an interpreter of its own (`../snowflake/programs.py`): `python server.py PORT PUBLIC_KEY_FILE`.
"""

import asyncio
import contextlib
import secrets
import sys
import time
import uuid
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs

import duckdb
import jwt
import sqlglot
import uvicorn
from sqlglot import exp
from sqlglot.errors import ParseError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from written import field, row

PAGE_BYTES_MAX = 10 * 1024 * 1024
SLOW_S = 600
BYTES_PROCESSED = 1_000_000
STATEMENTS = {exp.Insert: "INSERT", exp.Update: "UPDATE", exp.Delete: "DELETE", exp.Merge: "MERGE", exp.Drop: "DROP"}
PARAMETERS = {
    "INT64": "BIGINT",
    "FLOAT64": "DOUBLE",
    "NUMERIC": "DECIMAL(38, 9)",
    "BIGNUMERIC": "DECIMAL(38, 18)",
    "STRING": "VARCHAR",
    "TIMESTAMP": "TIMESTAMPTZ",
    "DATETIME": "TIMESTAMP",
}

SIZES = {exp.DataType.Type.DECIMAL: PARAMETERS["NUMERIC"], exp.DataType.Type.BIGDECIMAL: PARAMETERS["BIGNUMERIC"]}


class RefusedError(Exception):
    """What a request or a job is answered with in place of a result."""

    def __init__(self, status, reason, message):
        super().__init__(message)
        self.status = status
        self.told = {"reason": reason, "message": message, "location": "query"}

    def response(self):
        """Give it as an answer."""
        error = {"code": self.status, "message": self.told["message"], "errors": [self.told | {"domain": "global"}]}
        return JSONResponse({"error": error}, status_code=self.status)


class Job:
    """A query that was sent."""

    def __init__(self, project, job_id, configuration):
        self.project, self.id, self.configuration = project, job_id, configuration
        self.done = asyncio.Event()
        self.ending = asyncio.Event()
        self.error = self.schema = self.rows = None
        self.statement = "SELECT"
        self.began = time.time()

    def resource(self):
        """Give it as jobs.get does."""
        query = self.configuration["query"] | {
            "destinationTable": {"projectId": self.project, "datasetId": "_answers", "tableId": self.id}
        }
        status = {"state": "DONE" if self.done.is_set() else "RUNNING"}
        if self.error is not None:
            status |= {"errorResult": self.error.told, "errors": [self.error.told]}
        told = {"statementType": self.statement, "totalBytesProcessed": str(BYTES_PROCESSED), "cacheHit": False}
        if self.schema is not None:
            told["schema"] = self.schema
        return {
            "kind": "bigquery#job",
            "id": f"{self.project}:US.{self.id}",
            "jobReference": {"projectId": self.project, "jobId": self.id, "location": "US"},
            "configuration": self.configuration | {"query": query, "jobType": "QUERY"},
            "status": status,
            "statistics": {"creationTime": str(int(self.began * 1000)), "query": told, "totalBytesProcessed": "0"},
        }


class Server:
    """Jobs, requests that were answered once, and the engine."""

    def __init__(self, port, public_key):
        self.port, self.public_key = port, public_key
        self.engine = duckdb.connect()
        self.engine.execute("SET TimeZone = 'UTC'")
        for dataset in ("slow", "failing", "locked"):
            self.engine.execute(f"CREATE SCHEMA {dataset}; CREATE TABLE {dataset}.t (id INTEGER)")
        self.jobs, self.by_request, self.tokens = {}, {}, {}
        self.seen, self.refusals, self.kept = [], [], set()

    async def token(self, request):
        """Give a token for an assertion that the account's key signed (RFC 7523)."""
        form = parse_qs((await request.body()).decode())
        try:
            signed = jwt.decode(form["assertion"][0], self.public_key, ["RS256"], options={"verify_aud": False})
        except jwt.PyJWTError:
            told = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
            return JSONResponse(told, status_code=400)
        token = secrets.token_urlsafe()
        self.tokens[token] = signed["iss"]
        return JSONResponse({"access_token": token, "expires_in": 3600, "token_type": "Bearer"})

    async def query(self, request):
        body = await request.json()
        key = body.get("requestId")
        job = self.jobs.get(self.by_request.get(key))
        if job is None:
            configuration = {"query": {name: body[name] for name in body if name not in {"requestId", "timeoutMs"}}}
            job = await self._begin(request, f"job_{uuid.uuid4()}", configuration, dry=body.get("dryRun", False))
            if key:
                self.by_request[key] = job.id
        if body.get("dryRun"):
            return JSONResponse(job.resource() | {"kind": "bigquery#queryResponse", "jobComplete": True})
        return await self._page(job, dict(request.query_params) | body)

    async def insert(self, request):
        body = await request.json()
        job_id = body.get("jobReference", {}).get("jobId") or f"job_{uuid.uuid4()}"
        if job_id in self.jobs:
            raise RefusedError(409, "duplicate", f"Already Exists: Job {job_id}")
        dry = body["configuration"].get("dryRun", False)
        return JSONResponse((await self._begin(request, job_id, body["configuration"], dry=dry)).resource())

    async def job(self, request):
        return JSONResponse(self._job(request).resource())

    async def cancel(self, request):
        job = self._job(request)
        job.ending.set()
        return JSONResponse({"kind": "bigquery#jobCancelResponse", "job": job.resource()})

    async def results(self, request):
        return await self._page(self._job(request), dict(request.query_params))

    async def table_data(self, request):
        found = self.jobs.get(request.path_params["table"])
        if found is None:
            raise RefusedError(404, "notFound", "Not found: Table")
        return await self._page(found, dict(request.query_params))

    async def rights(self, request):
        """Tell which of these rights an account has: a writer all of them, others none."""
        account = self.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "), "")
        asked = (await request.json())["permissions"]
        return JSONResponse({"permissions": asked} if account.startswith("writer@") else {})

    async def running(self, _request):
        """Tell how many jobs are under way."""
        return JSONResponse(sum(not job.done.is_set() for job in self.jobs.values()))

    async def run(self, request):
        """Run the owner's statements."""
        for sql in await request.json():
            await run_in_threadpool(self.engine.cursor().execute, sql)
        return Response()

    async def refuse(self, request):
        """Have the next requests answered with these statuses, and no others."""
        self.refusals = await request.json()
        return Response()

    async def tell_seen(self, _request):
        told, self.seen = self.seen, []
        return JSONResponse(told)

    def judge(self, request):
        """Refuse who has no token or a wrong one; nobody at all is let in, as with an emulator."""
        self.seen.append([request.method, request.url.path, dict(request.query_params)])
        if self.refusals:
            status = self.refusals.pop(0)
            reason = "backendError" if status >= 500 else "rateLimitExceeded" if status == 429 else "accessDenied"
            raise RefusedError(status, reason, f"answered with {status} on purpose")
        given = request.headers.get("Authorization")
        if given is not None and given.removeprefix("Bearer ") not in self.tokens:
            raise RefusedError(401, "authError", "Invalid Credentials")

    def _job(self, request):
        job = self.jobs.get(request.path_params["job"])
        if job is None:
            raise RefusedError(404, "notFound", f"Not found: Job {request.path_params['job']}")
        return job

    async def _begin(self, request, job_id, configuration, *, dry):
        job = Job(request.path_params["project"], job_id, configuration)
        self.seen.append(["configuration", configuration])
        try:
            tree = self._understood(job, configuration["query"])
            job.schema = await run_in_threadpool(self._described, tree) if job.statement == "SELECT" else None
        except RefusedError as error:
            if dry:
                raise
            job.error = error
            job.done.set()
        else:
            if dry:
                job.done.set()
                return job
            task = asyncio.create_task(self._run(job, tree))
            self.kept.add(task)
            task.add_done_callback(self.kept.discard)
        self.jobs[job_id] = job
        return job

    def _understood(self, job, query):
        sql = query["query"]
        try:
            statements = sqlglot.parse(sql, read="bigquery")
        except ParseError as error:
            first = error.errors[0]
            words = f"Syntax error: {first['description'].rstrip('.')} at [{first['line']}:{first['col']}]"
            raise RefusedError(400, "invalidQuery", words) from None
        if len(statements) != 1:
            job.statement = "SCRIPT"
            return statements[0]
        tree = statements[0]
        job.statement = next((name for kind, name in STATEMENTS.items() if isinstance(tree, kind)), "SELECT")
        if isinstance(tree, exp.Create):
            job.statement = f"CREATE_{tree.kind}"
        for table in tree.find_all(exp.Table):
            if table.db == "locked":
                words = f"Access Denied: Table {job.project}:locked.{table.name}: User has no permission to query it"
                raise RefusedError(403, "accessDenied", words)
            table.set("catalog", None)
        limit = query.get("maximumBytesBilled")
        if limit is not None and int(limit) < BYTES_PROCESSED:
            words = f"Query exceeded limit for bytes billed: {limit}. {BYTES_PROCESSED} or higher required."
            raise RefusedError(400, "bytesBilledLimitExceeded", words)
        given = {one["name"]: one for one in query.get("queryParameters", [])}
        return tree.transform(partial(_meant, given))

    def _described(self, tree):
        sql = tree.sql(dialect="duckdb")
        try:
            found = self.engine.cursor().sql(sql)
        except duckdb.CatalogException as error:
            raise RefusedError(404, "notFound", f"Not found: {str(error).splitlines()[0]}") from None
        except duckdb.Error as error:
            words = str(error).splitlines()[0]
            if 'Referenced column "' in words:
                name = words.split('"')[1]
                words = f"Unrecognized name: {name} at [1:{tree.sql(dialect='bigquery').find(name) + 1}]"
            raise RefusedError(400, "invalidQuery", words) from None
        return {"fields": [field(*one) for one in zip(found.columns, found.types, strict=True)]}

    async def _run(self, job, tree):
        try:
            await self._linger(job, {table.db for table in tree.find_all(exp.Table)})
            job.rows = await run_in_threadpool(self._answered, job, tree)
        except RefusedError as error:
            job.error = error
        except duckdb.Error as error:
            job.error = RefusedError(400, "invalidQuery", str(error).splitlines()[0])
        job.done.set()

    async def _linger(self, job, datasets):
        if "failing" in datasets:
            raise RefusedError(400, "resourcesExceeded", "Resources exceeded during query execution: too much memory")
        if "slow" not in datasets:
            return
        limit_s = int(job.configuration.get("jobTimeoutMs") or 10**9) / 1000
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(SLOW_S, limit_s)):
                await job.ending.wait()
        if job.ending.is_set():
            raise RefusedError(499, "stopped", "Job execution was cancelled: User requested cancellation")
        if limit_s < SLOW_S:
            raise RefusedError(499, "stopped", f"Job execution was cancelled: Job timed out after {limit_s:g}s")

    def _answered(self, job, tree):
        cursor = self.engine.cursor()
        sql = tree.sql(dialect="duckdb")
        if job.statement != "SELECT":
            cursor.execute(sql)
            return None
        found = cursor.sql(sql)
        names = [f"c{place}" for place in range(len(found.columns))]
        written = row(names, found.types)
        return cursor.sql(f"SELECT {written} FROM ({sql}) AS t({', '.join(names)})").to_arrow_table().column(0)

    async def _page(self, job, asked):
        wait_s = min(int(asked.get("timeoutMs") or 10_000), 200_000) / 1000
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await job.done.wait()
        reference = {"projectId": job.project, "jobId": job.id, "location": "US"}
        told = {"kind": "bigquery#queryResponse", "jobReference": reference, "jobComplete": job.done.is_set()}
        if not job.done.is_set():
            return JSONResponse(told)
        if job.error is not None:
            return job.error.response()
        if job.rows is None:
            return JSONResponse(told | {"totalRows": "0", "numDmlAffectedRows": "1"})
        first = int(asked.get("pageToken") or asked.get("startIndex") or 0)
        count = int(asked["maxResults"]) if asked.get("maxResults") not in {None, ""} else 100_000
        rows = job.rows.slice(first, count).to_pylist()
        size, kept = 0, 0
        while kept < len(rows) and (kept == 0 or size < PAGE_BYTES_MAX):
            size += len(rows[kept])
            kept += 1
        told |= {"schema": job.schema, "totalRows": str(len(job.rows)), "cacheHit": False, "totalBytesProcessed": "1"}
        if first + kept < len(job.rows):
            told["pageToken"] = str(first + kept)
        head = JSONResponse(told).body[:-1]
        body = b"".join([head, b',"rows":[', ",".join(rows[:kept]).encode(), b"]}"])
        return Response(body, media_type="application/json")


def _meant(given, node):
    """Give what a type or a parameter is in the engine."""
    if isinstance(node, exp.DataType) and node.this in SIZES and not node.expressions:
        return exp.DataType.build(SIZES[node.this], dialect="duckdb")
    if not isinstance(node, exp.Parameter):
        return node
    name = node.this.name
    if name not in given:
        raise RefusedError(400, "invalidQuery", f"Query parameter '{name}' not found at [1:1]")
    kind, value = given[name]["parameterType"]["type"], given[name]["parameterValue"].get("value")
    return exp.cast(exp.Literal.string(value), exp.DataType.build(PARAMETERS[kind], dialect="duckdb"))


def _guarded(server, handler):
    async def answer(request):
        try:
            server.judge(request)
            return await handler(request)
        except RefusedError as error:
            return error.response()

    return answer


def main(port, key_file):
    server = Server(port, Path(key_file).read_bytes())
    base = "/bigquery/v2/projects/{project}"
    api = [
        ("POST", "/queries", server.query),
        ("POST", "/jobs", server.insert),
        ("GET", "/jobs/{job}", server.job),
        ("POST", "/jobs/{job}/cancel", server.cancel),
        ("GET", "/queries/{job}", server.results),
        ("GET", "/datasets/{dataset}/tables/{table}/data", server.table_data),
    ]
    routes = [Route(base + path, _guarded(server, handler), methods=[method]) for method, path, handler in api]
    routes += [
        Route("/token", server.token, methods=["POST"]),
        Route("/v1/projects/{project}:testIamPermissions", _guarded(server, server.rights), methods=["POST"]),
        Route("/running", server.running, methods=["GET"]),
        Route("/run", server.run, methods=["POST"]),
        Route("/refuse", server.refuse, methods=["POST"]),
        Route("/seen", server.tell_seen, methods=["GET"]),
    ]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
