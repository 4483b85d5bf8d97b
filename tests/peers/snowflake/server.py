"""Snowflake's REST interface in front of fakesnow: what its own server leaves out, as the connector 5.x asks for it.

Added to fakesnow: the whole answer to a login, one user with a password and a key, roles and session parameters,
results in chunks that are fetched from addresses of their own, statements that run apart from their request
(`asyncExec`), their state, their end by abort or by the session's time limit, and a table `WAITS_90` of one row after
so many seconds.

Runs on an interpreter of its own (`programs.py`): `python server.py PORT USER PASSWORD PUBLIC_KEY_FILE`.
"""

import asyncio
import base64
import contextlib
import gzip
import json
import re
import sys
import uuid
from decimal import Decimal
from pathlib import Path

import fakesnow.server as fake
import jwt
import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
import uvicorn
from fakesnow.converter import from_binding
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

CHUNK_ROWS = 10_000
WAIT = re.compile(r'"?\bWAITS_(\d+)\b"?')
WRONG_LOGIN = {
    "data": {"nextAction": "RETRY_LOGIN", "authnMethod": "USERNAME_PASSWORD", "signInOptions": {}},
    "code": "390100",
    "message": "Incorrect username or password was specified.",
    "success": False,
    "headers": None,
}

WRONG_TOKEN = WRONG_LOGIN | {
    "data": {"nextAction": "RETRY_LOGIN"},
    "code": "390144",
    "message": "JWT token is invalid.",
}


class Statement:
    """One that was sent, until its result is fetched."""

    def __init__(self):
        self.id = str(uuid.uuid4())
        self.ended = asyncio.Event()
        self.ending = asyncio.Event()
        self.answer = None
        self.task = None


class Server:
    """What is known of sessions, statements and chunks."""

    def __init__(self, port, user, password, public_key):
        self.public_key = public_key
        self.port = port
        self.address = f"http://127.0.0.1:{port}"
        self.user, self.password = user, password
        self.sessions = {}
        self.by_request, self.by_id = {}, {}
        self.chunks = {}
        self.seen = []

    async def log_in(self, request):
        body = await _json(request)
        data = body["data"]
        known = data.get("LOGIN_NAME", "").upper() == self.user.upper()
        if data.get("AUTHENTICATOR") == "SNOWFLAKE_JWT":
            if not known or not self._signed(data.get("TOKEN", "")):
                return JSONResponse(WRONG_TOKEN)
        elif not known or data.get("PASSWORD") != self.password:
            return JSONResponse(WRONG_LOGIN)
        answer = json.loads((await fake.login_request(request)).body)
        role = request.query_params.get("roleName") or "PUBLIC"
        answer["data"] |= {"masterToken": "master", "sessionId": 1, "validityInSeconds": 3600}
        answer["data"] |= {"masterValidityInSeconds": 14_400}
        answer["data"]["sessionInfo"] |= {"roleName": role, "warehouseName": request.query_params.get("warehouse")}
        self.sessions[answer["data"]["token"]] = data.get("SESSION_PARAMETERS", {})
        self.seen.append({"login": data | {"PASSWORD": "***", "TOKEN": "***"}, "asked": dict(request.query_params)})
        return JSONResponse(answer)

    def _signed(self, token):
        """Tell whether the user's key signed a token for himself."""
        try:
            told = jwt.decode(token, self.public_key, ["RS256"])
        except jwt.PyJWTError:
            return False
        return told["sub"].endswith(f".{self.user.upper()}")

    async def query(self, request):
        body = await _json(request)
        self.seen.append({"query": body})
        statement = Statement()
        self.by_id[statement.id] = self.by_request[request.query_params.get("requestId")] = statement
        statement.task = asyncio.create_task(self._run(statement, request, body))
        if not body.get("asyncExec"):
            await statement.ended.wait()
            return JSONResponse(statement.answer)
        data = {"queryId": statement.id, "getResultUrl": f"/queries/{statement.id}/result", "queryAbortsAfterSecs": 300}
        return JSONResponse({"data": data, "code": "333334", "message": "in progress", "success": True})

    async def result(self, request):
        statement = self.by_id[request.path_params["id"]]
        await statement.ended.wait()
        return JSONResponse(statement.answer)

    async def state(self, request):
        statement = self.by_id.get(request.path_params["id"])
        if statement is None:
            return JSONResponse({"data": {"queries": []}, "success": True})
        found = {"id": statement.id, "status": "RUNNING"}
        if statement.ended.is_set():
            good = statement.answer["success"]
            found["status"] = "SUCCESS" if good else "FAILED_WITH_ERROR"
            if not good:
                found |= {"errorCode": statement.answer["code"], "errorMessage": statement.answer["message"]}
        return JSONResponse({"data": {"queries": [found]}, "success": True})

    async def abort(self, request):
        key = request.path_params.get("id")
        asked = key or (await _json(request)).get("requestId")
        statement = self.by_id.get(asked) or self.by_request.get(asked)
        if statement is not None:
            statement.ending.set()
        return JSONResponse({"data": None, "code": None, "message": None, "success": True})

    async def chunk(self, request):
        return Response(self.chunks.pop(request.path_params["id"]), media_type="application/octet-stream")

    async def run(self, request):
        """Run the owner's statements."""
        owner = fake.shared_fs.connect("USAGE", "PUBLIC")
        for sql in await request.json():
            await run_in_threadpool(owner.cursor().execute, sql)
        return Response()

    async def parts_at(self, request):
        self.address = f"http://{await request.json()}:{self.port}"
        return Response()

    async def running(self, _request):
        return JSONResponse(sum(not statement.ended.is_set() for statement in self.by_id.values()))

    async def tell_seen(self, _request):
        told, self.seen = self.seen, []
        return JSONResponse(told)

    async def _run(self, statement, request, body):
        limit_s = int(self.sessions.get(fake.to_token(request), {}).get("STATEMENT_TIMEOUT_IN_SECONDS") or 172_800)
        try:
            statement.answer = await self._answer(statement, request, body, limit_s)
        except Exception as error:  # noqa: BLE001 - a server answers whatever goes wrong.
            statement.answer = _failure(statement, "000603", f"SQL execution internal error: {error}")
        statement.ended.set()

    async def _answer(self, statement, request, body, limit_s):
        count = len(sqlglot.parse(body["sqlText"], read="snowflake", error_level=sqlglot.ErrorLevel.IGNORE))
        if count > 1:  # As MULTI_STATEMENT_COUNT is 1 unless a session says otherwise, and none here does.
            words = f"Actual statement count {count} did not match the desired statement count 1."
            return _failure(statement, "000008", words)
        found = WAIT.search(body["sqlText"])
        if found:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(int(found[1]), limit_s)):
                    await statement.ending.wait()
            if statement.ending.is_set():
                return _failure(statement, "000604", "SQL execution canceled")
            if int(found[1]) > limit_s:
                words = f"Statement reached its statement or warehouse timeout of {limit_s} second(s) and was canceled."
                return _failure(statement, "000630", words)
            body["sqlText"] = WAIT.sub('(SELECT 1 AS "id")', body["sqlText"])
        request._body = json.dumps(body).encode()
        request.scope["headers"] = [one for one in request.scope["headers"] if one[0] != b"content-encoding"]
        answer = json.loads((await fake.query_request(_Again(request))).body)
        if not answer["success"]:
            return _failure(statement, answer["code"] or "001003", answer["message"])
        answer["data"]["queryId"] = statement.id
        self._cut(answer["data"])
        return answer

    def _cut(self, data):
        """Leave the first rows in the answer and put the others where they are fetched from."""
        if not data.get("rowsetBase64"):
            return
        table = pa.ipc.open_stream(base64.b64decode(data["rowsetBase64"])).read_all()
        table = _with_nulls_outside(table)
        data["rowsetBase64"] = base64.b64encode(_stream(table)).decode()
        if table.num_rows <= CHUNK_ROWS:
            return
        data["rowsetBase64"] = base64.b64encode(_stream(table.slice(0, CHUNK_ROWS))).decode()
        data["chunks"], data["qrmk"], data["chunkHeaders"] = [], "", {"x-told": "by the server"}
        for first in range(CHUNK_ROWS, table.num_rows, CHUNK_ROWS):
            part = table.slice(first, CHUNK_ROWS)
            key, held = str(uuid.uuid4()), _stream(part)
            self.chunks[key] = held
            sizes = {"uncompressedSize": len(held), "compressedSize": len(held)}
            data["chunks"].append({"url": f"{self.address}/chunks/{key}", "rowCount": part.num_rows, **sizes})


