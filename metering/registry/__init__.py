"""Accounts, keys, customers, aggregators and lanes, in SQLite or PostgreSQL through SQLAlchemy Core."""
