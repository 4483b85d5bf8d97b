"""What MySQL is told and MariaDB is not: of MySQL there is no package to run."""

from loaders.limits import SourceLimits
from loaders.sources.mysql_link import session

LIMITS = SourceLimits(statement_s_max=2.5)


def test_each_is_told_its_limit_of_time_in_its_own_words():
    """MariaDB in seconds, MySQL in milliseconds."""
    mariadb = session("10.11.19-MariaDB-0+deb12u1", "", LIMITS)
    mysql = session("8.4.3", "", LIMITS)
    assert "SET SESSION max_statement_time = 10.000" in mariadb
    assert "SET SESSION max_execution_time = 10000" in mysql
    assert not any("max_execution_time" in one for one in mariadb)
    assert not any("max_statement_time" in one for one in mysql)


def test_modes_with_other_quotes_are_taken_away_and_no_others():
    """Those by which a string could end where the guard saw no end."""
    modes = "ONLY_FULL_GROUP_BY,ANSI_QUOTES,STRICT_TRANS_TABLES,NO_BACKSLASH_ESCAPES"
    assert "SET SESSION sql_mode = 'ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES'" in session("8.4.3", modes, LIMITS)
