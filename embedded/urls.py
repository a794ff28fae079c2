"""The URL of the broker, in the form each client reads.

redis-py wants a Unix socket as `unix:///path?db=0`; kombu (so Celery and Flower) wants
`redis+socket:///path?virtual_host=0`. REDIS_URL is the former, because it is what people know.
"""

from urllib.parse import parse_qsl, urlencode, urlsplit


def broker_url(redis_url: str) -> str:
    """REDIS_URL as Celery wants it: Unix sockets are rewritten, everything else stays as it is."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    query = dict(parse_qsl(parts.query))
    query["virtual_host"] = query.pop("db", "0")
    return f"redis+socket://{parts.netloc}{parts.path}?{urlencode(query)}"
