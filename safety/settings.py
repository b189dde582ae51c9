"""Django's settings. Every value is read once, as env(NAME, default); the defaults suit a laptop."""

from pathlib import Path

from safety.database import database_from_url
from safety.env import env

VERSION = "0.1.0"  # of the product; the API's stands in its addresses

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = Path(env("VAR", str(BASE_DIR / "var")))  # the database file and the photos live here unless told otherwise
VAR.mkdir(parents=True, exist_ok=True)

LOCAL_SECRET = "local-only-secret-key-that-serves-loopback"
SECRET_KEY = env("SECRET_KEY", LOCAL_SECRET)
DEBUG = env("DEBUG", False)
ALLOWED_HOSTS = env("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]").split(",")
CSRF_TRUSTED_ORIGINS = [origin for origin in env("TRUSTED_ORIGINS", "").split(",") if origin]
DEMO = env("DEMO", False)  # a demo district beyond loopback must be wanted: see safety/checks.py

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "safety",  # before the admin: its templates stand in for Django's
    "safety.admin_app.Config",
    "rest_framework",
    "drf_spectacular",
    "channels",
    "axes",
    "inspections",
    "sync",
]
AUTH_USER_MODEL = "safety.Person"
ROOT_URLCONF = "safety.urls"
ASGI_APPLICATION = "safety.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "safety.access.PostBackend"]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "safety.context.demo_mark",
            ]
        },
    }
]

DATABASE_URL = env("DATABASE_URL", f"sqlite:///{VAR / 'safety.sqlite3'}")
DATABASES = {"default": database_from_url(DATABASE_URL)}
PG_BIN = env("PG_BIN", "")  # the folder of pg_dump and pg_restore where the PATH has none, or an older one
GUARD = env("GUARD", DEBUG)  # refuses writes beside the log: see safety/guard.py

REDIS_URL = env("REDIS_URL", "")
CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
    if REDIS_URL
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AXES_FAILURE_LIMIT = env("LOGIN_TRIES", 5)
AXES_COOLOFF_TIME = env("LOGIN_COOLOFF_HOURS", 1)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]  # schools share one address: never lock on it alone
AXES_ENABLE_ACCESS_FAILURE_LOG = False
AXES_ENABLE_ADMIN = False  # its rows know no districts
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # Retry-After must come true
AXES_DISABLE_ACCESS_LOG = True  # it would give every phone a session; devices and our log say who signed in
AXES_LOCKOUT_CALLABLE = "safety.views.locked_out"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env("HTTPS", False)
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "safety.authentication.DeviceTokenAuthentication",
        "safety.authentication.DeskSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "safety.schema.DoorSchema",
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS describes views in engineers' words; the schema is the description
    "EXCEPTION_HANDLER": "safety.handlers.drf_problem",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "校安巡检 API",
    "DESCRIPTION": "校园安全督查：检查、照片、预警、整改、同步。字段与代码是英文，说明是中文；拒绝一律是 problem+json。",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": ["safety.openapi.add_said"],
    "TAGS": [  # in the order in which the documentation tells them
        {"name": "登录 Sign-in"},
        {"name": "单位与人员 Organisations and people"},
        {"name": "检查表 Checklists"},
        {"name": "检查 Inspections"},
        {"name": "照片 Photos"},
        {"name": "整改 Rectification"},
        {"name": "值班与预警 Duty and alerts"},
        {"name": "同步 Sync"},
        {"name": "终端 Devices"},
        {"name": "变更记录 Log"},
    ],
}
# What the schema shows of those who stand on the ground: the table of verbs, bodies that msgspec decodes, examples.
SCHEMA_VERBS = "inspections.verbs.VERBS"
SCHEMA_BODIES = {
    "post /api/v1/sync/push": ("sync.push.Envelope", {"ops": "sync.push.Op"}),
    "post /api/v1/sync/quarantine-report": (
        "sync.set_aside.SetAsideReport",
        {"ops": "sync.set_aside.SetAsideOperation"},
    ),
}
SCHEMA_BESIDE = ["sync.tus_schema.PATHS"]  # doors that stand beside Django
SCHEMA_EXAMPLES = ["safety.examples.EXAMPLES", "inspections.examples.EXAMPLES"]

LANGUAGE_CODE = "zh-hans"
TIME_ZONE = "Asia/Shanghai"
USE_TZ = True
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True

