"""How doit runs Onevm's tasks."""

from tasks.steps.configuration import cache_folder
from tasks.steps.reporter import Reporter

DOIT_CONFIG = {
    "minversion": "0.37.0",
    "default_tasks": ["plan"],  # the bare command changes nothing
    "backend": "sqlite3",
    "dep_file": str(cache_folder() / "doit.sqlite"),  # a cache: safe to delete
    "reporter": Reporter,
    "continue": True,  # a service that fails must not keep finished ones from being recorded
    "verbosity": 2,
}
