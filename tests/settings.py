"""The product's settings as the tests see them: what is written goes to a throwaway folder, never to the developer's var/.

Here and not in conftest.py, because pytest-django reads the settings before any conftest is imported. The variable stays
in the environment, so a server that a test starts works in the same folder.
"""

import atexit
import os
import shutil
import tempfile

if "SAFETY_VAR" not in os.environ:
    os.environ["SAFETY_VAR"] = tempfile.mkdtemp(prefix="safety-test-")
    atexit.register(shutil.rmtree, os.environ["SAFETY_VAR"], ignore_errors=True)
os.environ["SAFETY_GUARD"] = "1"  # here, and in the servers that tests start

from safety.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # a person a test, not a second a person
INSTALLED_APPS = [*INSTALLED_APPS, "tests.taint.apps.Config"]  # noqa: F405
MIDDLEWARE = ["tests.taint.watch.middleware", *MIDDLEWARE]  # noqa: F405
