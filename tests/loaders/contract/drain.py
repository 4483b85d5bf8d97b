"""Read queries one after the other; print, for each, its rows and the most memory this process ever held (bytes)."""

import gc
import json
import resource
import sys

from loaders.hosts import HostPolicy
from loaders.limits import SourceLimits
from loaders.opening import open_source
from loaders.provider import Address, Provider


def main():
    asked = json.load(sys.stdin)
    address = Address(Provider(asked["provider"]), asked["url"], asked["credentials"])
    source = open_source(address, HostPolicy(), SourceLimits())
    seen = []
    for query in asked["queries"]:
        rows = sum(page.rows for page in source.pages(query, {}, page_rows_max=5000))
        gc.collect()
        seen.append((rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
    source.close()
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
