"""The scanner of spans comes by itself where there is a compiler, and nothing fails where there is none."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

CHECKOUT = Path(__file__).parents[1]
PLACE = Path("monitor/traffic/lookout")
BUILT = "_scan.cpython"
SOURCES = ("_scan.c", "_json.h", "_chains.h", "_counts.h", "_values.h", "scanner_building.py")

COMPILER = """#!/bin/sh
echo called >> "{log}"
for last in "$@"; do :; done
echo "$@" > "$last"
"""
"""Writes down that it was called, and what it was told, which the mark of the source is part of."""


@dataclass
class Sources:
    """What a checkout has to build the scanner of, and a compiler that is quick."""

    root: Path
    compiler: Path
    log: Path

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        known = {"PATH": os.environ["PATH"], "CC": str(self.compiler)} | environment
        return subprocess.run(
            [sys.executable, *command], cwd=self.root, env=known, capture_output=True, text=True, check=False
        )

    def build(self, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run(str(PLACE / "scanner_building.py"), *options, **environment)

    def wheel(self, kind: str = "wheel", **environment: str) -> tuple[Path, str]:
        """The wheel that hatchling makes of it, and what it said."""
        code = f"from hatchling.build import build_{kind}; print(build_{kind}('dist'))"
        done = self.run("-c", code, **environment)
        assert done.returncode == 0, done.stderr
        return self.root / "dist" / done.stdout.splitlines()[-1], done.stdout + done.stderr

    @property
    def built(self) -> list[Path]:
        return [one for one in (self.root / PLACE).iterdir() if one.name.startswith(BUILT)]

    @property
    def calls(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    root = tmp_path / "checkout"
    (root / PLACE).mkdir(parents=True)
    for name in SOURCES:
        shutil.copy(CHECKOUT / PLACE / name, root / PLACE)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(CHECKOUT / name, root)
    compiler, log = tmp_path / "compiler", tmp_path / "calls"
    compiler.write_text(COMPILER.format(log=log))
    compiler.chmod(0o755)
    return Sources(root, compiler, log)


def test_it_is_built_anew_only_when_its_source_changed(sources: Sources) -> None:
    first = sources.build()
    [built] = sources.built
    assert first.returncode == 0
    assert str(built.relative_to(sources.root)) in first.stdout
    again = sources.build()
    assert (again.stdout, sources.calls) == ("", 1)
    with (sources.root / PLACE / "_json.h").open("a") as header:
        header.write("/* changed */\n")
    sources.build()
    assert sources.calls == 2
    assert sources.built == [built]


def test_one_for_looking_for_errors_is_replaced_by_one_for_use(sources: Sources) -> None:
    sources.compiler.write_text(COMPILER.format(log=sources.log) + 'echo __asan_init >> "$last"\n')
    sources.build("--sanitize")
    sources.build()
    assert sources.calls == 2


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"CC": "", "PATH": "/nowhere"}, "there is no C compiler"),
        ({"CC": "/nowhere/cc"}, "cannot be built with /nowhere/cc"),
        ({"CC": "false"}, "the compiler, false, failed"),
    ],
    ids=["no compiler", "a compiler that is not there", "a compiler that fails"],
)
def test_who_asks_for_it_is_told_why_not_and_who_does_not_goes_on(
    sources: Sources, environment: dict[str, str], why: str
) -> None:
    asked, optional = sources.build(**environment), sources.build("--if-possible", **environment)
    assert (asked.returncode, optional.returncode) == (1, 0)
    assert why in asked.stderr
    assert why in optional.stderr
    assert "spans will be read in Python" in optional.stderr
    assert sources.built == []


def test_who_does_not_want_it_does_not_get_it_unasked(sources: Sources) -> None:
    assert sources.build("--if-possible", ANCHORWATCH_NO_SCANNER="1").stderr == ""
    assert sources.built == []
    sources.build(ANCHORWATCH_NO_SCANNER="1")
    assert len(sources.built) == 1


def scanners_in(wheel: Path) -> list[str]:
    return [name for name in ZipFile(wheel).namelist() if Path(name).name.startswith(BUILT)]


def test_a_wheel_has_the_scanner_and_says_for_which_python_and_platform(sources: Sources) -> None:
    wheel, _ = sources.wheel()
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    assert wheel.name.startswith(f"anchorwatch-0.1.0-{python}-{python}-")
    assert not wheel.name.endswith("-any.whl")
    [scanner] = scanners_in(wheel)
    assert Path(scanner).parent == PLACE
    assert sources.built == []


@pytest.mark.parametrize(
    ("environment", "is_told"),
    [({"ANCHORWATCH_NO_SCANNER": "1"}, False), ({"CC": "false"}, True)],
    ids=["not wanted", "the compiler fails"],
)
def test_without_the_scanner_a_wheel_is_for_every_platform(
    sources: Sources, environment: dict[str, str], is_told: bool
) -> None:
    wheel, said = sources.wheel(**environment)
    assert wheel.name == "anchorwatch-0.1.0-py3-none-any.whl"
    assert scanners_in(wheel) == []
    assert ("spans will be read in Python" in said) is is_told


def test_an_editable_installation_builds_it_beside_its_source(sources: Sources) -> None:
    wheel, _ = sources.wheel("editable")
    assert wheel.name == "anchorwatch-0.1.0-py3-none-any.whl"
    assert len(sources.built) == 1
    sources.wheel("editable")
    assert sources.calls == 1


def test_a_source_distribution_holds_all_that_the_scanner_is_built_of(sources: Sources) -> None:
    sources.build()
    packed, _ = sources.wheel("sdist")
    shutil.unpack_archive(packed, sources.root / "unpacked")
    [unpacked] = (sources.root / "unpacked").iterdir()
    assert (unpacked / "hatch_build.py").is_file()
    assert {one.name for one in (unpacked / PLACE).iterdir()} == set(SOURCES)
