"""The systems that the contract is tried against, and what each of them cannot show."""

PEERS = (
    "postgres",
    "mariadb",
    "mongodb",
    "bigquery",
    "snowflake",
)

EXEMPT: dict[tuple[str, str], str] = {
    # ("NAME", "test_…"): "why, and where it is shown instead",
    **{
        ("mongodb", test): reason
        for reason, tests in {
            "dates have milliseconds, and no kind of value is a day: mongodb/test_documents.py": (
                "test_every_type_keeps_its_value",
                "test_a_parameter_of_each_kind_compares_as_its_column_does",
            ),
            "a document that lacks a field is none that is wrong: mongodb/test_source.py": (
                "test_a_missing_column_is_told_by_its_name",
            ),
            "the stand-in works on to the end of what it began: mongodb/test_wire.py, against a double": (
                "test_a_cancelled_query_says_so_and_the_source_can_be_used_again",
                "test_a_slow_query_meets_its_limit",
            ),
            "the stand-in has no users: mongodb/test_wire.py, and against FerretDB test_ferretdb.py": (
                "test_a_wrong_password_is_denied_and_told_without_it",
                "test_a_reader_is_not_warned_of_and_a_writer_is",
            ),
        }.items()
        for test in tests
    },
}
