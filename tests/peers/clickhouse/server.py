"""ClickHouse's HTTP interface in front of the real engine, embedded: `python server.py PATH PORT USER PASSWORD`.

One process owns the path, others speak HTTP to it as they would to a server. It does what the HTTP layer of a server
does with the requests of its clients: users, databases, settings and parameters from the URL, form or body, formats,
compressed inserts, errors by number, and the limits of sizes that a server has. What it cannot show stands in the
README. https://clickhouse.com/docs/interfaces/http
"""

import asyncio
import base64
import json
import os
import re
import sys
import tempfile
import uuid
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import chdb
import lz4.frame
from aiohttp import web

URI_BYTES_MAX = 1 << 20
FIELD_BYTES_MAX = 128 << 10
FIELDS_MAX = 1000
"""`http_max_uri_size`, `http_max_field_value_size` and `http_max_fields`, as a server has them by default."""
THREADS = 8
REQUESTS_KEPT = 1000

# Parameters of the interface itself; every other is a setting.
RESERVED = {
    "buffer_size",
    "cancel_http_readonly_queries_on_client_close",
    "client_protocol_version",
    "compress",
    "database",
    "decompress",
    "default_format",
    "enable_http_compression",
    "http_headers_progress_interval_ms",
    "password",
    "query",
    "query_id",
    "quota_key",
    "role",
    "send_progress_in_http_headers",
    "session_check",
    "session_id",
    "session_timeout",
    "user",
    "wait_end_of_query",
}
FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
INSERT_FORMAT = re.compile(r"^\s*INSERT\s+INTO\b.*?\bFORMAT\s+(\w+)\s*", re.IGNORECASE | re.DOTALL)
INSERT = re.compile(r"^\s*INSERT\b", re.IGNORECASE)
CODE = re.compile(r"Code: (\d+)")


class RefusedError(Exception):
    """What the HTTP layer refuses by itself."""

    def __init__(self, code, message, status=400):
        super().__init__(f"Code: {code}. DB::Exception: {message}")
        self.status = status


class Front:
    """Answers requests out of one engine. `seen` is what came in lately, for tests to look at."""

    def __init__(self, path, user, password):
        self._path = path
        self._login = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._engine = chdb.connect(path)  # Kept open: the engine lives while one handle does.
        self._threads = ThreadPoolExecutor(THREADS)
        self._inserts = tempfile.mkdtemp()
        self.seen = deque(maxlen=REQUESTS_KEPT)

    async def ping(self, _request):
        return web.Response(text="Ok.\n")

    async def tell_seen(self, _request):
        return web.json_response(list(self.seen))

    async def answer(self, request):
        query_id = request.query.get("query_id") or str(uuid.uuid4())
        headers = {
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Timezone": "UTC",
            "X-ClickHouse-Server-Display-Name": "front",
        }
        try:
            self._let_in(request)
            sql, body, parameters = await self._read(request)
            data, found_format, rows = await asyncio.get_running_loop().run_in_executor(
                self._threads, self._run, sql, body, parameters, request.headers
            )
        except Exception as error:  # noqa: BLE001 - a server answers whatever goes wrong.
            text = str(error)
            text = text[text.find("Code: ") :] if "Code: " in text else f"Code: 1000. DB::Exception: {text}"
            status = error.status if isinstance(error, RefusedError) else 500
            code = CODE.match(text)[1]
            return web.Response(status=status, text=text, headers={**headers, "X-ClickHouse-Exception-Code": code})
        summary = {"read_rows": str(rows), "written_rows": str(rows) if INSERT.match(sql) else "0"}
        headers["X-ClickHouse-Summary"] = json.dumps(summary)
        if data:
            headers["X-ClickHouse-Format"] = found_format
        return web.Response(body=data, headers=headers)

    def _let_in(self, request):
        if request.headers.get("Authorization") != f"Basic {self._login}":
            raise RefusedError(516, "Authentication failed: password is incorrect. (AUTHENTICATION_FAILED)", 403)

    async def _read(self, request):
        """Give the statement, the data that comes with it, and all parameters."""
        if len(request.raw_path) > URI_BYTES_MAX:
            raise RefusedError(1000, "Too long URI", 414)
        parameters, body = dict(request.query), b""
        if request.content_type == "multipart/form-data":
            parameters |= {name: value async for name, value in _form(request)}
        else:
            body = await request.read()
        if len(parameters) > FIELDS_MAX:
            raise RefusedError(1000, "Too many form fields")
        for name, value in parameters.items():
            if len(value.encode()) > FIELD_BYTES_MAX:
                raise RefusedError(1000, f"Field value too long: {name}")
        if request.headers.get("Content-Encoding") == "lz4" and body:
            body = lz4.frame.decompress(body)
        self.seen.append(
            {"url_bytes": len(request.raw_path), "body_bytes": len(body), "parameters": list(request.query)}
        )
        if "query" in parameters:
            return parameters["query"], body, parameters
        found = INSERT_FORMAT.match(body[:65_536].decode(errors="replace")) if b"FORMAT" in body[:65_536] else None
        if found is not None:
            at = len(found[0].encode())
            return body[:at].decode(), body[at:], parameters
        return body.decode(), b"", parameters

    def _run(self, sql, body, parameters, headers):
        connection = chdb.connect(self._path)  # A handle is a session: settings and database end with it.
        try:
            database = parameters.get("database") or headers.get("X-ClickHouse-Database")
            if database:
                connection.query(f"USE `{database}`")
            settings = [
                f"{name} = {_literal(value)}"
                for name, value in parameters.items()
                if name not in RESERVED and not name.startswith("param_")
            ]
            if settings:
                connection.query(f"SET {', '.join(settings)}")
            bound = {name[6:]: value for name, value in parameters.items() if name.startswith("param_")}
            if INSERT.match(sql) and body:
                return self._insert(connection, sql, body)
            found_format = headers.get("X-ClickHouse-Format") or parameters.get("default_format") or "TabSeparated"
            asked = FORMAT.search(sql)
            if asked and not INSERT.match(sql):
                sql, found_format = sql[: asked.start()], asked[1]
            result = connection.query(sql, found_format, params=bound) if bound else connection.query(sql, found_format)
            return result.bytes(), found_format, result.rows_read()
        finally:
            connection.close()

    def _insert(self, connection, sql, body):
        found = INSERT_FORMAT.match(sql)
        head, of_format = (sql[: found.start(1)].rpartition("FORMAT")[0], found[1]) if found else (sql, "TabSeparated")
        with tempfile.NamedTemporaryFile(dir=self._inserts) as file:
            file.write(body)
            file.flush()
            result = connection.query(f"{head} FROM INFILE {_literal(file.name)} FORMAT {of_format}")
        return b"", of_format, result.rows_read()


async def _form(request):
    reader = await request.multipart()
    while (part := await reader.next()) is not None:
        yield part.name, (await part.read()).decode()


def _literal(value):
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def main(path, port, user, password):
    Path(path).mkdir(parents=True, exist_ok=True)
    os.umask(0o077)
    front = Front(path, user, password)
    app = web.Application(client_max_size=1 << 30, handler_args={"max_line_size": URI_BYTES_MAX + 8192})
    app.router.add_get("/ping", front.ping)
    app.router.add_get("/seen", front.tell_seen)
    app.router.add_route("*", "/", front.answer)
    web.run_app(app, host="127.0.0.1", port=port, print=None, handle_signals=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
