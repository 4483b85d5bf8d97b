"""Every module that declares tables in the registry's metadata; importing this one declares them all."""

from importlib import import_module

MODULES = (
    "billing.tables",
    "ingest.erasure.tables",
    "ingest.imports.tables",
    "ingest.prices.tables",
    "loaders.connections.tables",
    "loaders.dataloaders.tables",
)

for name in MODULES:
    import_module(name)
