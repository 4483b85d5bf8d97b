"""A process that starts on the registry whose URL it reads, as others do in the same moment, and tells what it made."""

import json
import sys
from datetime import UTC, datetime

from metering.registry.accounts import ensure_account
from metering.registry.customers import ensure_customers
from metering.registry.engine import Registry
from metering.registry.lanes import open_lane
from metering.registry.migrate import migrate
from metering.world import Mode, World

print("ready", flush=True)
registry = Registry(sys.stdin.read())
now = datetime.now(UTC)
migrate(registry)
with registry.writing() as connection:
    account, created = ensure_account(connection, "default", now)
made = 0
for number in range(20):
    with registry.writing(account.id) as connection:
        made += ensure_customers(connection, World(account.id, Mode.TEST), [f"customer {number}"], now)
lanes = []
for partition in range(4):
    with registry.writing() as connection:
        lanes.append(open_lane(connection, "log", partition, now))
registry.close()
print(json.dumps({"created": created, "made": made, "lanes": lanes}))
