import pytest

from deploy.settings import SettingError, read_log_security, read_settings
from deploy.trace_settings import SAMPLERS, TraceSettings
from metering.http.rate_limits import RateLimits


def test_rate_limits_are_off_until_asked_for():
    """Numbers alone do not switch them on."""
    assert read_settings({}).rate_limits is None
    assert read_settings({"METERLINE_RATE_READS": "7"}).rate_limits is None
    assert read_settings({"METERLINE_RATE_LIMITS": "1"}).rate_limits == RateLimits(1000, 200, 50, 10)
    asked = {"METERLINE_RATE_LIMITS": "1", "METERLINE_RATE_READS": "7", "METERLINE_RATE_WINDOW_S": "60"}
    assert read_settings(asked).rate_limits == RateLimits(1000, 7, 50, 60)


@pytest.mark.parametrize(
    ("name", "value"),
    [("METERLINE_RATE_LIMITS", "yes"), ("METERLINE_RATE_INGEST", "0"), ("METERLINE_RATE_WINDOW_S", "1.5")],
)
def test_a_number_that_is_none_is_told_with_its_range(name, value):
    """The variable, what it says and what it may say."""
    with pytest.raises(SettingError, match=rf"{name}='{value}' must be a whole number from \d to \d+"):
        read_settings({name: value})


SASL = {"METERLINE_LOG_SASL_USERNAME": "u", "METERLINE_LOG_SASL_PASSWORD": "hush"}


def test_what_secures_kafka_is_read_and_never_shown():
    """A password means SCRAM unless another mechanism is named; a file of authorities means TLS."""
    assert read_log_security({}).settings() == {"security.protocol": "plaintext"}
    found = read_log_security({**SASL, "METERLINE_LOG_TLS_CA": __file__})
    assert (found.tls, found.mechanism, found.ca) == (True, "SCRAM-SHA-512", __file__)
    assert found.settings()["security.protocol"] == "sasl_ssl"
    assert found.settings()["sasl.password"] == "hush"
    assert "hush" not in repr(found)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"METERLINE_LOG_SASL_USERNAME": "u"}, "_PASSWORD belong together"),
        ({**SASL, "METERLINE_LOG_SASL_MECHANISM": "PLAIN"}, "set METERLINE_LOG_TLS=1"),
        ({**SASL, "METERLINE_LOG_SASL_MECHANISM": "GSSAPI"}, "must be one of SCRAM-SHA-512"),
        ({"METERLINE_LOG_SASL_MECHANISM": "PLAIN"}, "needs METERLINE_LOG_SASL_USERNAME"),
        ({"METERLINE_LOG_TLS_CA": "/nowhere"}, "'/nowhere' is no file that can be read"),
        ({"METERLINE_LOG_TLS_KEY": __file__}, "belong together"),
        ({"METERLINE_LOG_TLS": "0", "METERLINE_LOG_TLS_CA": __file__}, "unset one of them"),
    ],
)
def test_settings_that_do_not_go_together_are_told_by_name(environment, said):
    """Also by the start, before anything runs, and without the password."""
    with pytest.raises(SettingError, match=said) as told:
        read_settings({"METERLINE_LOG_URL": "kafka://a:1/t", **environment})
    assert "hush" not in str(told.value)


def test_the_log_is_archived_beside_it_unless_told_otherwise(tmp_path):
    """Where and whether; a folder that is in use already is refused."""
    data = str(tmp_path / "data")
    usual = read_settings({"METERLINE_DATA_DIR": data})
    assert (usual.log_keep, usual.log_archive_dir) == ("archive", tmp_path / "data" / "log-archive")
    told = read_settings({"METERLINE_LOG_KEEP": "none", "METERLINE_LOG_ARCHIVE_DIR": str(tmp_path / "old")})
    assert (told.log_keep, told.log_archive_dir) == ("none", tmp_path / "old")
    with pytest.raises(SettingError, match="METERLINE_LOG_KEEP='some' must be one of archive, all, none"):
        read_settings({"METERLINE_LOG_KEEP": "some"})
    with pytest.raises(SettingError, match="METERLINE_LOG_ARCHIVE_DIR"):
        read_settings({"METERLINE_DATA_DIR": data, "METERLINE_LOG_ARCHIVE_DIR": f"{data}/log"})


def test_traces_are_off_until_a_collector_is_named():
    """And off again when told so."""
    assert read_settings({}).traces is None
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"}
    assert read_settings(named).traces == TraceSettings("http://collector:4318/v1/traces")
    own = {**named, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://other/path", "OTEL_SERVICE_NAME": "usage"}
    assert read_settings(own).traces == TraceSettings("https://other/path", "usage")
    assert read_settings({**named, "OTEL_SDK_DISABLED": "True"}).traces is None
    assert read_settings({**named, "OTEL_TRACES_EXPORTER": "none"}).traces is None


@pytest.mark.parametrize("name", SAMPLERS)
def test_each_standard_sampler_is_one(name):
    """With its share."""
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_TRACES_SAMPLER": name}
    traces = read_settings({**environment, "OTEL_TRACES_SAMPLER_ARG": "0.25"}).traces
    description = traces.sampler().get_description().lower()
    assert ("0.25" in description) == ("ratio" in name)
    assert description.startswith("parentbased") == name.startswith("parentbased")
    assert ("alwayson" in description.split(",")[0]) == name.endswith("always_on")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
    ],
)
def test_a_trace_setting_that_is_none_is_told(name, value):
    """By its name and value."""
    with pytest.raises(SettingError, match=f"{name}={value!r}"):
        read_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", name: value})


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://meterline:p%40ss@db:5432/meterline",
        "postgres://meterline:p%40ss@db/meterline?sslmode=verify-full",
        "postgresql:///meterline?host=/run/postgresql",
        "sqlite:////srv/registry.db",
    ],
)
def test_the_registry_may_be_postgresql(url):
    """A server, its socket, or a file; the settings never show the URL."""
    settings = read_settings({"METERLINE_REGISTRY_URL": url})
    assert settings.registry_url == url
    assert "p%40ss" not in repr(settings)


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("postgresql://u:secret@db", "ends with the name of one database"),
        ("postgresql://u:secret@db/meterline/more", "in percent form"),
        ("postgresql://u:secret@db:port/meterline", "this is no URL: write postgresql://user:password@host:5432"),
        ("postgresql:///meterline", "names no server"),
        ("mysql://u:secret@db/meterline", "mysql:// is not known"),
        ("sqlite://", "names no file"),
        ("secret", "this is no URL"),
    ],
)
def test_a_registry_that_cannot_be_opened_is_told_without_its_password(url, line):
    """What is wrong, and how it is written."""
    with pytest.raises(SettingError, match=line) as told:
        read_settings({"METERLINE_REGISTRY_URL": url})
    assert not any(part in str(told.value) for part in ("secret@", ":secret"))


def test_rollups_are_kept_unless_turned_off():
    """On by default: nothing is kept before it is asked for."""
    assert read_settings({}).rollups
    assert not read_settings({"METERLINE_ROLLUPS": "0"}).rollups
    with pytest.raises(SettingError, match="METERLINE_ROLLUPS='off' must be a whole number from 0 to 1"):
        read_settings({"METERLINE_ROLLUPS": "off"})
