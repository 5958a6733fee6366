"""Whom to trust: the certificates that Docker, curl and requests would accept, and plain HTTP where it is safe."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tasks.core.errors import OnevmError

if TYPE_CHECKING:
    import ssl


def is_loopback(host: str) -> bool:
    """Whether a host, with or without a port, is this machine: `localhost`, 127.0.0.0/8 or ::1."""
    import ipaddress

    name = urlsplit(f"//{host}").hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def context_for(host: str) -> "ssl.SSLContext":
    """Make the TLS context for a host (with its port if it has one).

    Roots are those of REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE, else the system's with SSL_CERT_FILE and SSL_CERT_DIR
    (as Docker has it), else certifi's. Added to them is what Docker has for this registry in `certs.d/<host>`:
    `*.crt` to trust, `*.cert` with `*.key` to show (https://docs.docker.com/engine/security/certificates/).

    Raises:
        OnevmError: a certificate file cannot be read.
    """
    import ssl

    context = _with_roots()
    # Docker (Go) takes a trusted certificate that is no root, and private CAs without every RFC 5280 extension.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN if hasattr(ssl, "VERIFY_X509_PARTIAL_CHAIN") else 0
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    for file in _docker_files(host):
        try:
            if file.suffix == ".crt":
                context.load_verify_locations(file)
            else:
                context.load_cert_chain(file, file.with_suffix(".key"))
        except (OSError, ssl.SSLError) as error:
            raise _unreadable(file, error) from None
    return context


def _with_roots() -> "ssl.SSLContext":
    import ssl

    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    paths = ssl.get_default_verify_paths()
    if not bundle and not paths.cafile and not paths.capath:
        import certifi

        bundle = certifi.where()
    if not bundle:
        return ssl.create_default_context()
    try:
        if Path(bundle).is_dir():
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except (OSError, ssl.SSLError) as error:
        raise _unreadable(Path(bundle), error) from None


def _docker_files(host: str) -> Iterator[Path]:
    for folder in (Path("/etc/docker/certs.d"), Path.home() / ".docker/certs.d"):
        yield from sorted((folder / host).glob("*.crt"))
        yield from sorted((folder / host).glob("*.cert"))


def _unreadable(file: Path, error: OSError) -> OnevmError:
    return OnevmError(
        f"cannot use the certificates in {file}",
        detail=error.strerror or str(error),
        next_step="mend the file (PEM), or remove it",
    )
