import asyncio
import gzip
import io
from datetime import timedelta

import aiohttp
import pytest

from ingest.csv_file import TEMPLATE
from ingest.errors import LogOverloadedError, LogUnavailableError
from ingest.imports import api, runner, upload
from ingest.imports.jobs import REJECTED_TOLD_MAX, UNFINISHED_MAX
from ingest.imports.steps import STEP_ROWS_MAX
from ingest.wire import Kind
from tests.ingest.imports.conftest import HEADER, a_file, a_form, now


async def test_a_file_is_taken_and_its_events_go_into_the_log(working):
    """202 with the id; at the end every row is an event in the key's world, in order, and the file is gone."""
    told = await working.finished(a_file(range(3)))
    assert told["status"] == "done"
    assert (told["rows_total"], told["rows_accepted"], told["rows_rejected"]) == (3, 3, 0)
    assert (told["rejected"], told["message"]) == ([], None)
    assert told["bytes_read"] == told["bytes_total"] == len(a_file(range(3)))
    (section,) = working.sections()
    assert (section.world, section.kind) == (working.keys.worlds["owner"], Kind.EVENTS)
    assert [event["record"]["id"] for event in working.logged()] == [0, 1, 2]
    while working.files():  # It goes once the end is told.
        await asyncio.sleep(0.005)


async def test_rejected_lines_are_told_and_the_rest_goes_on(working):
    """partial: each reject has its line (the header is 1), the path and a message with the remedy."""
    told = await working.finished(a_file([1, "noon,call,acme,2,2\n", 3, "2024-01-15T10:30:00Z,call,,4,4\n"]))
    assert (told["status"], told["rows_total"], told["rows_accepted"], told["rows_rejected"]) == ("partial", 4, 2, 2)
    assert [(one["line"], one["path"]) for one in told["rejected"]] == [(3, ["timestamp"]), (5, ["customer_id"])]
    assert "'noon'" in told["rejected"][0]["message"]
    assert len(working.logged()) == 2


async def test_only_the_first_thousand_rejects_are_told_and_all_are_counted(working):
    """The answer stays bounded whatever a file holds."""
    told = await working.finished(a_file([1, *["x,call,acme,2,2\n"] * (REJECTED_TOLD_MAX + 500)]))
    assert (told["status"], told["rows_rejected"]) == ("partial", REJECTED_TOLD_MAX + 500)
    assert [one["line"] for one in told["rejected"]] == list(range(3, REJECTED_TOLD_MAX + 3))


@pytest.mark.parametrize(
    ("content", "message", "accepted"),
    [
        (b"when,what\n1,2\n", "'when'", 0),
        (a_file([1, 2]) + b"\xff\xfe,\n", "UTF-8", 2),
        (a_file(["x,call,acme,2,2\n"]), "no row was accepted", 0),
    ],
)
async def test_a_file_that_cannot_be_read_on_ends_in_error(working, content, message, accepted):
    """The message says what and how to mend it; what came before stands and is counted."""
    told = await working.finished(content)
    assert (told["status"], told["rows_accepted"]) == ("error", accepted)
    assert message in told["message"]
    assert len(working.logged()) == accepted


async def test_a_file_with_a_header_alone_is_done(working):
    """No row is no fault."""
    told = await working.finished(HEADER.encode())
    assert (told["status"], told["rows_total"]) == ("done", 0)


async def test_the_template_is_a_file_that_can_be_imported(working):
    """text/csv to download; importing it as it is accepts its row."""
    async with working.http.get("/v1/events/import/template", headers={"Authorization": "Bearer owner"}) as answer:
        assert answer.headers["Content-Type"].startswith("text/csv")
        assert "attachment" in answer.headers["Content-Disposition"]
        content = await answer.read()
    assert content == TEMPLATE
    assert (await working.finished(content))["rows_accepted"] == 1


async def test_nobody_else_sees_an_import(working):
    """Another account, or the other mode, is told 404 as for an id that is not there; a key without the scope 403."""
    told = await working.finished(a_file([1]))
    for key in ("stranger", "prod"):
        status, answer = await working.ask(told["id"], key)
        assert status == 404
        assert "acme" not in str(answer)
    assert (await working.ask("imp_nothing"))[0] == 404
    assert (await working.ask(told["id"], "reader"))[0] == 403
    assert (await working.send(a_form(a_file([1])), "reader"))[0] == 403
    assert (await working.send(a_form(a_file([1])), "nobody"))[0] == 401


