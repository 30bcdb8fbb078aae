"""Files for TLS that cannot be used are told with their place, all at once, before anything starts."""

from pathlib import Path

import pytest
from certificates import Authority, openssl

from monitor import MonitorError
from monitor.config import ConfigError, load
from monitor.traffic.config import TlsConfig
from monitor.traffic.receiving.tls import server_context

CONFIG = """\
otlp:
  token: ${{OTLP_TOKEN}}
  tls:
    certificate: {certificate}
    key: {key}
    client_ca: {client_ca}
"""
ENV = {"OTLP_TOKEN": "a-token-of-the-shop"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good and bad files."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder, "ca")
    ours = authority.issue("ours")
    authority.issue("other")
    openssl("ec", "-in", ours.key, "-aes256", "-passout", "pass:secret", "-out", folder / "locked.key")
    openssl("x509", "-in", ours.certificate, "-outform", "DER", "-out", folder / "binary.crt")
    (folder / "words.txt").write_text("words")
    (folder / "folder").mkdir()
    return folder


def problems(folder: Path, **files: str) -> list[str]:
    files = {"certificate": "ours.crt", "key": "ours.key", "client_ca": "ca.crt"} | files
    path = folder / "anchorwatch.yaml"
    path.write_text(CONFIG.format(**files))
    try:
        load(path, ENV)
    except ConfigError as error:
        return [str(problem).replace(f"{folder}/", "") for problem in error.problems]
    return []


def test_files_that_fit_together_are_no_problem(folder: Path) -> None:
    assert problems(folder) == []


AT = {"certificate": "4:5", "key": "5:5", "client_ca": "6:5"}


@pytest.mark.parametrize(
    ("setting", "file", "told"),
    [
        ("certificate", "nowhere.crt", "there is no file nowhere.crt"),
        ("certificate", "folder", "folder cannot be read: Is a directory"),
        ("certificate", "words.txt", "words.txt holds no certificate in PEM form"),
        ("certificate", "binary.crt", "binary.crt holds no certificate in PEM form"),
        ("certificate", "other.crt", "ours.key is not the key of other.crt"),
        ("key", "nowhere.key", "there is no file nowhere.key"),
        ("key", "other.key", "other.key is not the key of ours.crt"),
        ("key", "ours.crt", "ours.crt holds no private key in PEM form"),
        ("key", "locked.key", "locked.key is locked by a passphrase: nobody is there to type it at a start"),
        ("client_ca", "nowhere.crt", "there is no file nowhere.crt"),
        ("client_ca", "ours.key", "ours.key holds no certificate in PEM form"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_place(folder, setting, file, told) -> None:
    place = "key" if "not the key" in told else setting
    assert problems(folder, **{setting: file}) == [f"anchorwatch.yaml:{AT[place]}  otlp.tls.{place}: {told}"]


def test_all_of_them_are_told_at_once(folder: Path) -> None:
    found = problems(folder, certificate="words.txt", key="nowhere.key", client_ca="words.txt")
    assert len(found) == 3


def test_a_section_that_is_wrong_itself_is_one_problem(folder: Path) -> None:
    path = folder / "anchorwatch.yaml"
    path.write_text("otlp: {tls: {certificate: nowhere.crt, kee: nowhere.key}}\n")
    with pytest.raises(ConfigError) as refused:
        load(path, {})
    (problem,) = refused.value.problems
    assert 'did you mean "key"' in str(problem)


@pytest.mark.parametrize("line", ["token:", "tls:"])
def test_a_line_that_is_left_empty_does_not_open_the_door(folder: Path, line) -> None:
    path = folder / "anchorwatch.yaml"
    path.write_text(f"otlp:\n  {line}\n")
    with pytest.raises(ConfigError, match="is left empty; without the line everybody may send"):
        load(path, {})


def test_a_file_that_went_bad_after_the_check_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    tls = TlsConfig(certificate=folder / "ours.crt", key=tmp_path / "gone.key")
    with pytest.raises(MonitorError, match=r"^otlp\.tls\.key: there is no file .*gone\.key$"):
        server_context(tls, tmp_path)


@pytest.mark.parametrize("setting", ["max_body_bytes", "max_decompressed_bytes"])
def test_a_bound_that_one_request_may_not_keep_is_refused(folder: Path, setting: str) -> None:
    path = folder / "anchorwatch.yaml"
    path.write_text(f"otlp: {{{setting}: 20000000, max_in_flight_bytes: 20000000}}\n")
    assert load(path, {}).config.otlp.max_in_flight_bytes == 20_000_000
    path.write_text(f"otlp: {{{setting}: 20000001, max_in_flight_bytes: 20000000}}\n")
    with pytest.raises(ConfigError, match="one request may have 20,000,001"):
        load(path, {})
