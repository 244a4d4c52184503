"""A small shop. Everything is as Django makes it, but for where the databases are."""

import os

from psycopg import IsolationLevel

SECRET_KEY = "only for this test"
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "Asia/Tokyo"

COMMON = {
    "ENGINE": "django.db.backends.postgresql",
    "HOST": os.environ["PGHOST"],
    "PORT": os.environ["PGPORT"],
    "USER": os.environ["PGUSER"],
    "PASSWORD": os.environ["PGPASSWORD"],
}
DATABASES = {
    # Through pgweir: fewer servers than threads. Server-side cursors stay on.
    "default": {**COMMON, "NAME": os.environ["PGWEIR_TEST_CROWD_DATABASE"], "CONN_MAX_AGE": None},
    # The same database, with what else an application may turn on.
    "pooled": {
        **COMMON,
        "NAME": os.environ["PGDATABASE"],
        "OPTIONS": {
            "pool": {"min_size": 2, "max_size": 3},
            "server_side_binding": True,
            "prepare_threshold": 2,
            "sslmode": "verify-full",
            "sslrootcert": os.environ["PGWEIR_TEST_AUTHORITY"],
            "options": "-c statement_timeout=20s",
        },
    },
    "serializable": {
        **COMMON,
        "NAME": os.environ["PGDATABASE"],
        "OPTIONS": {"isolation_level": IsolationLevel.SERIALIZABLE},
        "TIME_ZONE": "Europe/Lisbon",
    },
}
