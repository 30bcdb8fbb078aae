"""Who may send traces: a token, TLS, and certificates of senders."""

import asyncio
import base64
import contextlib
import shutil
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import httpx
import pytest
from certificates import Authority, Identity
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from pydantic import SecretStr, ValidationError
from structlog.testing import capture_logs

from canaries.clock import SystemClock
from monitor import MonitorError
from monitor.serving import Place, address, bind
from monitor.traffic.config import OtlpConfig, TlsConfig
from monitor.traffic.intake import Intake
from monitor.traffic.receiving.http_receiver import TraceReceiver
from monitor.traffic.receiving.http_server import HttpServer
from monitor.traffic.receiving.tls import renew, server_context

from .conftest import CHAT, CountingMetrics, Listening

TOKEN = "a-token-of-the-shop"
PROTOBUF = {"content-type": "application/x-protobuf"}
GUARDED = OtlpConfig(token=SecretStr(TOKEN))


def basic(user_and_password: str) -> str:
    return "Basic " + base64.b64encode(user_and_password.encode()).decode()


async def post(receiver: TraceReceiver, body: bytes, authorization: str | None) -> httpx.Response:
    headers = PROTOBUF | ({"authorization": authorization} if authorization is not None else {})
    async with Listening(receiver) as url, httpx.AsyncClient(base_url=url) as client:
        return await client.post("/v1/traces", content=body, headers=headers)


async def counted(of: Intake) -> int:
    return sum(window.calls for window in await of.windows(0, 10**10))


@pytest.fixture
def taking(database, clock, metrics: CountingMetrics) -> Intake:
    return Intake(database, clock, metrics)


@pytest.mark.parametrize(
    "authorization",
    [f"Bearer {TOKEN}", f"bearer  {TOKEN}", basic(f"public:{TOKEN}")],
    ids=["bearer", "spaced", "as Langfuse's SDKs send it"],
)
async def test_who_shows_the_token_may_send(taking, metrics, make_payload, authorization) -> None:
    answer = await post(TraceReceiver(taking, GUARDED, metrics), make_payload(), authorization)
    assert answer.status_code == 200
    assert await counted(taking) == 1


@pytest.mark.parametrize(
    ("authorization", "text"),
    [
        (None, "a token is needed here: send the header Authorization: Bearer TOKEN"),
        ("", "a token is needed here"),
        ("Bearer", "the token is not the right one"),
        ("Bearer " + TOKEN[:-1], "the token is not the right one"),
        ("Bearer " + TOKEN + "x", "the token is not the right one"),
        ("Bearer \xfc", "the token is not the right one"),
        (TOKEN, "the header Authorization holds no token"),
        (f"Digest {TOKEN}", "the header Authorization holds no token"),
        (basic(TOKEN), "the header Authorization holds no token"),
        (basic(f"{TOKEN}:public"), "the token is not the right one"),
        ("Basic !", "the header Authorization holds no token"),
    ],
    ids=repr,
)
async def test_who_does_not_show_it_is_told_why_and_nothing_is_kept(
    taking, metrics, make_payload, authorization, text
) -> None:
    receiver = TraceReceiver(taking, GUARDED, metrics)
    raw = authorization.encode("latin-1") if authorization is not None else None
    with capture_logs() as log:
        answer = await post(receiver, make_payload(), raw)  # type: ignore[arg-type]
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "retry-after" not in answer.headers
    message = Status.FromString(answer.content)
    assert (message.code, text in message.message) == (16, True)
    assert [entry["what"] for entry in log] == ["Traces were refused: a sender has not shown the token."]
    assert metrics.requests == {401: 1}
    assert await counted(taking) == 0
    for secret in filter(None, (TOKEN, authorization)):
        assert secret not in message.message + str(log)


async def test_without_a_token_everybody_may_send(taking, metrics, make_payload) -> None:
    answer = await post(TraceReceiver(taking, OtlpConfig(), metrics), make_payload(), "Bearer whatever")
    assert answer.status_code == 200


@pytest.mark.parametrize("token", ["", "two words", "line\n", "naïve", None], ids=repr)
def test_a_token_that_no_header_can_hold_is_refused(token) -> None:
    with pytest.raises(ValidationError) as refused:
        OtlpConfig(token=token)
    assert "input_value" not in str(refused.value)


# --- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Identity:
    return authority.issue("anchorwatch")


Trust = Callable[[Identity | None], ssl.SSLContext]


@pytest.fixture
def trusting(authority: Authority) -> Trust:
    """What a sender trusts, and with which certificate it comes."""

    def context(identity: Identity | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=authority.certificate)
        if identity:
            context.load_cert_chain(identity.certificate, identity.key)
        return context

    return context


@contextlib.asynccontextmanager
async def listening(intake: Intake, metrics: CountingMetrics, config: OtlpConfig) -> AsyncIterator[str]:
    """The receiver as the daemon runs it."""
    listener = bind("127.0.0.1", 0, Place("a test", "--otlp-http-port", "otlp"))
    assert config.tls
    serving = HttpServer(TraceReceiver(intake, config, metrics), server_context(config.tls, Path()))
    task = asyncio.create_task(serving.serve(listener))
    try:
        yield address(listener, "https")
    finally:
        serving.stop()
        await task
        listener.close()