async def test_what_is_no_file_is_refused_with_the_remedy(site):
    """415, 400 or 413, never a 500; nothing is kept."""
    boundary = {"Content-Type": "multipart/form-data; boundary=b"}
    whole = b'--b\r\nContent-Disposition: form-data; name="file"; filename="e.csv"\r\n%b\r\n%b\r\n--b--\r\n'
    for data, headers, expected in (
        (b"{}", {"Content-Type": "application/json"}, 415),
        (a_file([1]), {"Content-Type": "text/csv"}, 415),
        (gzip.compress(b"x"), {**boundary, "Content-Encoding": "gzip"}, 415),
        (b"x", {"Content-Type": "multipart/form-data"}, 400),
        (b"x", {"Content-Type": f"multipart/form-data; boundary={'b' * 99}"}, 400),
        (b"no boundary at all", boundary, 400),
        (b"--b--\r\n", boundary, 400),
        (whole.removesuffix(b"--b--\r\n") % (b"", b"cut short"), boundary, 400),
        (b"--b\r\nnonsense\r\n\r\n", boundary, 400),
        (whole % (b"", b""), boundary, 400),
        (whole % (b"Content-Encoding: gzip\r\n", b"x"), boundary, 415),
        (whole % (b"Content-Transfer-Encoding: base64\r\n", b"eA=="), boundary, 415),
        (whole % (b"Content-Type: multipart/mixed; boundary=c\r\n", b"x"), boundary, 400),
        (whole % (b"Content-Type: multipart/mixed\r\n", b"x"), boundary, 400),
        (b'--b\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\n' + b"\xff" * 40, boundary, 400),
    ):
        status, told = await site.send(data, **headers)
        assert (status, bool(told.get("message"))) == (expected, True), (data[:80], headers, told)
    status, told = await site.send(a_form(a_file([1]), name="upload"))
    assert (status, told["errors"][0]["path"]) == (400, ["file"])
    assert site.files() == []


async def test_a_file_over_the_limit_is_refused(site, monkeypatch):
    """413, whether its length was told or not; nothing of it is kept."""
    monkeypatch.setattr(upload.receive_file, "__defaults__", (1_000_000,))

    async def endless():
        for _ in range(100):
            yield b"x" * 100_000

    assert (await site.send(a_form(io.BytesIO(b"x" * 9_000_000))))[0] == 413
    form = aiohttp.FormData()
    form.add_field("file", endless(), filename="events.csv")
    assert (await site.send(form))[0] == 413
    assert site.files() == []


async def test_other_fields_of_the_form_are_passed_over_but_not_without_end(site):
    """A note before the file does not matter; a large one is refused."""
    form = aiohttp.FormData({"note": "mine"})
    form.add_field("file", a_file([1]), filename="events.csv")
    assert (await site.send(form))[0] == 202
    form = aiohttp.FormData({"note": "x" * 1_000_000})
    form.add_field("file", a_file([1]), filename="events.csv")
    assert (await site.send(form))[0] == 413


async def test_an_upload_that_breaks_off_leaves_nothing(site):
    """The client goes away in the middle of its file."""
    begun = asyncio.Event()

    async def slow():
        yield a_file(range(1000))
        begun.set()
        await asyncio.sleep(60)

    form = aiohttp.FormData()
    form.add_field("file", slow(), filename="events.csv")
    sending = asyncio.create_task(site.send(form))
    await begun.wait()
    while not site.files():
        await asyncio.sleep(0.01)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    for _ in range(500):
        if not site.files():
            break
        await asyncio.sleep(0.01)
    assert site.files() == []


