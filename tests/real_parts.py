"""What a test does when the real program it needs is not there: skip and say so, but fail where CI promises it."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

import httpx
import pytest
import stamina

ROOT = Path(__file__).parent.parent


def require(name: str, found: bool, how: str) -> None:
    """Go on if the part was found; otherwise skip with the way to get it, or fail when ``CI`` is ``true``."""
    if found:
        return
    text = f"{name} is missing; get it by: {how}"
    if os.environ.get("CI") == "true":
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


def program(name: str, package: str = "prometheus") -> str:
    """The path of a program that scripts/install-real-parts.sh puts there, unless the system has it."""
    own = ROOT / ".tools" / package / "usr" / "bin" / name
    path = which(name) or (str(own) if own.exists() else None)
    require(name, path is not None, "scripts/install-real-parts.sh (on Debian or Ubuntu)")
    assert path is not None
    return path


@contextmanager
def running_alertmanager(config: Mapping[str, Any], folder: Path, port: int) -> Iterator[str]:
    """Where a real Alertmanager answers that has this configuration."""
    path = folder / "alertmanager.yml"
    path.write_text(json.dumps(config))  # JSON is YAML
    template = Path("/usr/share/prometheus/alertmanager/email.tmpl")
    require("a template of the Alertmanager", template.exists(), "scripts/install-real-parts.sh, as root")
    url, package = f"http://127.0.0.1:{port}", "prometheus-alertmanager"
    command = [
        program(package, package),
        f"--config.file={path}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            for attempt in stamina.retry_context(on=httpx.HTTPError, attempts=None, timeout=30, wait_max=0.2):
                with attempt:
                    httpx.get(f"{url}/-/ready").raise_for_status()
            yield url
        finally:
            process.terminate()


def helm(major: int) -> Path:
    """The path of helm 3 or 4, downloaded by scripts/get-helm.sh when it is not there yet."""
    path = ROOT / ".tools" / f"helm{major}" / "helm"
    if not path.exists():
        got = subprocess.run([ROOT / "scripts" / "get-helm.sh"], capture_output=True, text=True, timeout=110)
        require(f"helm {major}", got.returncode == 0, f"scripts/get-helm.sh, which says: {got.stderr[-300:]}")
    return path
