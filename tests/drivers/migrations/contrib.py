"""Migrates Django's contrib apps and the shop into an empty database, takes the shop back, and brings it again."""

import os

import django
from django.conf import settings

CONTRIB = ["admin", "auth", "contenttypes", "flatpages", "messages", "postgres", "redirects", "sessions", "sites"]

settings.configure(
    SECRET_KEY="only for this test",
    INSTALLED_APPS=[f"django.contrib.{name}" for name in CONTRIB] + ["shop"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    SITE_ID=1,
    USE_TZ=True,
    SILENCED_SYSTEM_CHECKS=["admin"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
            "USER": os.environ["PGUSER"],
            "NAME": os.environ["PGDATABASE"],
        }
    },
)
django.setup()

from django.core.management import call_command  # noqa: E402

call_command("migrate", no_color=True, skip_checks=True)
call_command("migrate", "shop", "zero", no_color=True, skip_checks=True)
call_command("migrate", no_color=True, skip_checks=True)