async def test_a_disk_that_is_full_is_503_and_not_500(site, monkeypatch):
    """The client may try again later; nothing is kept."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(site.imports.spool, "keep", full)
    status, told = await site.send(a_form(a_file([1])))
    assert status == 503
    assert "No space left" in told["message"]
    assert site.files() == []


async def test_only_so_many_files_of_an_account_wait(site):
    """429 with Retry-After beyond that, in either mode; another account has room."""
    for _ in range(UNFINISHED_MAX):
        assert (await site.send(a_form(a_file([1]))))[0] == 202
    assert (await site.send(a_form(a_file([1]))))[0] == 429
    assert (await site.send(a_form(a_file([1])), "prod"))[0] == 429
    assert (await site.send(a_form(a_file([1])), "stranger"))[0] == 202


async def test_only_so_many_uploads_are_under_way(site, monkeypatch):
    """503 for one more: their number bounds what uploads cost."""
    monkeypatch.setattr(api, "UPLOADS_MAX", 0)
    assert (await site.send(a_form(a_file([1]))))[0] == 503


class Flaky:
    """A log that fails now and then; `lies` keeps the section all the same."""

    def __init__(self, inner, failures):
        self.inner, self.failures = inner, list(failures)

    async def append(self, section):
        error, lies = self.failures.pop(0) if self.failures else (None, False)
        if error is None or lies:
            receipt = await self.inner.append(section)
        if error is not None:
            raise error
        return receipt


@pytest.mark.slow
async def test_a_log_that_is_away_is_waited_for(site):
    """No row is lost and none is told as rejected; an answer that was lost costs the same rows twice, no more."""
    failures = [
        (LogOverloadedError("full"), False),
        (LogUnavailableError("away"), False),
        (LogUnavailableError("?"), True),
    ]
    site.runner._log = Flaky(site.writer, failures)
    site.work()
    told = await site.finished(a_file(range(5)))
    assert (told["status"], told["rows_accepted"]) == ("done", 5)
    assert [event["record"]["id"] for event in site.logged()] == [*range(5), *range(5)]


class Gate:
    """A log that takes so many sections and then answers none until it is open."""

    def __init__(self, inner, sections):
        self.inner, self.sections, self.shut, self.open = inner, sections, asyncio.Event(), asyncio.Event()

    async def append(self, section):
        if not self.sections:
            self.shut.set()
            await self.open.wait()
        else:
            self.sections -= 1
        return await self.inner.append(section)


async def test_a_look_that_fails_ends_neither_the_file_under_way_nor_those_to_come(site, monkeypatch):
    """Whatever failed, nobody would begin the imports again before the next start."""
    monkeypatch.setattr(runner, "LOOK_EVERY_S", 0.02)
    looks = site.runner._ours
    broken = asyncio.Event()

    async def broken_once_a_file_is_under_way():
        if gate.shut.is_set() and not broken.is_set():
            broken.set()
            raise OSError(5, "Input/output error")
        return await looks()

    gate = site.runner._log = Gate(site.writer, 0)
    site.runner._ours = broken_once_a_file_is_under_way
    site.work()
    _, begun = await site.send(a_form(a_file([1])))
    await broken.wait()
    gate.open.set()
    assert (await site.until_ended(begun["id"]))["rows_accepted"] == 1
    assert (await site.finished(a_file([2])))["rows_accepted"] == 1


async def test_a_job_that_was_interrupted_goes_on_where_it_was(site):
    """Rows that were recorded are not sent again, the others are; its rejects are told once."""
    rows = [
        *range(STEP_ROWS_MAX - 1),
        "x,call,acme,2,2\n",
        *range(STEP_ROWS_MAX, 2 * STEP_ROWS_MAX),
        "y,call,acme,2,2\n",
    ]
    gate = Gate(site.writer, 1)
    site.runner._log = gate
    site.work()
    _, begun = await site.send(a_form(a_file(rows)))
    await gate.shut.wait()
    _, told = await site.ask(begun["id"])
    assert (told["status"], told["rows_total"]) == ("processing", STEP_ROWS_MAX)
    await site.crash()
    await site.start()
    site.work()
    told = await site.until_ended(begun["id"])
    assert (told["status"], told["rows_total"], told["rows_accepted"]) == ("partial", len(rows), len(rows) - 2)
    assert [one["line"] for one in told["rejected"]] == [STEP_ROWS_MAX + 1, 2 * STEP_ROWS_MAX + 2]
    assert [event["record"]["id"] for event in site.logged()] == [row for row in rows if isinstance(row, int)]
    assert site.files() == []


async def test_a_job_whose_file_is_gone_says_so(site):
    """It ends in error with the remedy, and is not waited for by anybody."""
    _, begun = await site.send(a_form(a_file([1])))
    for path in site.folder.iterdir():
        path.unlink()
    site.work()
    told = await site.until_ended(begun["id"])
    assert told["status"] == "error"
    assert "send it again" in told["message"]


async def test_a_start_sweeps_files_without_a_job(site):
    """What a crash left of an upload goes; a file that waits for its job stays."""
    _, begun = await site.send(a_form(a_file([1])))
    (site.folder / "imp_lost.part").write_bytes(b"x")
    (site.folder / "imp_lost.csv").write_bytes(b"x")
    await site.crash()
    await site.start()
    assert site.files() == [f"{begun['id']}.csv"]


async def test_one_file_of_an_account_is_worked_on_at_a_time(site):
    """So of two files the first one sent is the first in the log; another account does not wait for them."""
    gate = Gate(site.writer, 0)
    site.runner._log = gate
    _, first = await site.send(a_form(a_file([1])))
    _, second = await site.send(a_form(a_file([2])))
    site.work()
    await gate.shut.wait()
    _, other = await site.send(a_form(a_file([3])), "stranger")
    while (await site.ask(other["id"], "stranger"))[1]["status"] != "processing":
        await asyncio.sleep(0.01)
    assert (await site.ask(first["id"]))[1]["status"] == "processing"
    assert (await site.ask(second["id"]))[1]["status"] == "pending"


async def test_a_bug_ends_one_job_and_no_other(site, monkeypatch):
    """What cannot be foreseen is told as an error of that job; the next one is imported."""
    original, broken = site.runner._append, []

    async def once(job, step):
        if not broken:
            broken.append(job.id)
            raise ZeroDivisionError
        await original(job, step)

    monkeypatch.setattr(site.runner, "_append", once)
    site.work()
    told = await site.finished(a_file([1]))
    assert (told["status"], told["rows_accepted"]) == ("error", 0)
    assert "logged" in told["message"]
    assert (await site.finished(a_file([2])))["status"] == "done"


async def test_a_file_that_lies_elsewhere_is_left_to_who_has_it(site, another_folder):
    """Two processes over one registry, a folder each: only the one that has the file works the job off."""
    site.lost_after = another_folder.lost_after = timedelta(hours=24)
    await site.crash()
    await site.start()
    await another_folder.start()
    another_folder.work()
    status, begun = await site.send(a_form(a_file(range(3))))
    assert status == 202
    await another_folder.looked()
    assert (await another_folder.ask(begun["id"]))[1]["status"] == "pending"
    site.work()
    assert (await another_folder.until_ended(begun["id"]))["status"] == "done"


async def test_a_file_that_never_comes_back_is_given_up_in_the_end(site, another_folder):
    """After a day its job ends with an error that says what to do, and makes room for others."""
    status, begun = await site.send(a_form(a_file(range(3))))
    assert status == 202
    another_folder.lost_after = timedelta(hours=24)
    another_folder.clock = lambda: now() + timedelta(hours=25)
    await another_folder.start()
    another_folder.work()
    told = await another_folder.until_ended(begun["id"])
    assert told["status"] == "error"
    assert "send it again" in told["message"]


async def test_of_processes_that_share_a_folder_one_works_and_another_takes_over(site, same_folder):
    """The second neither sweeps what the first has nor works on it; it goes on when the first is gone."""
    (site.folder / "imp_receiving.part").write_bytes(b"half")
    await same_folder.start()
    assert "imp_receiving.part" in site.files()
    site.work()
    await site.looked()
    same_folder.work()
    status, begun = await same_folder.send(a_form(a_file(range(3))))
    assert status == 202
    assert (await site.until_ended(begun["id"]))["status"] == "done"
    await site.crash()
    status, begun = await same_folder.send(a_form(a_file(range(3))))
    assert status == 202
    assert (await same_folder.until_ended(begun["id"]))["status"] == "done"
    await site.start()
