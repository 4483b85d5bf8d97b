"""From a line of an open invoice to the events that it was made from, to the unit."""
