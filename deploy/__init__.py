"""How it runs: the command line, the all-in-one composition, the pages. Nothing imports this package."""
