"""The chart under both major versions of the real Helm, and against the schemas of real Kubernetes versions."""

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from real_parts import ROOT, helm

from monitor.config import load

CHART = ROOT / "helm" / "anchorwatch"
EXAMPLE = CHART / "ci" / "example-values.yaml"
KUBERNETES = {"oldest": "1.29.0", "newest": "1.37.0"}

pytestmark = pytest.mark.real

Objects = Mapping[str, Mapping[str, Any]]
Helm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(params=[3, 4], ids=["helm3", "helm4"])
def run_helm(request: pytest.FixtureRequest, tmp_path: Path) -> Helm:
    binary = helm(request.param)
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([binary, *arguments], capture_output=True, text=True, env=env, timeout=60)

    return run


@pytest.fixture
def render(run_helm: Helm, tmp_path: Path) -> Callable[..., Objects]:
    def render(values: Mapping[str, Any] | None = None, *, example: bool = True) -> Objects:
        """The objects by kind and name, from the example with some values changed."""
        changed = tmp_path / "changed.yaml"
        changed.write_text(yaml.safe_dump(dict(values or {})))
        files = ["--values", EXAMPLE] if example else []
        done = run_helm("template", "watch", CHART, *files, "--values", changed, "--kube-version", "1.29.0")
        assert done.returncode == 0, done.stderr
        found = [item for item in yaml.safe_load_all(done.stdout) if item]
        return {f"{item['kind']}/{item['metadata']['name']}": item for item in found}

    return render


def pod(objects: Objects) -> Mapping[str, Any]:
    return objects["Deployment/watch-anchorwatch"]["spec"]["template"]["spec"]


@pytest.mark.parametrize("values", [[], ["--values", EXAMPLE]], ids=["defaults", "example"])
def test_the_chart_passes_the_strict_lint(run_helm: Helm, values: list[str | Path]) -> None:
    done = run_helm("lint", "--strict", CHART, *values)
    assert done.returncode == 0, done.stdout + done.stderr


