"""One SQL statement computes, keeps and compares the scores of any number of clients.

``score = max(0, 100 - 5 * issues)``, where issues are documents that are missing (pending review
or rejected), plus documents whose latest version has expired or expires within 30 days, plus
filings not handed in after their due date. A rejected document that has also expired is two
issues: somebody must have it accepted, and somebody must renew it.
``docs/explanation/compliance-scores.md`` tells why it is one statement.

For a day that is over the same statement reads the records as they were when the day began, instead
of the tables.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any

from django.db import connection

from compliance import past
from compliance.models import Client, ClientDocument, Filing, Risk
from tenants.history import rows_at

FULL_SCORE = 100
POINTS_PER_ISSUE = 5
#: A document that expires in this many days is still "expiring"; one day later it is not.
EXPIRY_WARNING_DAYS = 30
#: The lowest score of each risk, safest first: a risk's place in it says how high it is.
LOWEST_SCORE: Mapping[Risk, int] = {Risk.LOW: 80, Risk.MEDIUM: 50, Risk.HIGH: 0}
#: How many clients an announcement names; of the others it gives the number.
NAMED_AT_MOST = 10


@dataclass(frozen=True, kw_only=True)
class Rise:
    """A client whose risk became higher than it was."""

    code: str
    name: str
    before: Risk
    risk: Risk
    score: int
    missing: int
    expiring: int
    overdue: int


@dataclass(frozen=True, kw_only=True)
class TenantScores:
    """What a refresh did for one tenant's day."""

    tenant_id: int
    day: date
    #: Active clients.
    clients: int
    #: Those whose figures became different, so that the history has a new entry.
    changed: int
    #: Those whose risk rose; a look back finds none.
    raised: int
    #: The worst of them, at most ``NAMED_AT_MOST``.
    rises: list[Rise]


