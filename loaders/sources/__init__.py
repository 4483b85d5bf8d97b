"""One module for each system that usage is pulled from: `open_source(address, policy, limits)` gives its `Source`."""
