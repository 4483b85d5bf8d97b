"""The HTTP plumbing that every service shares: routes, calls, errors, JSON, paging."""