EVERYTHING = {
    "image": {"repository": "registry.example.com/anchorwatch", "digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "env": [{"name": "TZ", "value": "UTC"}],
    "envFrom": [{"configMapRef": {"name": "more"}}],
    "persistence": {"storageClass": "fast", "annotations": {"backup": "yes"}},
    "service": {"type": "NodePort", "annotations": {"a": "b"}},
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "ml"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "priorityClassName": "high",
    "otlpTlsSecret": "otlp",
}


@pytest.mark.parametrize("version", KUBERNETES.values(), ids=KUBERNETES.keys())
@pytest.mark.parametrize(
    ("values", "example"),
    [
        pytest.param({}, False, id="defaults"),
        pytest.param({}, True, id="example"),
        pytest.param(EVERYTHING, True, id="everything"),
        pytest.param({"persistence": {"enabled": False}}, True, id="without-a-volume"),
    ],
)
def test_every_object_is_valid_for_the_supported_versions_of_kubernetes(
    render: Callable[..., Objects], values: Mapping[str, Any], example: bool, version: str
) -> None:
    objects = render(values, example=example)
    for name, item in objects.items():
        if not name.startswith("ServiceMonitor/"):  # not Kubernetes' own: it has a test of its own below
            kubernetes_validate.validate(item, version, strict=True)
    assert "Deployment/watch-anchorwatch" in objects


def test_one_daemon_at_a_time_owns_the_database(render: Callable[..., Objects]) -> None:
    objects = render()
    deployment = objects["Deployment/watch-anchorwatch"]["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    claim = objects["PersistentVolumeClaim/watch-anchorwatch"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_daemon_is_started_with_its_files_and_cannot_write_elsewhere(
    render: Callable[..., Objects],
) -> None:
    spec = pod(render())
    [container] = spec["containers"]
    assert [*container["command"], *container["args"]] == (
        ["anchorwatch", "run", "-c", "/etc/anchorwatch/anchorwatch.yaml", "--data", "/var/lib/anchorwatch"]
    )
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert spec["securityContext"]["runAsNonRoot"] is True
    writable = {m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")}
    assert writable == {"/var/lib/anchorwatch", "/tmp"}


def test_the_files_in_the_pod_hold_what_the_values_say(render: Callable[..., Objects]) -> None:
    objects = render()
    example = yaml.safe_load(EXAMPLE.read_text())
    config = yaml.safe_load(objects["ConfigMap/watch-anchorwatch"]["data"]["anchorwatch.yaml"])
    assert config == example["config"]
    suites = objects["ConfigMap/watch-anchorwatch-suites"]["data"]
    assert yaml.safe_load(suites["support.yaml"]) == example["suites"]["support.yaml"]
    assert suites["smoke.yaml"] == example["suites"]["smoke.yaml"]
    sources = next(v for v in pod(objects)["volumes"] if v["name"] == "config")["projected"]["sources"]
    assert {item["path"] for item in sources[1]["configMap"]["items"]} == {
        f"suites/{name}" for name in example["suites"]
    }


@pytest.mark.parametrize("example", [False, True], ids=["defaults", "example"])
def test_the_daemon_accepts_the_files_in_the_pod(
    render: Callable[..., Objects], tmp_path: Path, example: bool
) -> None:
    objects = render(example=example)
    (tmp_path / "suites").mkdir()
    for name, text in objects["ConfigMap/watch-anchorwatch-suites"]["data"].items():
        (tmp_path / "suites" / name).write_text(text)
    config = tmp_path / "anchorwatch.yaml"
    config.write_text(objects["ConfigMap/watch-anchorwatch"]["data"]["anchorwatch.yaml"])
    deployment = load(config, {"OPENAI_API_KEY": "sk-x", "SLACK_BOT_TOKEN": "xoxb-x"})
    assert set(deployment.config.targets) == ({"support-bot"} if example else set())


def test_a_suite_as_text_arrives_as_it_was_written(render: Callable[..., Objects]) -> None:
    text = "  # begins with spaces\n  canaries:\n    - {id: a, prompt: 'é ${HOME} {{ x }}'}\n\n"
    objects = render({"suites": {"odd.yaml": text}})
    assert objects["ConfigMap/watch-anchorwatch-suites"]["data"]["odd.yaml"] == text


def test_secrets_come_from_the_named_secret_only(render: Callable[..., Objects]) -> None:
    objects = render()
    [container] = pod(objects)["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "anchorwatch-secrets"}}]
    assert not any(name.startswith("Secret/") for name in objects)


def test_the_secret_for_tls_is_where_the_configuration_may_name_it(render: Callable[..., Objects]) -> None:
    spec = pod(render({"otlpTlsSecret": "otlp"}))
    [mount] = [one for one in spec["containers"][0]["volumeMounts"] if one["name"] == "otlp-tls"]
    assert (mount["mountPath"], mount["readOnly"]) == ("/etc/anchorwatch-tls", True)
    [volume] = [one for one in spec["volumes"] if one["name"] == "otlp-tls"]
    assert volume["secret"] == {"secretName": "otlp"}
    assert not [one for one in pod(render())["volumes"] if one["name"] == "otlp-tls"]


def test_a_changed_suite_starts_a_new_pod_and_the_same_values_do_not(render: Callable[..., Objects]) -> None:
    def checksum(values: Mapping[str, Any]) -> str:
        template = render(values)["Deployment/watch-anchorwatch"]["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/config"])

    assert checksum({}) == checksum({})
    assert checksum({}) != checksum({"suites": {"smoke.yaml": "canaries: []\n"}})


def test_the_service_leads_to_the_ports_that_the_configuration_names(render: Callable[..., Objects]) -> None:
    objects = render({"config": {"http": {"port": 9000}, "otlp": {"http_port": 9318, "grpc_port": 9317}}})
    [container] = pod(objects)["containers"]
    listens = {p["name"]: p["containerPort"] for p in container["ports"]}
    assert listens == {"http": 9000, "otlp-http": 9318, "otlp-grpc": 9317}
    ports = objects["Service/watch-anchorwatch"]["spec"]["ports"]
    assert {p["targetPort"]: p["port"] for p in ports} == {
        "http": 8700,
        "otlp-http": 4318,
        "otlp-grpc": 4317,
    }
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "http"


def test_no_port_for_grpc_where_it_is_off(render: Callable[..., Objects]) -> None:
    objects = render({"config": {"otlp": {"grpc_port": "off"}}})
    [container] = pod(objects)["containers"]
    ports = objects["Service/watch-anchorwatch"]["spec"]["ports"]
    assert "otlp-grpc" not in {port["name"] for port in (*container["ports"], *ports)}
    written = yaml.safe_load(objects["ConfigMap/watch-anchorwatch"]["data"]["anchorwatch.yaml"])
    assert written["otlp"]["grpc_port"] == "off"


def test_the_service_monitor_selects_the_service_and_scrapes_its_metrics(
    render: Callable[..., Objects],
) -> None:
    objects = render()
    monitor, service = objects["ServiceMonitor/watch-anchorwatch"], objects["Service/watch-anchorwatch"]
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= service["metadata"]["labels"].items()
    [endpoint] = monitor["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("http", "/metrics")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert not any(name.startswith("ServiceMonitor/") for name in render(example=False))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        pytest.param({"replicas": 2}, "replicas", id="a-value-that-does-not-exist"),
        pytest.param({"persistence": {"sise": "8Gi"}}, "sise", id="a-misspelt-key"),
        pytest.param({"image": {"repository": ""}}, "repository", id="no-image"),
        pytest.param({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy", id="an-unknown-word"),
        pytest.param({"service": {"httpPort": 70000}}, "httpPort", id="a-port-out-of-range"),
        pytest.param({"service": {"httpPort": "8700"}}, "httpPort", id="a-number-as-text"),
        pytest.param({"config": {"http": {"host": "127.0.0.1"}}}, "host", id="a-host-no-probe-can-reach"),
        pytest.param({"config": {"http": {"port": 80}}}, "port", id="a-port-only-root-may-open"),
        pytest.param({"config": {"budget": {"pages_per_quarter": 0}}}, "pages_per_quarter", id="no-budget"),
        pytest.param({"persistence": {"accessMode": "ReadWriteMany"}}, "accessMode", id="a-shared-volume"),
        pytest.param({"persistence": {"size": "lots"}}, "size", id="a-size-without-number"),
        pytest.param(
            {"suites": {"support.txt": "canaries: []"}}, "support.txt", id="a-suite-that-is-not-yaml"
        ),
        pytest.param({"suites": {"a.yaml": {"canary": []}}}, "a.yaml", id="a-suite-without-canaries"),
        pytest.param({"serviceMonitor": {"interval": "30"}}, "interval", id="a-duration-without-unit"),
    ],
)
def test_a_wrong_value_is_refused_by_name(
    run_helm: Helm, tmp_path: Path, values: Mapping[str, Any], named: str
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(dict(values)))
    done = run_helm("template", "watch", CHART, "--values", EXAMPLE, "--values", wrong)
    assert done.returncode != 0
    assert named in done.stderr


def test_a_cluster_that_is_too_old_is_refused(run_helm: Helm) -> None:
    done = run_helm("template", "watch", CHART, "--kube-version", "1.28.0")
    assert done.returncode != 0
    assert "1.29" in done.stderr


# Helm 3 asks a cluster for its version before it shows notes.
@pytest.mark.parametrize("run_helm", [4], indirect=True, ids=["helm4"])
def test_the_notes_name_the_page_and_warn_of_what_is_missing(run_helm: Helm) -> None:
    def notes(*arguments: str | Path) -> str:
        done = run_helm("install", "watch", CHART, "--dry-run=client", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.split("NOTES:")[1]

    assert "port-forward service/watch-anchorwatch 8700:8700" in notes("--values", EXAMPLE)
    assert "No target is configured" in notes()
    assert "ENDPOINT=http://watch" in notes()
    guarded = notes("--set", "config.otlp.tls.key=k,config.otlp.token=t")
    assert "ENDPOINT=https://watch" in guarded
    assert "HEADERS=authorization=Bearer%20TOKEN" in guarded
    assert ".svc:4317" in guarded
    assert "lost with the pod" in notes("--set", "persistence.enabled=false")
    assert "No target is configured" not in notes("--values", EXAMPLE)


def test_every_value_is_in_the_schema_and_in_the_readme() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    readme = (CHART / "README.md").read_text()
    assert set(values) == set(schema["properties"]) - {"global"}
    assert not [name for name in values if f"`{name}" not in readme]
