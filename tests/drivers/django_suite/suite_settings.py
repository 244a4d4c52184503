"""Django's settings for its own tests, with what docs/drivers.md says that an application may turn on."""

import os
import sys

OPTIONS: dict[str, object] = {}
if os.environ["PGWEIR_TEST_DRIVER"] == "psycopg2":
    # Django takes psycopg 3 where it can be imported.
    sys.modules["psycopg"] = None  # type: ignore[assignment]
else:
    OPTIONS["server_side_binding"] = True

SECRET_KEY = "only for this test"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
TEST_RUNNER = "outcomes.Runner"

COMMON = {
    "ENGINE": "django.db.backends.postgresql",
    "HOST": os.environ["PGHOST"],
    "PORT": os.environ["PGPORT"],
    "USER": os.environ["PGUSER"],
    "PASSWORD": os.environ["PGPASSWORD"],
    "DISABLE_SERVER_SIDE_CURSORS": False,
    "OPTIONS": OPTIONS,
}
# The tests' databases are test_django and test_other, and copies of them for each of the processes.
DATABASES = {"default": {**COMMON, "NAME": "django"}, "other": {**COMMON, "NAME": "other"}}
