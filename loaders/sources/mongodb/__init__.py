"""MongoDB as a source."""

from loaders.sources.mongodb.source import open_source

__all__ = ["open_source"]
