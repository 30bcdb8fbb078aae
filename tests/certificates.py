"""Certificates for tests of TLS, made by the openssl program while they run."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")
NO_CONFIGURATION = "[req]\ndistinguished_name = name\n[name]\n"


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Whoever trusts its certificate trusts those it issues; they are for 127.0.0.1."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._configuration = folder / "openssl.cnf"
        self._configuration.write_text(NO_CONFIGURATION)
        self._own = self._make(name, "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign")
        self.certificate = self._own.certificate

    def issue(self, name: str) -> Identity:
        """A new certificate, with its key."""
        signed = ("-CA", self._own.certificate, "-CAkey", self._own.key)
        extensions = ("basicConstraints=CA:FALSE", "subjectAltName=IP:127.0.0.1,DNS:localhost")
        return self._make(name, *extensions, signed_by=signed)

    def _make(self, name: str, *extensions: str, signed_by: tuple[str | Path, ...] = ()) -> Identity:
        identity = Identity(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        extras = [part for extension in extensions for part in ("-addext", extension)]
        openssl("req", "-x509", "-config", self._configuration, *KEY, *signed_by, "-days", "2", "-subj", f"/CN={name}",
                *extras, "-keyout", identity.key, "-out", identity.certificate)  # fmt: skip
        return identity


def openssl(*arguments: str | Path) -> None:
    """Run the openssl program."""
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
