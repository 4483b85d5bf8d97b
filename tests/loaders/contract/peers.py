"""The systems that the contract is tried against, and what each of them cannot show."""

PEERS = (
    "postgres",
    "mariadb",
)

EXEMPT: dict[tuple[str, str], str] = {
    # ("NAME", "test_…"): "why, and where it is shown instead",
}