BLOBS = Path(env("BLOBS", str(VAR / "blobs")))  # photo bytes as taken, by SHA-256; private
PHOTO_MAX_BYTES = env("PHOTO_MAX_BYTES", 25_000_000)
IMPORT_MAX_BYTES = env("IMPORT_MAX_BYTES", 300_000_000)  # of an outbox brought in from a file, packed and unpacked
PHOTO_MAX_PIXELS = env("PHOTO_MAX_PIXELS", 60_000_000)
SYNC_KEEP_DAYS = env("SYNC_KEEP_DAYS", 400)  # how long a phone may stay away and still be told what went meanwhile
SYNC_PER_MINUTE = env("SYNC_PER_MINUTE", 6000)  # requests of one phone in one process; 0: as many as it likes
REMOTE_STORE = "inspections.remote.S3"  # where originals go besides this disk; loaded only where a bucket is named
REMOTE_BUCKET = env("REMOTE_BUCKET", "")
REMOTE_URL = env("REMOTE_URL", "")
REMOTE_REGION = env("REMOTE_REGION", "us-east-1")
REMOTE_KEY = env("REMOTE_KEY", "")
REMOTE_SECRET = env("REMOTE_SECRET", "")
ALERT_ACK_MINUTES = env("ALERT_ACK_MINUTES", 5)

# Dotted strings, as apps and URLs are: the ground names who stands on it without importing them.
JOBS = [
    "safety.jobs.begin_shifts",
    "safety.jobs.escalate",
    "safety.jobs.watch_duty",
    "safety.jobs.deliver",
    "safety.horizon.sweep_tombstones",
    "safety.highwater.note_highwater",
    "sync.jobs.drain_deferred",
    "sync.jobs.take_up_unanswered",
    "sync.reminders.remind_unsent",
    "sync.reminders.mark_arrived",
    "inspections.jobs.derive_photos",
    "inspections.jobs.sweep_blobs",
    "inspections.carrying.carry",
    "sync.jobs.sweep_uploads",
]
QUEUES = {  # what waits to be done, by the words under which the page at / shows it
    "待发通知": "safety.jobs.deliveries_waiting",
    "待制照片副本": "inspections.jobs.copies_waiting",
    "待存入远端的照片": "inspections.carrying.blobs_waiting",
    "等候前文的手机操作": "sync.jobs.operations_waiting",
}
COLLECTION_WORDS = "sync.words.COLLECTIONS"  # what the collections are called in Chinese
BESIDE_DJANGO = {  # addresses whose bodies are read as they arrive, each with its ASGI application
    "/api/v1/files": "sync.tus.application",
}
HOLDINGS = {  # what may lie on a phone and nowhere else: see safety/held.py
    "photos": "inspections.holdings.photos_not_here",
    "drafts": "inspections.holdings.drafts",
    "tasks": "inspections.holdings.tasks_due",
}
NAMES_WITHHELD = "inspections.holdings.names_withheld"  # whether something said speaks of what named persons alone read
BYTES_BROUGHT = "inspections.holdings.bytes_brought"
UNSENT_ALERT_HOURS = env(
    "UNSENT_ALERT_HOURS", 48
)  # work that lies on a phone for longer is told to its owner and bureau
LIFESPAN = [
    "safety.lifespan.ready_database",
    "safety.highwater.clock_not_behind",
    "safety.lifespan.sound_settings",
    "safety.lifespan.warmed_up",
    "safety.lifespan.kept_connections",
    "safety.lifespan.only_process",
    "safety.lifespan.bound_ring",
    "sync.tus.threads_kept",
    "safety.hub.running",
    "safety.worker.in_server",
]
ERASERS = [  # in this order: the first one learns the words
    "inspections.erasure.erase_evidence",
    "safety.erasure.erase_alerts",
    "sync.erasure.erase_operations",
]
WORK_IN_SERVER = env("WORK_IN_SERVER", True)
BULK_WAITING = env("BULK_WAITING", 60)
BULK_LANES = {  # addresses where phones bring and fetch much: so many at once in a process, the next ones wait a moment
    "/api/v1/sync/": {
        "at_once": env("SYNC_AT_ONCE", 3),
        "waiting": BULK_WAITING,
        "headers": {"Sync-Protocol": "1"},  # a phone takes an answer without it for a captive portal's
    },
    "/api/v1/blobs/": {"at_once": env("BLOBS_AT_ONCE", 2), "waiting": BULK_WAITING, "headers": {}},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env("LOG_LEVEL", "INFO")},
}
