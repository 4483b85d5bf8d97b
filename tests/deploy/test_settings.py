import pytest

from deploy.settings import SettingError, read_log_security, read_settings
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
