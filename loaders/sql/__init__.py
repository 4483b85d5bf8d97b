"""Users' SQL: whether it only reads, and where its parameters stand."""
