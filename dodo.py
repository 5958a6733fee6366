"""Onevm: build, ship and swap the services of Docker Compose stacks on one VM.

    build -> push -> deploy      rollback      plan   status   history   check   report   prune   ci   vm

`doit list` shows the tasks, `doit help <task>` one of them. The bare command `doit` plans and changes nothing.
"""

import tasks.steps.first
from tasks.build import task_build
from tasks.check import task_check
from tasks.ci import task_ci
from tasks.deploy import task_deploy
from tasks.history import task_history
from tasks.plan import task_plan
from tasks.prune import task_prune
from tasks.push import task_push
from tasks.report import task_report
from tasks.rollback import task_rollback
from tasks.status import task_status
from tasks.steps.doit_config import DOIT_CONFIG
from tasks.vm import task_vm
