"""How brokers are to be believed, and how they come to believe us: TLS and SASL. Secrets are never shown."""

from dataclasses import dataclass, field
from typing import Final

MECHANISMS: Final = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")

Settings = dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class KafkaSecurity:
    """What connections are secured by; empty texts are not set. Files are PEM.

    `ca` is who may sign brokers' certificates (the system's authorities where it is not set); `certificate` and `key`
    are ours, where brokers ask for one.
    """

    tls: bool = False
    ca: str = ""
    certificate: str = ""
    key: str = ""
    key_password: str = field(default="", repr=False)
    mechanism: str = ""
    username: str = ""
    password: str = field(default="", repr=False)

    def settings(self) -> Settings:
        """Give what the client library is told."""
        protocol = ("sasl_" if self.mechanism else "") + ("ssl" if self.tls else "plaintext")
        told = {
            "ssl.ca.location": self.ca,
            "ssl.certificate.location": self.certificate,
            "ssl.key.location": self.key,
            "ssl.key.password": self.key_password,
            "sasl.mechanism": self.mechanism,
            "sasl.username": self.username,
            "sasl.password": self.password,
        }
        return {"security.protocol": protocol, **{name: value for name, value in told.items() if value}}


NO_SECURITY = KafkaSecurity()
