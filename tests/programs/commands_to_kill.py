"""Runs of optimize-runbook that can be killed at once: FOLDER NAME... a line on stdin, a process group each.

The program imports what a run needs once, and forks for each run, so that a hundred kills cost no imports.
With `without-models` it leaves out what only models need. It answers each line with the process id of the
run, and with its status where it has ended.
"""

import os
import sys
from pathlib import Path

from runbookopt.agents.model import client
from runbookopt.cli import main

if "without-models" not in sys.argv:
    client.begin_import().join()
print("ready", flush=True)  # noqa: T201 - a run is timed without it
for line in sys.stdin:
    folder, printed, *arguments = line.split()
    run = os.fork()
    if run == 0:
        os.setpgid(0, 0)
        os.chdir(folder)
        out = os.open(printed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.argv = ["optimize-runbook", *arguments]
        status: object = 0
        try:
            main.optimize_runbook()
        except SystemExit as end:
            status = end.code
        except BaseException as error:  # noqa: BLE001 - said, and told apart
            Path(printed).write_text(repr(error))
            status = 99
        os._exit(status if isinstance(status, int) else 98)
    print(run, flush=True)  # noqa: T201 - how its parent knows it
    print(os.waitstatus_to_exitcode(os.waitpid(run, 0)[1]), flush=True)  # noqa: T201