# A day that is over is looked back at when the client's score is newer: the history learns of that
# day alone, so that the next day stays as it was known, and the score stays. It is newer when it is
# of a later day; than records as they were when the day began, also when it is of that day itself.
#
# Every part sees the tables as they were before the statement, so `known` is what was said last.
# Ranges are half-open: a document expires too soon before `warn_before`, a filing is late when due
# before `day`. The bound on `expires_on` over all tenants repeats what the join says, so that the
# index on it can lead: most documents expire much later, and are never looked at.
#
# Clients are joined to tables with an index on their key, never to another part of the query. The
# planner believes in few clients until it has statistics, right after an import, and would compare
# all rows of one part with all of another: minutes for ten thousand clients.
#
# In braces: a table, or what stands for it on a day that is over.
_REFRESH = """
WITH asked AS (
    SELECT tenant_id, day, today, instant, day + %(warned_for)s AS warn_before
    FROM unnest(%(tenant_ids)s::bigint[], %(days)s::date[], %(todays)s::date[],
                %(instants)s::timestamptz[])
        AS asked (tenant_id, day, today, instant)
),
issues (client_id, tenant_id, day, today, missing, expiring, overdue) AS (
    SELECT client.id, tenant_id, day, today, 0, 0, 0
    FROM asked JOIN {client} AS client USING (tenant_id)
    WHERE client.is_active
  UNION ALL
    SELECT client.id, tenant_id, day, today, 1, 0, 0
    FROM asked JOIN {client} AS client USING (tenant_id)
    JOIN {document} AS document ON document.client_id = client.id
    WHERE client.is_active AND document.status = ANY(%(missing)s::text[])
  UNION ALL
    SELECT client.id, tenant_id, day, today, 0, 1, 0
    FROM asked JOIN {client} AS client USING (tenant_id)
    JOIN {document} AS document ON document.client_id = client.id
    JOIN {version} AS version ON version.document_id = document.id
    WHERE client.is_active
      AND version.expires_on < asked.warn_before
      AND version.expires_on < %(last_day)s::date + %(warned_for)s
      AND NOT EXISTS (
          SELECT FROM {newer} AS newer
          WHERE newer.document_id = version.document_id AND newer.number > version.number
      )
  UNION ALL
    SELECT client.id, tenant_id, day, today, 0, 0, 1
    FROM asked JOIN {client} AS client USING (tenant_id)
    JOIN {filing} AS filing ON filing.client_id = client.id
    WHERE client.is_active
      AND filing.status = ANY(%(open)s::text[]) AND filing.due_on < asked.day
),
counted AS (
    SELECT client_id, tenant_id, day, today,
           sum(missing) AS missing, sum(expiring) AS expiring, sum(overdue) AS overdue
    FROM issues
    GROUP BY client_id, tenant_id, day, today
),
scored AS (
    SELECT counted.*, points.score,
           CASE WHEN points.score >= %(lowest_low)s THEN 'low'
                WHEN points.score >= %(lowest_medium)s THEN 'medium'
                ELSE 'high' END AS risk
    FROM counted,
         LATERAL (SELECT greatest(0, %(full_score)s - %(points)s * (missing + expiring + overdue)))
             AS points (score)
),
compared AS (
    SELECT scored.*, look.is_back,
           known.score AS score_before, known.risk AS risk_before,
           known.missing AS missing_before, known.expiring AS expiring_before,
           known.overdue AS overdue_before,
           known.client_id IS NULL
           OR (known.score, known.risk, known.missing, known.expiring, known.overdue)
              IS DISTINCT FROM
              (scored.score, scored.risk, scored.missing, scored.expiring, scored.overdue)
           AS is_news,
           NOT look.is_back
           AND (current.as_of, current.score, current.risk,
                current.missing, current.expiring, current.overdue)
               IS DISTINCT FROM
               (scored.day, scored.score, scored.risk,
                scored.missing, scored.expiring, scored.overdue)
           AS is_to_keep,
           NOT look.is_back
           AND coalesce(array_position(%(risks)s::text[], scored.risk)
                        > array_position(%(risks)s::text[], known.risk::text), false) AS is_rise
    FROM scored
    LEFT JOIN compliance_clientscore AS current ON current.client_id = scored.client_id
    CROSS JOIN LATERAL (
        SELECT coalesce(scored.day {back} current.as_of AND scored.day < scored.today, false)
    ) AS look (is_back)
    LEFT JOIN LATERAL (
        SELECT * FROM compliance_scorehistory AS history
        WHERE history.client_id = scored.client_id AND history.as_of <= scored.day
        ORDER BY history.as_of DESC LIMIT 1
    ) AS known ON true
),
kept AS (
    INSERT INTO compliance_clientscore AS kept
           (client_id, as_of, score, risk, missing, expiring, overdue)
    SELECT client_id, day, score, risk, missing, expiring, overdue FROM compared WHERE is_to_keep
    ON CONFLICT (client_id) DO UPDATE
    SET as_of = excluded.as_of, score = excluded.score, risk = excluded.risk,
        missing = excluded.missing, expiring = excluded.expiring, overdue = excluded.overdue
),
remembered AS (
    INSERT INTO compliance_scorehistory AS history
           (client_id, as_of, score, risk, missing, expiring, overdue)
    SELECT client_id, day, score, risk, missing, expiring, overdue FROM compared WHERE is_news
  UNION ALL
    SELECT client_id, day + 1, score_before, risk_before,
           missing_before, expiring_before, overdue_before
    FROM compared
    WHERE is_news AND is_back AND score_before IS NOT NULL
      AND NOT EXISTS (
          SELECT FROM compliance_scorehistory AS next
          WHERE next.client_id = compared.client_id AND next.as_of = compared.day + 1
      )
    ON CONFLICT (client_id, as_of) DO UPDATE
    SET score = excluded.score, risk = excluded.risk, missing = excluded.missing,
        expiring = excluded.expiring, overdue = excluded.overdue, recorded_at = DEFAULT
),
rises AS (
    SELECT tenant_id, count(*) AS raised,
           json_agg(json_build_object(
               'code', code, 'name', name, 'before', risk_before, 'risk', risk, 'score', score,
               'missing', missing, 'expiring', expiring, 'overdue', overdue
           ) ORDER BY place) FILTER (WHERE place <= %(named)s) AS worst
    FROM (
        SELECT compared.*, client.code, client.name, row_number() OVER (
                   PARTITION BY compared.tenant_id ORDER BY compared.score, client.code) AS place
        FROM compared JOIN {risen} AS client ON client.id = compared.client_id
        WHERE is_rise
    ) AS ranked
    GROUP BY tenant_id
),
totals AS (
    SELECT tenant_id, count(*) AS clients, count(*) FILTER (WHERE is_news) AS changed
    FROM compared
    GROUP BY tenant_id
)
SELECT tenant_id, clients, changed, coalesce(raised, 0), coalesce(worst, '[]')::text
FROM totals LEFT JOIN rises USING (tenant_id)
"""