def traced(exporter: OTLPSpanExporter) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("app").start_as_current_span("chat", attributes=CHAT):
        pass
    provider.shutdown()


async def test_the_official_exporter_sends_over_tls_with_a_certificate_and_the_token(
    database, metrics, authority, ours, monkeypatch
) -> None:
    for name in (
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
    ):  # the exporter's HTTP library would follow these instead
        monkeypatch.delenv(name, raising=False)
    shop = authority.issue("shop")
    tls = TlsConfig(certificate=ours.certificate, key=ours.key, client_ca=authority.certificate)
    config = OtlpConfig(token=SecretStr(TOKEN), tls=tls)
    taking = Intake(database, SystemClock(), metrics)
    async with listening(taking, metrics, config) as url:
        for token, status in ((TOKEN, 200), ("another", 401)):
            exporter = OTLPSpanExporter(
                f"{url}/v1/traces",
                headers={"Authorization": f"Bearer {token}"},
                certificate_file=str(authority.certificate),
                client_certificate_file=str(shop.certificate),
                client_key_file=str(shop.key),
            )
            await asyncio.to_thread(traced, exporter)
            assert metrics.requests[status] == 1
    assert await counted(taking) == 1


async def test_a_large_body_without_the_token_is_still_told_why(taking, metrics, authority, ours, trusting):
    config = OtlpConfig(token=SecretStr(TOKEN), tls=TlsConfig(certificate=ours.certificate, key=ours.key))
    async with (
        listening(taking, metrics, config) as url,
        httpx.AsyncClient(base_url=url, verify=trusting()) as client,
    ):
        answer = await client.post("/v1/traces", content=bytes(6_000_000), headers=PROTOBUF)
    assert answer.status_code == 401


@pytest.fixture
def strangers(tmp_path: Path) -> Mapping[str, Identity | None]:
    return {"none": None, "of another authority": Authority(tmp_path, "other").issue("stranger")}


@pytest.mark.parametrize("who", ["none", "of another authority"])
async def test_who_has_no_certificate_of_the_authority_is_not_let_in(
    taking, metrics, authority, ours, trusting, strangers, make_payload, who
) -> None:
    tls = TlsConfig(certificate=ours.certificate, key=ours.key, client_ca=authority.certificate)
    async with listening(taking, metrics, OtlpConfig(tls=tls)) as url:
        async with httpx.AsyncClient(base_url=url, verify=trusting(strangers[who])) as client:
            with pytest.raises(httpx.TransportError):
                await client.post("/v1/traces", content=make_payload(), headers=PROTOBUF)
        async with httpx.AsyncClient(base_url=url, verify=trusting(authority.issue("friend"))) as client:
            answer = await client.post("/v1/traces", content=make_payload(), headers=PROTOBUF)
    assert answer.status_code == 200
    assert metrics.requests == {200: 1}


async def test_plain_http_and_old_tls_get_no_answer_from_a_port_with_tls(
    taking, metrics, ours, trusting
) -> None:
    tls = TlsConfig(certificate=ours.certificate, key=ours.key)
    old = trusting()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with listening(taking, metrics, OtlpConfig(tls=tls)) as url:
        for odd_url, context in ((url.replace("https", "http"), trusting()), (url, old)):
            async with httpx.AsyncClient(verify=context) as client:
                with pytest.raises(httpx.TransportError):
                    await client.post(f"{odd_url}/v1/traces", content=b"", headers=PROTOBUF)
    assert not metrics.requests


async def test_a_renewed_certificate_is_shown_without_a_restart(ours, authority, trusting, tmp_path) -> None:
    tls = TlsConfig(certificate=Path("tls.crt"), key=Path("tls.key"))
    shutil.copy(ours.certificate, tmp_path / "tls.crt")
    shutil.copy(ours.key, tmp_path / "tls.key")
    context = server_context(tls, tmp_path)

    async def shown() -> bytes:
        listening = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
        port = listening.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting())
        certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        listening.close()
        return certificate

    before = await shown()
    renewed = authority.issue("renewed")
    shutil.copy(renewed.key, tmp_path / "tls.key")
    with pytest.raises(MonitorError, match="is not the key of"):  # half of it is there: the last one goes on
        renew(context, tls, tmp_path)
    assert await shown() == before
    shutil.copy(renewed.certificate, tmp_path / "tls.crt")
    renew(context, tls, tmp_path)
    assert await shown() == ssl.PEM_cert_to_DER_cert(renewed.certificate.read_text()) != before


def test_paths_start_at_the_folder_of_the_configuration(ours: Identity, tmp_path: Path) -> None:
    shutil.copy(ours.certificate, tmp_path / "tls.crt")
    shutil.copy(ours.key, tmp_path / "tls.key")
    server_context(TlsConfig(certificate=Path("tls.crt"), key=Path("tls.key")), tmp_path)
