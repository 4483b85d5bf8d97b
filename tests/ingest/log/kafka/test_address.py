import pytest

from ingest.log.kafka.address import KafkaAddress


def test_an_address_names_brokers_topic_and_partitions():
    """Several brokers are told to the client as they stand; the number of partitions has a default."""
    assert KafkaAddress.parse("kafka://a:1,b.c:2/t-1?partitions=8") == KafkaAddress("a:1,b.c:2", "t-1", 8)
    assert KafkaAddress.parse("kafka://[::1]:9092/t") == KafkaAddress("[::1]:9092", "t", 4)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("kafka://host/t", "names no brokers"),
        ("http://host:1/t", "names no brokers"),
        ("kafka:///t", "names no brokers"),
        ("kafka://a:1,/t", "names no brokers"),
        ("kafka://a:1", "no name of a topic"),
        ("kafka://a:1/t/u", "no name of a topic"),
        ("kafka://a:1/..", "no name of a topic"),
        ("kafka://a:1/t?partitions=0", "partitions='0' must be"),
        ("kafka://a:1/t?partitions=many", "partitions='many' must be"),
        ("kafka://a:1/t?acks=1", "'acks' is not known"),
    ],
)
def test_a_wrong_address_says_what_is_wrong(url, said):
    """And how to write it."""
    with pytest.raises(ValueError, match=said):
        KafkaAddress.parse(url)