_NOW = _REFRESH.format(**past.NOW, risen="compliance_client", back="<")


@cache
def _then() -> str:
    tables = past.then("asked.instant", tenant="asked.tenant_id")
    # Of a client that has been deleted since, no score can be kept.
    there = f"""LATERAL (
        SELECT past.* FROM {tables["client"]} AS past JOIN compliance_client AS now USING (id)
    )"""
    instant = "(SELECT instant FROM asked WHERE asked.tenant_id = compared.tenant_id)"
    risen = rows_at(Client, instant, key="id", value="compared.client_id")
    return _REFRESH.format(**{**tables, "client": there}, risen=risen, back="<=")


def refresh(
    days: Mapping[int, date], todays: Mapping[int, date], instants: Mapping[int, datetime]
) -> list[TenantScores]:
    """Score every active client of some tenants: in one statement, and one for days that are over.

    Args:
        days: The day to score for, by tenant id.
        todays: Each tenant's own today, by the same ids.
        instants: At which instant the records count, of those tenants whose day is over.

    Returns what came of it, for each tenant in the order given, also those without clients.
    """
    found: dict[int, tuple[Any, ...]] = {}
    now = [tenant_id for tenant_id in days if tenant_id not in instants]
    for statement, tenant_ids in ((_NOW, now), (_then(), list(instants))):
        if tenant_ids:
            values = _parameters(tenant_ids, days, todays, instants)
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                found |= {row[0]: row[1:] for row in cursor.fetchall()}
    return [
        _tenant_scores(tenant_id, day, *found.get(tenant_id, (0, 0, 0, "[]")))
        for tenant_id, day in days.items()
    ]


def _parameters(
    tenant_ids: list[int],
    days: Mapping[int, date],
    todays: Mapping[int, date],
    instants: Mapping[int, datetime],
) -> dict[str, Any]:
    return {
        "tenant_ids": tenant_ids,
        "days": [days[tenant_id] for tenant_id in tenant_ids],
        "todays": [todays[tenant_id] for tenant_id in tenant_ids],
        "instants": [instants.get(tenant_id) for tenant_id in tenant_ids],
        "last_day": max(days[tenant_id] for tenant_id in tenant_ids),
        "warned_for": EXPIRY_WARNING_DAYS + 1,
        "missing": [str(status) for status in ClientDocument.MISSING],
        "open": [str(status) for status in Filing.OPEN],
        "full_score": FULL_SCORE,
        "points": POINTS_PER_ISSUE,
        "lowest_low": LOWEST_SCORE[Risk.LOW],
        "lowest_medium": LOWEST_SCORE[Risk.MEDIUM],
        "risks": [str(risk) for risk in LOWEST_SCORE],
        "named": NAMED_AT_MOST,
    }


def _tenant_scores(
    tenant_id: int, day: date, clients: int, changed: int, raised: int, worst: str
) -> TenantScores:
    rises = [
        Rise(**{**rise, "before": Risk(rise["before"]), "risk": Risk(rise["risk"])})
        for rise in json.loads(worst)
    ]
    return TenantScores(
        tenant_id=tenant_id, day=day, clients=clients, changed=changed, raised=raised, rises=rises
    )
