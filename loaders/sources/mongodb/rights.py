"""What a user may do beyond reading, for the warnings of a ping."""

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.database import Database
from pymongo.errors import OperationFailure

READING_ACTIONS = frozenset(
    {
        "changeStream",
        "checkFreeMonitoringStatus",
        "collStats",
        "connPoolStats",
        "dbHash",
        "dbStats",
        "find",
        "getCmdLineOpts",
        "getLog",
        "getParameter",
        "getShardMap",
        "hostInfo",
        "indexStats",
        "inprog",
        "killCursors",
        "listCollections",
        "listDatabases",
        "listIndexes",
        "listSearchIndexes",
        "listSessions",
        "listShards",
        "netstat",
        "planCacheRead",
        "replSetGetConfig",
        "replSetGetStatus",
        "serverStatus",
        "shardingState",
        "top",
        "useUUID",
    }
)
READING_ROLES = frozenset({"read", "readAnyDatabase", "clusterMonitor"})
WRITING_ROLES = frozenset(
    {
        "__system",
        "atlasAdmin",
        "backup",
        "clusterAdmin",
        "clusterManager",
        "dbAdmin",
        "dbAdminAnyDatabase",
        "dbOwner",
        "hostManager",
        "readWrite",
        "readWriteAnyDatabase",
        "restore",
        "root",
        "userAdmin",
        "userAdminAnyDatabase",
    }
)
REMEDY = "give it a user of its own with the role read on the database alone"


def warnings_of(database: Database[Any]) -> Sequence[str]:
    """Say what the user that we come as may do that it should not."""
    try:
        status = database.command("connectionStatus", showPrivileges=True, read_preference=database.read_preference)
    except OperationFailure:
        return ()  # The server has no such command.
    told = status.get("authInfo") or {}
    users = _dicts(told.get("authenticatedUsers"))
    if not users:
        return (f"the connection has no user, so the server lets everyone read and write: {REMEDY}",)
    name = users[0].get("user")
    roles = sorted({str(role.get("role")) for role in _dicts(told.get("authenticatedUserRoles"))} & WRITING_ROLES)
    privileges = _dicts(told.get("authenticatedUserPrivileges"))
    actions = sorted(
        {str(one) for privilege in privileges for one in _listed(privilege.get("actions"))} - READING_ACTIONS
    )
    if not roles and not actions:
        return ()
    by = f" by its role {', '.join(roles)}" if roles else ""
    what = f" ({', '.join(actions[:5])}{', …' if len(actions) > 5 else ''})" if actions else ""
    return (f"the user {name} may do more than read{by}{what}: {REMEDY}",)


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def _dicts(value: Any) -> Sequence[Mapping[str, Any]]:
    return [one for one in _listed(value) if isinstance(one, dict)]
