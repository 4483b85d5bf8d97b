from metering.store.client import Store
from metering.store.keys import KEY_HASH_SQL, Share, key_hash
from metering.world import Mode, World


def test_the_store_hashes_a_key_as_we_do(store: Store):
    """A deletion buries keys by the store's own hash, which must be the one the look-up asks for."""
    for record_id in ("485", "", "r\u00e9\u6f22\U0001f600'\\\t", "x" * 255, "a" * 17):
        rows = store.select(
            f"SELECT {KEY_HASH_SQL} FROM (SELECT {{account:String}} AS account_id, "
            "CAST('prod', 'Enum8(\\'test\\' = 0, \\'prod\\' = 1)') AS mode, "
            "toLowCardinality('api call') AS event_type, {record:String} AS record_id)",
            {"account": "acc_1", "record": record_id},
        )
        assert rows == [(key_hash(World("acc_1", Mode.PROD), "api call", record_id),)]


def test_every_key_is_in_one_share():
    """The shares of a log's partitions divide the keys among them."""
    shares = [Share(index, 3) for index in range(3)]
    for record_id in map(str, range(50)):
        assert sum(share.holds(key_hash(World("a", Mode.TEST), "call", record_id)) for share in shares) == 1
