"""Where this machine keeps the certificates of those who vouch for servers."""

import ssl
from pathlib import Path

_USUAL = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def authorities_file() -> str:
    """Give the path of a file with all of them, for a driver that cannot take a folder; one must be there."""
    found = (ssl.get_default_verify_paths().cafile, *_USUAL)
    return next((path for path in found if path and Path(path).is_file()), _USUAL[0])
