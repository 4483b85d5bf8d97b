"""BigQuery, by Google's client for jobs and its REST interface for rows.

A query is looked at by BigQuery itself before it runs (a dry run costs nothing): anything but a SELECT goes no further.
It runs as a job whose id is ours, so that sending it again does not run it again, and that any thread may end it. Pages
are read from the REST interface as columns: Google's client makes Python objects of every row first, which takes many
times as long (`bench/loaders_warehouse.py`). The next page is under way while one is read.
"""

import contextlib
import math
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import msgspec
import pyarrow as pa
import requests
from google.api_core import exceptions as api
from google.api_core.client_options import ClientOptions
from google.api_core.retry import Retry
from google.auth import exceptions as auth
from google.auth.transport.requests import AuthorizedSession
from google.cloud import bigquery

from loaders.errors import (
    QueryCancelledError,
    QueryError,
    QueryTimeoutError,
    SourceDeniedError,
    SourceError,
    SourceUnavailableError,
)
from loaders.gate import Gate
from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.provider import Address
from loaders.source import Page, Parameter
from loaders.sources.bigquery_login import Login, read_login
from loaders.sources.bigquery_rows import Field, ResultPage, column_of, columns_of_cells, read_page
from loaders.sql.query import Dialect, read_only

_BODY_BYTES_MAX = 128 * 1024 * 1024
"""BigQuery ends a page at about 10 MB by itself."""
_LONG_POLL_S = 10.0
_UNAVAILABLE = {"backendError", "internalError", "quotaExceeded", "rateLimitExceeded", "jobRateLimitExceeded"}
_PASSING = (
    api.ServerError,
    api.TooManyRequests,
    auth.TransportError,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)
_WRITING = (
    "bigquery.datasets.create",
    "bigquery.tables.create",
    "bigquery.tables.delete",
    "bigquery.tables.updateData",
)
_INT64 = range(-(2**63), 2**63)
_ERRORS = (
    api.GoogleAPIError,
    auth.GoogleAuthError,
    requests.RequestException,
    msgspec.MsgspecError,
    pa.ArrowException,
    ValueError,
    TypeError,
    LookupError,
    OSError,
    RecursionError,
)


def open_source(address: Address, policy: HostPolicy, limits: SourceLimits) -> "BigQuerySource":
    """Give a source that is not connected yet."""
    return BigQuerySource(read_login(address.credentials), policy, limits)