class _Again:
    """A request whose body was changed, as fakesnow reads it."""

    def __init__(self, request):
        self.headers, self.query_params, self.url = request.headers, request.query_params, request.url
        self._body = request._body

    async def body(self):
        return self._body


def _with_nulls_outside(table):
    """Give a table whose absent instants are absent, as Snowflake has it; fakesnow's have absent parts."""
    for place, field in enumerate(table.schema):
        if pa.types.is_struct(field.type) and table.num_rows:
            column = table.column(place).combine_chunks()
            parts = [pc.fill_null(part, 0) for part in column.flatten()]
            absent = pc.is_null(column.flatten()[0])
            whole = pa.StructArray.from_arrays(parts, fields=list(field.type), mask=absent)
            table = table.set_column(place, field, whole)
    return table


def _stream(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for batch in table.combine_chunks().to_batches():
            writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _failure(statement, code, message):
    data = {"errorCode": code, "sqlState": "57014" if code in {"000604", "000630"} else "42000", "pos": -1, "line": -1}
    return {"data": data | {"queryId": statement.id}, "code": code, "message": message, "success": False}


async def _json(request):
    body = await request.body()
    return json.loads(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body or b"{}")


def _bound(binding):
    """Give a bound value; fakesnow takes every number for a whole one."""
    return Decimal(binding["value"]) if binding["type"] == "FIXED" else from_binding(binding)


def main(port, user, password, key_file):
    fake.from_binding = _bound
    server = Server(port, user, password, Path(key_file).read_bytes())
    app = Starlette(
        routes=[
            Route("/session/v1/login-request", server.log_in, methods=["POST"]),
            Route("/session", fake.session, methods=["POST"]),
            Route("/session/heartbeat", fake.session, methods=["POST"]),
            Route("/queries/v1/query-request", server.query, methods=["POST"]),
            Route("/queries/v1/abort-request", server.abort, methods=["POST"]),
            Route("/queries/{id}/abort-request", server.abort, methods=["POST"]),
            Route("/queries/{id}/result", server.result, methods=["GET"]),
            Route("/monitoring/queries//{id}", server.state, methods=["GET"]),  # With two slashes, as it is asked for.
            Route("/chunks/{id}", server.chunk, methods=["GET"]),
            Route("/run", server.run, methods=["POST"]),
            Route("/parts", server.parts_at, methods=["POST"]),
            Route("/running", server.running, methods=["GET"]),
            Route("/seen", server.tell_seen, methods=["GET"]),
        ]
    )
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="info", access_log=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
