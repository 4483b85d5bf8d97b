"""MariaDB from its package."""

from loaders.provider import Address, Provider
from tests.loaders.contract.peer import Type
from tests.peers.mariadb.server import MariaDb

PASSWORD = "r1ght-passw0rd"
TYPES = {
    Type.INTEGER: "BIGINT",
    Type.DECIMAL: "DECIMAL(29, 9)",
    Type.FLOAT: "DOUBLE",
    Type.TEXT: "LONGTEXT COLLATE utf8mb4_bin",
    Type.BOOLEAN: "BOOLEAN",
    Type.INSTANT: "TIMESTAMP(6) NULL",
    Type.DATE: "DATE",
}


class Peer:
    """One server, one database, and a user that may read its tables."""

    def __init__(self):
        self.server = MariaDb()

    def __enter__(self):
        self.server.__enter__()
        self.database = self.server.database()
        self.server.run(
            f"CREATE USER reader@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
            f"GRANT SELECT ON `{self.database}`.* TO reader@'127.0.0.1'",
            "CREATE USER writer@'127.0.0.1'",
            f"GRANT SELECT, INSERT ON `{self.database}`.* TO writer@'127.0.0.1'",
        )
        return self

    def __exit__(self, *_):
        self.server.__exit__()

    def address(self):
        return Address(Provider.MYSQL, self.server.url(self.database, "reader", PASSWORD))

    def wrong_password(self):
        return Address(Provider.MYSQL, self.server.url(self.database, "reader", "wr0ng-passw0rd"))

    def privileged(self):
        return Address(Provider.MYSQL, self.server.url(self.database, "writer"))

    def load(self, table, columns, rows):
        typed = ", ".join(f"`{name}` {TYPES[kind]}" for name, kind in columns.items())
        marks = ", ".join(["%s"] * len(columns))
        with self.server.connect(self.database) as connection, connection.cursor() as cursor:
            cursor.execute("SET time_zone = '+00:00'")
            cursor.execute(f"DROP TABLE IF EXISTS `{table}`")
            cursor.execute(f"CREATE TABLE `{table}` ({typed})")
            cursor.executemany(f"INSERT INTO `{table}` VALUES ({marks})", rows)

    def query(self, table, columns, where=None):
        wanted = ", ".join(f"`{name}`" for name in columns)
        condition = f" WHERE `{where.column}` {where.operator} {{{{{where.parameter}}}}}" if where else ""
        return f"SELECT {wanted} FROM `{table}`{condition} ORDER BY id"

    def numbered(self, rows):
        return (
            "SELECT seq AS id, CONCAT('customer ', seq % 100) AS `customerId`,"
            " TIMESTAMP '2026-01-01 00:00:00' + INTERVAL seq SECOND AS timestamp, seq * 0.25 AS amount"
            f" FROM seq_1_to_{rows}"
        )

    def slow(self):
        return "SELECT COUNT(*) AS id FROM seq_1_to_100000 AS a JOIN seq_1_to_1000000 AS b ON a.seq + b.seq < 0"

    def running(self):
        asked = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'reader' AND command <> 'Sleep'"
        return self.server.run(asked)[0][0]

    def kill(self):
        self.server.kill()

    def start(self):
        self.server.start()