class BigQuerySource:
    """One service account's access to one project. See `loaders.source.Source`."""

    def __init__(self, login: Login, policy: HostPolicy, limits: SourceLimits) -> None:
        self._login = login
        self._policy = policy
        self._limits = limits
        self._gate: Gate | None = None
        self._opened: tuple[AuthorizedSession, bigquery.Client] | None = None
        self._lock = threading.Lock()
        self._running = False
        self._job: bigquery.QueryJob | None = None
        self._cancelled = threading.Event()
        self._retry = Retry(predicate=self._worth_a_retry, timeout=2 * limits.connect_s_max)

    @property
    def quote(self) -> str:
        """Give nothing: BigQuery keeps a name's casing anyway."""
        return ""

    def ping(self) -> Sequence[str]:
        """Have an empty query looked at, which needs the right to run queries and costs nothing."""
        with self._translated():
            self._looked_at("SELECT 1", ())
            warnings = []
            if self._may_write():
                warnings.append(
                    "the service account may change data: give it the roles BigQuery Data Viewer and BigQuery Job User "
                    "alone, which may only read"
                )
            if self._login.in_clear:
                warnings.append("the connection is not encrypted (http): anyone on the way reads all of it")
            return warnings

    def now(self) -> datetime:
        """Ask for the time."""
        with self._translated():
            rows = self._client().query_and_wait(
                "SELECT CURRENT_TIMESTAMP()", retry=self._retry, api_timeout=self._limits.idle_s_max, wait_timeout=60
            )
            found: datetime = next(iter(rows))[0]
            return found

    def pages(self, query: str, parameters: Mapping[str, Parameter], *, page_rows_max: int) -> Iterator[Page]:
        """Run a query and stream its result."""
        checked = read_only(query, Dialect.BIGQUERY)
        checked.refuse_without(parameters)
        text, names = checked.bound(lambda name: f"@{name}")
        bound = [_bound(name, parameters) for name in dict.fromkeys(names)]
        with self._lock:
            self._cancelled.clear()
            self._running = True
        try:
            with self._translated():
                yield from self._pages(text, bound, page_rows_max)
        finally:
            with self._lock:
                self._running, self._job = False, None

    def cancel(self) -> None:
        """End the job under way."""
        with self._lock:
            if not self._running:
                return
            self._cancelled.set()
            job = self._job
        if job is not None:
            self._end(job)
        self._cut_off()

    def close(self) -> None:
        """Let go of the connections."""
        self.cancel()
        self._forget()

    def _client(self) -> bigquery.Client:
        return self._connected()[1]

    def _connected(self) -> tuple[AuthorizedSession, bigquery.Client]:
        if self._opened is None:
            self._cut_off()
            self._gate = Gate(self._policy, self._limits)
            session = self._login.session(self._gate)
            client = bigquery.Client(
                self._login.project,
                location=self._login.location,
                client_options=ClientOptions(api_endpoint=self._login.endpoint),
                _http=session,
            )
            self._opened = session, client
        return self._opened

    def _configured(self, bound: Sequence[bigquery.ScalarQueryParameter], **more: Any) -> bigquery.QueryJobConfig:
        config = bigquery.QueryJobConfig(query_parameters=bound, use_legacy_sql=False, **more)
        if self._login.bytes_billed_max is not None:
            config.maximum_bytes_billed = self._login.bytes_billed_max
        return config

    def _looked_at(self, text: str, bound: Sequence[bigquery.ScalarQueryParameter]) -> None:
        config = self._configured(bound, dry_run=True, use_query_cache=False)
        found = self._client().query(text, config, retry=self._retry, job_retry=None, timeout=self._limits.idle_s_max)
        if found.statement_type != "SELECT":
            raise QueryError(f"BigQuery takes the query for {found.statement_type}, and only a SELECT may run")

    def _may_write(self) -> bool:
        """Ask what the account may do; where nobody answers that, nothing is said of it."""
        url = f"{self._login.rights}/v1/projects/{quote(self._login.project, safe='')}:testIamPermissions"
        asked = {"permissions": list(_WRITING)}
        timeouts = (self._limits.connect_s_max, self._limits.connect_s_max)
        try:
            with self._connected()[0].post(url, json=asked, timeout=timeouts, allow_redirects=False) as answer:
                return answer.status_code == requests.codes.ok and bool(answer.json().get("permissions"))
        except (requests.RequestException, auth.GoogleAuthError):
            return False

    def _worth_a_retry(self, error: Exception) -> bool:
        if self._cancelled.is_set() or isinstance(self._refused(), SourceDeniedError):
            return False
        return isinstance(error, _PASSING) or _reason(error) in _UNAVAILABLE

    def _pages(self, text: str, bound: Sequence[bigquery.ScalarQueryParameter], page_rows_max: int) -> Iterator[Page]:
        self._looked_at(text, bound)
        self._go_on()
        limit_ms = math.ceil(self._limits.statement_s_max * 1000)
        config = self._configured(bound, use_query_cache=True, labels={"by": "meterline"}, job_timeout_ms=limit_ms)
        job = self._client().query(
            text,
            config,
            job_id=f"meterline_{uuid.uuid4()}",
            retry=self._retry,
            job_retry=None,
            timeout=self._limits.idle_s_max,
        )
        with self._lock:
            self._job = job
        finished = False
        try:
            first = self._first_page(job, page_rows_max)
            finished = True
            yield from self._columns(job, first, page_rows_max)
        finally:
            if not finished:
                self._end(job)

    def _first_page(self, job: bigquery.QueryJob, page_rows_max: int) -> ResultPage:
        ends_at = time.monotonic() + self._limits.statement_s_max + _LONG_POLL_S
        while True:
            self._go_on()
            page = self._page(job, page_rows_max, "")
            if page.job_complete:
                return page
            if time.monotonic() > ends_at:
                raise QueryTimeoutError(f"the query took longer than {self._limits.statement_s_max:g} s")

    def _columns(self, job: bigquery.QueryJob, page: ResultPage, page_rows_max: int) -> Iterator[Page]:
        fields: Sequence[Field] = page.schema.fields if page.schema is not None else ()
        columns = [column_of(field) for field in fields]
        if not page.rows:
            yield Page(columns, [[] for _ in columns], 0)
        with ThreadPoolExecutor(1, thread_name_prefix="bigquery") as reader:
            while True:
                following: Future[ResultPage] | None = None
                if page.page_token:
                    following = reader.submit(self._page, job, page_rows_max, page.page_token)
                for cells, rows in self._cells(page, fields):
                    self._go_on()
                    yield Page(columns, cells, rows)
                if following is None:
                    return
                page = following.result()

    def _cells(self, page: ResultPage, fields: Sequence[Field]) -> Iterator[tuple[list[Any], int]]:
        rows, page.rows = page.rows, []
        for first in range(0, len(rows), step := self._rows_of_a_page(rows)):
            part = rows[first : first + step]
            yield columns_of_cells(part, fields, self._limits.value_bytes_max), len(part)

    def _rows_of_a_page(self, rows: Sequence[Any]) -> int:
        """Give how many of an answer's rows make a page; looks at some of them, as all are of one query."""
        looked_at = rows[:: max(1, len(rows) // 100)]
        size = sum(len(str(value.v)) + 12 for row in looked_at for value in row.f)
        return max(1, int(self._limits.page_bytes_max * len(looked_at) / max(size, 1)))

    def _page(self, job: bigquery.QueryJob, page_rows_max: int, token: str) -> ResultPage:
        asked: dict[str, str] = {
            "maxResults": str(page_rows_max),
            "formatOptions.useInt64Timestamp": "true",
            "prettyPrint": "false",
            "timeoutMs": str(int(min(_LONG_POLL_S, self._limits.idle_s_max / 2) * 1000)),
        }
        if job.location:
            asked["location"] = job.location
        if token:
            asked["pageToken"] = token
        path = f"/bigquery/v2/projects/{quote(job.project, safe='')}/queries/{quote(job.job_id, safe='')}"

        def fetch() -> bytes:
            self._go_on()
            return self._body(f"{self._login.endpoint}{path}", asked)

        return read_page(self._retry(fetch)())

    def _body(self, url: str, asked: Mapping[str, str]) -> bytes:
        timeouts = (self._limits.connect_s_max, self._limits.idle_s_max)
        with self._connected()[0].get(
            url, params=asked, timeout=timeouts, stream=True, allow_redirects=False
        ) as answer:
            if answer.status_code != requests.codes.ok:
                raise api.from_http_response(answer)  # type: ignore[no-untyped-call]
            parts, size = [], 0
            for part in answer.iter_content(1024 * 1024):
                parts.append(part)
                size += len(part)
                if size > _BODY_BYTES_MAX:
                    raise ValueError(f"a page of more than {_BODY_BYTES_MAX} bytes")
            return b"".join(parts)

    def _end(self, job: bigquery.QueryJob) -> None:
        with contextlib.suppress(*_ERRORS):
            job.cancel(retry=None, timeout=self._limits.connect_s_max)

    def _go_on(self) -> None:
        if self._cancelled.is_set():
            raise QueryCancelledError("the query was cancelled")

    def _cut_off(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.close()

    def _forget(self) -> None:
        opened, self._opened = self._opened, None
        self._cut_off()
        if opened is not None:
            opened[0].close()  # type: ignore[no-untyped-call]

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what the client raises into our errors; connections that are no use any more are not used again."""
        if self._gate is not None:
            self._gate.refusals.clear()
        try:
            yield
        except _ERRORS as error:
            found = self._translate(error)
            if not isinstance(found, QueryError) or isinstance(found, QueryCancelledError):
                self._forget()
            raise found from None
        except QueryCancelledError:
            self._forget()
            raise

    def _refused(self) -> SourceError | None:
        """Give why a host that matters was not reached; the client asks others, too, and does without their answers."""
        gate = self._gate
        if gate is None:
            return None
        return next((gate.refusals[host] for host in self._login.hosts if host in gate.refusals), None)

    def _translate(self, error: Exception) -> SourceError:
        refused = self._refused()
        if self._cancelled.is_set():
            return QueryCancelledError("the query was cancelled")
        if refused is not None:
            return refused
        if isinstance(error, api.RetryError) and isinstance(error.cause, Exception):
            return self._translate(error.cause)
        if isinstance(error, api.GoogleAPICallError):
            return _as_said(error)
        if isinstance(error, auth.RefreshError) and not error.retryable:
            return SourceDeniedError(f"Google does not take the service account's key: {error.args[0]}")
        if isinstance(error, (auth.GoogleAuthError, requests.RequestException, OSError)):
            return SourceUnavailableError(f"BigQuery was not reached, or cut the connection: {_shortly(error)}")
        return SourceUnavailableError(f"BigQuery sent what cannot be read: {_shortly(error)}")


def _as_said(error: api.GoogleAPICallError) -> SourceError:
    words, reason = str(_first(error).get("message") or error.message), _reason(error)
    if reason in _UNAVAILABLE or isinstance(error, (api.ServerError, api.TooManyRequests)):
        return SourceUnavailableError(words)
    if reason in {"stopped", "timeout"}:
        return QueryTimeoutError(words) if "timed out" in words else QueryCancelledError(words)
    if isinstance(error, (api.Forbidden, api.Unauthorized)):
        return SourceDeniedError(words)
    if reason == "bytesBilledLimitExceeded":
        return QueryError(f"{words} Raise maximum_bytes_billed of the connection, or have the query read less.")
    return QueryError(words)


def _reason(error: Exception) -> str:
    return str(_first(error).get("reason", "")) if isinstance(error, api.GoogleAPICallError) else ""


def _first(error: api.GoogleAPICallError) -> Mapping[str, Any]:
    return error.errors[0] if error.errors and isinstance(error.errors[0], Mapping) else {}


def _shortly(error: Exception) -> str:
    return str(error).splitlines()[0][:500] if str(error) else type(error).__name__


def _bound(name: str, parameters: Mapping[str, Parameter]) -> bigquery.ScalarQueryParameter:
    """Give a parameter with the type that holds all of it."""
    value = parameters[name]
    if isinstance(value, datetime):
        kind = "DATETIME" if value.tzinfo is None else "TIMESTAMP"
    elif isinstance(value, str):
        kind = "STRING"
    elif isinstance(value, int):
        kind = "INT64" if value in _INT64 else "BIGNUMERIC"
        value = value if kind == "INT64" else Decimal(value)
    else:
        fits = value == round(value, 9) and abs(value) < 10**29
        kind = "NUMERIC" if fits else "BIGNUMERIC"
    return bigquery.ScalarQueryParameter(name, kind, value)
