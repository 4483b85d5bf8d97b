"""A small double of a MongoDB server: it speaks the wire protocol and says to each command what a test gave it to say.

For what no server that is to be had here can show: wrong passwords, users' rights, members of a set, routers, cursors
that die and queries that go on for minutes.
"""

import contextlib
import select
import socket
import struct
import threading
from datetime import UTC, datetime

import bson

HEADER = struct.Struct("<iiii")
OP_MSG = 2013
BODY_AT = HEADER.size + 5
"""After the header: four bytes of flags, and one that says that a document follows."""
POLL_S = 0.02
MAX_TIME_EXPIRED = {"ok": 0.0, "code": 50, "codeName": "MaxTimeMSExpired", "errmsg": "operation exceeded time limit"}
HANG_UP = object()
"""An answer: the connection is cut."""


def first_batch(documents, cursor=0, namespace="shop.orders"):
    """Give the answer to a query; more is to be had when `cursor` is not 0."""
    return {"cursor": {"firstBatch": documents, "id": bson.Int64(cursor), "ns": namespace}, "ok": 1.0}


def next_batch(documents, cursor=0, namespace="shop.orders"):
    """Give the answer to a getMore."""
    return {"cursor": {"nextBatch": documents, "id": bson.Int64(cursor), "ns": namespace}, "ok": 1.0}


def error(code, words):
    """Give the answer of a command that failed."""
    return {"ok": 0.0, "code": code, "errmsg": words}


class Double:
    """One server; `answers` has for a command its answer, or a function that makes it of the command."""

    def __init__(self, host="127.0.0.1", hello=None, **answers):
        self.answers = answers
        self.hello = hello or {}
        self.seen = []
        self.held = 0
        """Queries that are worked on."""
        self.connections = 0
        self._ending = threading.Event()
        self._listener = socket.create_server((host, 0))
        self.host, self.port = self._listener.getsockname()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def url(self, login="", asked=""):
        """Give its address."""
        return f"mongodb://{login}{self.host}:{self.port}/shop{asked}"

    def commands(self, name):
        """Give what was asked by this command."""
        return [command for command in self.seen if next(iter(command)) == name]

    def hold(self, command):
        """Work on a query without an end: until the client is gone, or its time is over."""
        connection = command.pop("connection")
        ends_at = datetime.now(UTC).timestamp() + command.get("maxTimeMS", 3_600_000) / 1000
        self.held += 1
        try:
            while not self._ending.is_set() and datetime.now(UTC).timestamp() < ends_at:
                if select.select([connection], [], [], POLL_S)[0] and not connection.recv(1, socket.MSG_PEEK):
                    return HANG_UP
        finally:
            self.held -= 1
        return MAX_TIME_EXPIRED

    def _accept(self):
        while not self._ending.is_set():
            if select.select([self._listener], [], [], POLL_S)[0]:
                connection = self._listener.accept()[0]
                self.connections += 1
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            while not self._ending.is_set():
                if not select.select([connection], [], [], POLL_S)[0]:
                    continue
                header = connection.recv(HEADER.size, socket.MSG_WAITALL)
                if len(header) < HEADER.size:
                    return
                size, request, _, _ = HEADER.unpack(header)
                rest = connection.recv(size - HEADER.size, socket.MSG_WAITALL)
                command = bson.decode(rest[5 : 5 + struct.unpack_from("<i", rest, 5)[0]])
                self.seen.append(command)
                answer = self._answer({**command, "connection": connection})
                if answer is HANG_UP:
                    return
                body = bson.encode(answer)
                message = HEADER.pack(BODY_AT + len(body), 0, request, OP_MSG) + bytes(5) + body
                connection.sendall(message)

    def _answer(self, command):
        name = next(iter(command))
        if name.lower() in {"hello", "ismaster"}:
            return self._greeting()
        answer = self.answers.get(name, {"ok": 1.0} if name in {"ping", "killCursors", "endSessions"} else None)
        if answer is None:
            return error(59, f"no such command: '{name}'")
        return answer(command) if callable(answer) else answer

    def _greeting(self):
        return {
            "ok": 1.0,
            "helloOk": True,
            "isWritablePrimary": True,
            "ismaster": True,
            "maxBsonObjectSize": 16_777_216,
            "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000,
            "minWireVersion": 0,
            "maxWireVersion": 21,
            "localTime": datetime.now(UTC),
            **self.hello,
        }
