"""Usage that already sits in someone's database: one source per system, one runner."""
