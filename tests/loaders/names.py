"""Names that a resolver may answer as it likes."""

import socket


def lead_inside(monkeypatch):
    """Have every name but this machine's own lead into the operator's network."""
    known = socket.getaddrinfo

    def found(host, *more, **named):
        return known("10.1.2.3" if host != "127.0.0.1" else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", found)
