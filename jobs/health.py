"""What the service stands on: PostgreSQL, which it needs, and Redis, which it uses."""

import time
from dataclasses import dataclass
from typing import Any

import redis
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor

#: Seconds that Redis may take to answer a question about its health.
REDIS_TIMEOUT = 1.0


@dataclass(frozen=True, kw_only=True)
class RedisHealth:
    """What Redis says about itself; only ``error`` is set when it does not answer."""

    reachable: bool
    error: str = ""
    ping_ms: float | None = None
    version: str = ""
    memory_used_bytes: int | None = None
    #: None: without limit.
    memory_limit_bytes: int | None = None
    eviction_policy: str = ""
    #: ``aof``, ``rdb``, ``aof+rdb``, ``none``; ``unknown`` where the server does not tell.
    persistence: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """Whether requests can be served."""

    database: bool
    #: Every migration has been applied; False also when the database cannot tell.
    migrated: bool
    #: Without Redis work goes on, slower: it is reported, and takes nothing out of service.
    redis: bool

    @property
    def ready(self) -> bool:
        """Whether requests can be served."""
        return self.database and self.migrated

    @property
    def status(self) -> str:
        """``ready``, ``degraded`` (no Redis) or ``unavailable``."""
        if not self.ready:
            return "unavailable"
        return "ready" if self.redis else "degraded"


def readiness() -> Readiness:
    """Ask PostgreSQL and Redis."""
    database = _database_answers()
    return Readiness(
        database=database, migrated=database and _is_migrated(), redis=redis_health().reachable
    )


def redis_health() -> RedisHealth:
    """Ask Redis how it is; answers within about :data:`REDIS_TIMEOUT`, and never raises."""
    client: Any = redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=REDIS_TIMEOUT,
        socket_connect_timeout=REDIS_TIMEOUT,
        decode_responses=True,
    )
    try:
        with client:
            began = time.perf_counter()
            client.ping()
            ping_ms = (time.perf_counter() - began) * 1000
            info: dict[str, Any] = client.info()
            persistence = _persistence(client, info)
    except (redis.RedisError, OSError) as error:
        return RedisHealth(reachable=False, error=type(error).__name__)
    policy = str(info.get("maxmemory_policy", ""))
    return RedisHealth(
        reachable=True,
        ping_ms=round(ping_ms, 3),
        version=str(info.get("valkey_version") or info.get("redis_version", "")),
        memory_used_bytes=int(info.get("used_memory", 0)),
        memory_limit_bytes=int(info.get("maxmemory", 0)) or None,
        eviction_policy=policy,
        persistence=persistence,
        warnings=tuple(_warnings(info, policy, persistence)),
    )


def _warnings(info: dict[str, Any], policy: str, persistence: str) -> list[str]:
    found = []
    if policy and policy != "noeviction":
        found.append(
            f"maxmemory-policy is {policy}: messages may vanish under memory pressure and be "
            "published again late. Set it to noeviction."
        )
    if persistence == "none":
        found.append("No persistence: after a restart every message is published again, once late.")
    if info.get("aof_last_write_status", "ok") != "ok":
        found.append("The append-only file could not be written.")
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        found.append("The last snapshot could not be written.")
    return found


def _persistence(client: Any, info: dict[str, Any]) -> str:
    kinds = ["aof"] if info.get("aof_enabled") else []
    try:
        if client.config_get("save").get("save"):
            kinds.append("rdb")
    except redis.ResponseError:  # managed servers keep their configuration to themselves
        kinds.append("unknown")
    return "+".join(kinds) or "none"


def _database_answers() -> bool:
    try:
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def _is_migrated() -> bool:
    try:
        executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
        return not executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return False
