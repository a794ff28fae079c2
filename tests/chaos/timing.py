"""The times of the suite, in seconds: short, so that hundreds of faults take minutes.

What the suite measures is told as it would be with the product's own settings, too: recovery from a
death waits for the lease, recovery of a lost message for the time until it is published again.
"""

#: What the processes of the suite are started with.
ENVIRONMENT = {
    "JOBS_LEASE_SECONDS": "5",
    "JOBS_HEARTBEAT_SECONDS": "1",
    "JOBS_STAGER_SECONDS": "0.25",
    "JOBS_REPUBLISH_SECONDS": "2",
    "JOBS_BACKOFF_SCALE": "0.02",
    "JOBS_SHUTDOWN_SECONDS": "5",
    # The gates are asked, and let pass what the suite does in a minute.
    "JOBS_LIMITS": "email/rate=1000,email/rate/to=off,notifications/rate/tenant=1000",
}
LEASE, REPUBLISH, BACKOFF_SCALE, SHUTDOWN = (
    float(ENVIRONMENT[f"JOBS_{name}"])
    for name in ("LEASE_SECONDS", "REPUBLISH_SECONDS", "BACKOFF_SCALE", "SHUTDOWN_SECONDS")
)
#: What an attempt may take, and its lease beyond that.
SOFT_LIMIT, HARD_LIMIT, LEASE_MARGIN = 8.0, 10.0, 1.0
#: A worker that is told to stop has ended after this at the latest: its keeper is not killed.
STOPPED_WITHIN = SHUTDOWN + 9

#: The product's own settings, and what it promises with them.
DEFAULT_LEASE, DEFAULT_REPUBLISH = 30.0, 10.0
RUNS_AGAIN_WITHIN, MADE_GOOD_WITHIN = 45.0, 30.0
