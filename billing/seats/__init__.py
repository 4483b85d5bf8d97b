"""Connected seats: counts that are read from an aggregator and written into the timeline of a subscription."""
