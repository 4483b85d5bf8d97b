"""Where events rest: ClickHouse, or chDB in this process, through one client and one SQL dialect."""
