"""TLS for the receiver of traces: a context from the files that are configured, or what is wrong with them."""

import ssl
from collections.abc import Iterator
from pathlib import Path

from ... import MonitorError
from ..config import TlsConfig


def server_context(tls: TlsConfig, folder: Path) -> ssl.SSLContext:
    """The context of a server; relative paths start at ``folder``. Raises MonitorError when there can be none."""
    context = _context()
    renew(context, tls, folder)
    return context


def renew(context: ssl.SSLContext, tls: TlsConfig, folder: Path) -> None:
    """Take what the files hold now, for every connection from now on: certificates run out sooner than daemons.

    Raises MonitorError when they cannot be used; then the context stays as it was.
    """
    for setting, problem in faults(tls, folder):
        raise MonitorError(f"otlp.tls.{setting}: {problem}")
    context.load_cert_chain(folder / tls.certificate, folder / tls.key)
    if tls.client_ca is not None:
        context.load_verify_locations(folder / tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED


def faults(tls: TlsConfig, folder: Path) -> Iterator[tuple[str, str]]:
    """What is wrong with the files, each with the setting that names it."""
    files = {"certificate": tls.certificate, "key": tls.key, "client_ca": tls.client_ca}
    paths = {setting: folder / file for setting, file in files.items() if file is not None}
    faulty = {setting: problem for setting, path in paths.items() if (problem := _unreadable(path))}
    for setting in ("certificate", "client_ca"):
        if setting in paths and setting not in faulty and not _holds_certificates(paths[setting]):
            faulty[setting] = f"{paths[setting]} holds no certificate in PEM form"
    if not faulty.keys() & {"certificate", "key"}:
        faulty |= _pair_faults(paths["certificate"], paths["key"])
    yield from faulty.items()


def _unreadable(path: Path) -> str | None:
    try:
        path.read_bytes()
    except FileNotFoundError:
        return f"there is no file {path}"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    return None


def _holds_certificates(path: Path) -> bool:
    try:
        _context().load_verify_locations(path)
    except ssl.SSLError:
        return False
    return True


def _pair_faults(certificate: Path, key: Path) -> dict[str, str]:
    is_encrypted = False

    def no_passphrase() -> str:
        nonlocal is_encrypted
        is_encrypted = True
        return ""

    try:
        _context().load_cert_chain(certificate, key, no_passphrase)
    except ssl.SSLError as error:
        if is_encrypted:
            return {"key": f"{key} is locked by a passphrase: nobody is there to type it at a start"}
        if error.reason == "KEY_VALUES_MISMATCH":
            return {"key": f"{key} is not the key of {certificate}"}
        if error.reason and "TOO_SMALL" in error.reason:
            return {"certificate": f"{certificate} has a key that is too short to be safe"}
        return {"key": f"{key} holds no private key in PEM form"}
    return {}


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
