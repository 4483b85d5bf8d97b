"""The container files say what the code does: no engine runs them here, so each name in them is held to its source."""

import inspect
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from deploy import cli, settings
from deploy.metrics import METRICS
from deploy.roles import PORTS, ROLES, check_settings
from ingest.log.kafka.address import KafkaAddress
from loaders.secrets.keys import new_key
from metering.metrics import MetricKind

ROOT = Path(__file__).parents[2]
CONTAINER = ROOT / "deploy" / "container"
DOCKERFILE = (CONTAINER / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((CONTAINER / "compose.yaml").read_text())
BOARD = json.loads((ROOT / "deploy" / "grafana" / "meterline.json").read_text())
PROMETHEUS = yaml.safe_load((CONTAINER / "prometheus" / "prometheus.yml").read_text())
ALERTS = yaml.safe_load((CONTAINER / "prometheus" / "alerts.yml").read_text())
SECRETS = {"METERLINE_INTERNAL_SECRET", "METERLINE_METRICS_TOKEN", "POSTGRES_PASSWORD", "CLICKHOUSE_PASSWORD"}


def known_series():
    """Every name that a scrape may give, with its labels."""
    found = {"up": {"job", "role", "instance"}}
    for metric in METRICS:
        histogram = metric.kind is MetricKind.HISTOGRAM
        names = [metric.name + suffix for suffix in ("_bucket", "_sum", "_count")] if histogram else [metric.name]
        for name in names:
            found[name] = {metric.label, "le", "job", "role", "instance"}
    return found


def questions():
    """Every PromQL expression, with what shows it."""
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"], re.findall(r"{{(\w+)}}", target["legendFormat"])
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"], []


def ours():
    """The services that are Meterline: name and what compose says of each."""
    return {name: service for name, service in COMPOSE["services"].items() if service.get("image") == "meterline"}


@pytest.mark.parametrize(("title", "expression", "shown"), list(questions()), ids=lambda part: str(part)[:40])
def test_every_question_names_series_and_labels_that_exist(title, expression, shown):
    """A board or an alert that asks for what nobody counts stays empty for ever, and nobody notices."""
    series = known_series()
    asked = re.findall(r"\b(?:meterline_\w+|up)\b", expression)
    assert asked, title
    assert set(asked) <= set(series), title
    labels = {label for found in re.findall(r"by \(([^)]*)\)", expression) for label in re.split(r",\s*", found)}
    labels |= set(re.findall(r"(\w+)=~?\"", expression)) | set(shown)
    assert labels <= set.intersection(*(series[name] for name in asked)), title


def test_the_board_is_provisioned_where_grafana_looks():
    """Its source is the one that is provisioned, and the folder is mounted."""
    source = yaml.safe_load((CONTAINER / "grafana" / "datasources" / "prometheus.yaml").read_text())["datasources"][0]
    assert {panel["datasource"]["uid"] for panel in BOARD["panels"]} == {source["uid"]}
    assert urlsplit(source["url"]).hostname in COMPOSE["services"]
    boards = yaml.safe_load((CONTAINER / "grafana" / "dashboards" / "boards.yaml").read_text())["providers"][0]
    mounted = dict(volume.split(":")[:2] for volume in COMPOSE["services"]["grafana"]["volumes"])
    assert mounted["../grafana"] == boards["options"]["path"]
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


def test_every_setting_in_the_files_is_one_that_is_read():
    """A name misspelt would set nothing."""
    read = set(re.findall(r"METERLINE_[A-Z_]+", Path(settings.__file__).read_text()))
    texts = [DOCKERFILE, *(path.read_text() for path in CONTAINER.rglob("*") if path.is_file())]
    named = {name for text in texts for name in re.findall(r"METERLINE_[A-Z_]+", text)}
    assert named <= read


def test_each_part_has_what_it_needs():
    """With the secrets filled in, each service's settings are those that its role starts with."""
    image = dict(re.findall(r"(METERLINE_\w+)=(\S+)", DOCKERFILE.split("COPY --from=build")[1]))
    roles = []
    for name, service in ours().items():
        (role,) = service["command"]
        roles.append(role)
        given = {key: filled(value) for key, value in service["environment"].items()}
        read = settings.read_settings({**image, **given})
        check_settings(role, read)
        assert read.host == "0.0.0.0", name
        for url in read.api_urls:
            assert COMPOSE["services"][urlsplit(url).hostname]["command"] == ["api"]
            assert urlsplit(url).port == read.port
        for server in KafkaAddress.parse(read.log_url).servers.split(","):
            assert server.partition(":")[0] in COMPOSE["services"]
        for mapping in service.get("ports", ()):
            assert mapping.split(":")[-1] == str(read.port), name
            assert mapping.startswith("127.0.0.1:"), name
    assert sorted(roles) == ["api", "consumer", "consumer", "gateway", "gateway", "loaders"]
    assert not COMPOSE["services"]["api"].get("ports")


def filled(value):
    """What compose would put there."""
    known = {**dict.fromkeys(SECRETS, "x" * 40), "METERLINE_SECRETS_KEY": new_key().text}
    return re.sub(r"\$\{(\w+)(:[-?][^}]*)?\}", lambda found: known.get(found[1], ""), str(value))


def test_prometheus_asks_every_part_where_it_answers():
    """Each service by its name and port, its role beside it, with the token."""
    (job,) = PROMETHEUS["scrape_configs"]
    port = re.search(r"METERLINE_PORT=(\d+)", DOCKERFILE)[1]
    asked = {target: entry["labels"]["role"] for entry in job["static_configs"] for target in entry["targets"]}
    assert asked == {f"{name}:{port}": service["command"][0] for name, service in ours().items()}
    assert job["authorization"]["credentials_file"] in " ".join(COMPOSE["services"]["prometheus"]["entrypoint"])


def test_no_secret_stands_in_the_files():
    """They are required from outside, and the example leaves them empty."""
    example = dict(
        line.split("=", 1) for line in (CONTAINER / "example.env").read_text().splitlines() if not line.startswith("#")
    )
    assert set(example.values()) == {""}
    text = (CONTAINER / "compose.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+)", text)) == set(example)


def test_what_the_image_is_made_of_is_there():
    """Each COPY names what is in the tree and is not kept out of the build; the image runs as nobody in particular."""
    let_in = (CONTAINER / "Dockerfile.dockerignore").read_text().splitlines()
    for source in re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE):
        assert (ROOT / source).exists(), source
        assert f"!{source}" in let_in, source
    assert "--require-hashes" in DOCKERFILE
    user = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert user == ["10001:10001"]
    stages = re.findall(r"^FROM ", DOCKERFILE, re.MULTILINE)
    assert len(stages) == 2
    assert "/healthz" in re.search(r"^HEALTHCHECK .*\\\n.*$", DOCKERFILE, re.MULTILINE)[0]


def test_roles_are_commands():
    """`docker run meterline gateway` is `meterline gateway`; and no function of the command line is left out of it."""
    commands, apps = set(), [cli.app]
    while apps:
        group = apps.pop()
        commands |= {command.callback.__name__ for command in group.registered_commands}
        apps += [inner.typer_instance for inner in group.registered_groups]
    public = {
        name for name, value in vars(cli).items() if inspect.isfunction(value) and value.__module__ == cli.__name__
    }
    assert {name for name in public if not name.startswith("_")} - {"main", "fail"} == commands
    assert set(ROLES) | {"up"} <= commands
    assert set(PORTS) == set(ROLES)
