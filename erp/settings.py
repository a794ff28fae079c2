"""Django's settings, put together from the environment (``erp.environment``)."""

from datetime import timedelta
from urllib.parse import unquote, urlsplit

import dj_database_url
import django_stubs_ext

from embedded import broker_url, urls
from erp.admin_theme import UNFOLD as UNFOLD
from erp.environment import BASE_DIR, kept_secret, limit_values, load_environment
from jobs.carrier import celery_settings

django_stubs_ext.monkeypatch()  # forms, admins and querysets may name their model: Form[Order]

ENVIRONMENT, ENVIRONMENT_PROBLEMS = load_environment()

DATA_DIR = ENVIRONMENT.data_dir
_embedded = urls(DATA_DIR)
DATABASE_URL = ENVIRONMENT.database_url or _embedded["DATABASE_URL"]
REDIS_URL = ENVIRONMENT.redis_url or _embedded["REDIS_URL"]
SMTP_URL = ENVIRONMENT.smtp_url or _embedded["SMTP_URL"]

#: Whether database and broker are this checkout's own: the demo may empty those.
EMBEDDED_SERVERS = _embedded["DATABASE_URL"] == DATABASE_URL and _embedded["REDIS_URL"] == REDIS_URL

DEBUG = ENVIRONMENT.debug
SECRET_KEY = ENVIRONMENT.secret_key or kept_secret(DATA_DIR, "secret_key")
# A health check asks from the machine itself, whatever the site is called.
ALLOWED_HOSTS = [*ENVIRONMENT.allowed_hosts, "127.0.0.1"]
CSRF_TRUSTED_ORIGINS = ENVIRONMENT.csrf_trusted_origins
SITE_URL = ENVIRONMENT.site_url
FLOWER_URL = ENVIRONMENT.flower_url

INSTALLED_APPS = [
    "erp.apps.ErpConfig",
    "compliance.apps.ComplianceConfig",
    "sales.apps.SalesConfig",
    "inventory.apps.InventoryConfig",
    "imports.apps.ImportsConfig",
    "documents.apps.DocumentsConfig",
    "notifications.apps.NotificationsConfig",
    "tenants.apps.TenantsConfig",
    "jobs.apps.JobsConfig",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_celery_results",
    "django_tasks",
    "pghistory",
    "pgtrigger",
    "ninja",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "jobs.context.CorrelationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "erp.urls"
WSGI_APPLICATION = "erp.wsgi.application"
ASGI_APPLICATION = "erp.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {
    "default": dj_database_url.parse(
        DATABASE_URL,
        conn_max_age=None,  # workers keep theirs; web threads too, checked before each request
        conn_health_checks=True,
        disable_server_side_cursors=ENVIRONMENT.database_transaction_pooling,
    ),
}
DATABASES["default"].setdefault("OPTIONS", {}).setdefault("application_name", "erp")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "tenants.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
WHITENOISE_USE_FINDERS = True
MEDIA_ROOT = DATA_DIR / "files"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}

_smtp = urlsplit(SMTP_URL)
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
EMAIL_HOST = _smtp.hostname or "127.0.0.1"
EMAIL_PORT = _smtp.port or 25
EMAIL_HOST_USER = unquote(_smtp.username or "")
EMAIL_HOST_PASSWORD = unquote(_smtp.password or "")
EMAIL_USE_TLS = _smtp.scheme == "smtp+tls"
EMAIL_USE_SSL = _smtp.scheme == "smtps"
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = ENVIRONMENT.default_from_email
SERVER_EMAIL = ENVIRONMENT.default_from_email

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SITE_URL.startswith("https://")
if ENVIRONMENT.behind_tls_proxy:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"

# --- the engine (read through jobs.conf) ---------------------------------------------------------

JOBS = {
    "ENCRYPTION_KEYS": ENVIRONMENT.jobs_encryption_keys
    or [kept_secret(DATA_DIR, "jobs_encryption_key", fernet=True)],
    "PAYLOAD_LIMIT_BYTES": ENVIRONMENT.jobs_payload_limit,
    "HEARTBEAT": timedelta(seconds=ENVIRONMENT.jobs_heartbeat_seconds),
    "LEASE": timedelta(seconds=ENVIRONMENT.jobs_lease_seconds),
    "STAGER_INTERVAL": timedelta(seconds=ENVIRONMENT.jobs_stager_seconds),
    "REPUBLISH_AFTER": timedelta(seconds=ENVIRONMENT.jobs_republish_seconds),
    "BACKOFF_SCALE": ENVIRONMENT.jobs_backoff_scale,
    "AGEING": timedelta(seconds=ENVIRONMENT.jobs_ageing_seconds),
    "CANCEL_GRACE": timedelta(seconds=ENVIRONMENT.jobs_cancel_grace_seconds),
    "LIMITS": limit_values(ENVIRONMENT.jobs_limits),
    "SHUTDOWN_GRACE": timedelta(seconds=ENVIRONMENT.jobs_shutdown_seconds),
    "KEEP_SUCCEEDED": timedelta(days=ENVIRONMENT.jobs_keep_succeeded_days),
    "KEEP_CANCELLED": timedelta(days=ENVIRONMENT.jobs_keep_cancelled_days),
    "KEEP_DEAD": timedelta(days=ENVIRONMENT.jobs_keep_dead_days),
    "KEEP_EFFECTS": timedelta(days=ENVIRONMENT.jobs_keep_effects_days),
    "KEEP_ROLLUPS": timedelta(days=ENVIRONMENT.jobs_keep_rollup_days),
    "KEEP_FIRINGS": timedelta(days=ENVIRONMENT.jobs_keep_firings_days),
    "BEAT_INTERVAL": timedelta(seconds=ENVIRONMENT.jobs_beat_seconds),
    "CANARY": ENVIRONMENT.jobs_canary,
    "AUDIT_KEEP": timedelta(days=ENVIRONMENT.jobs_audit_keep_days),
}

# Tasks of the Tasks API, those of other people's apps too, are jobs like ours.
TASKS = {
    "default": {
        "BACKEND": "jobs.django_tasks.JobsBackend",
        "OPTIONS": {"queues": {"default": "maintenance"}, "retry": False},
    },
}

CELERY = celery_settings(broker_url(REDIS_URL))
CELERY_APP = "erp.celery"
DJANGO_CELERY_BEAT_TZ_AWARE = True

LOGGING_CONFIG = None  # structlog is set up in jobs.telemetry, for Django and Celery alike
LOG_FORMAT = ENVIRONMENT.log_format
LOG_LEVEL = ENVIRONMENT.log_level
