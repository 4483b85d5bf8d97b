"""From an HTTP request, a CSV file or a loader's row to a stored version."""
