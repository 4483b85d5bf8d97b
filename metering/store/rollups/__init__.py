"""Usage that is asked for again and again, kept per quarter of an hour: quick, and exactly what the events say."""
