"""The toy search as a command that can be killed: FOLDER SECONDS WIDTH HOW [SLOW_AFTER [JUDGED]]."""

import os
import resource
import sys
from pathlib import Path

import msgspec
import toy

from runbookopt.engine.driver import Driver
from runbookopt.engine.journal import Journal
from runbookopt.errors import RunbookoptError

folder, seconds, width, how = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
slow_after = int(sys.argv[5]) if len(sys.argv) > 5 else 0
if how == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
calls = folder / "calls"
agent = toy.Agent(calls, seconds, how, slow_after)
judge = toy.Judge(calls, seconds) if len(sys.argv) > 6 else None
world = toy.world(folder, agent, toy.Reflector(calls, seconds), judge)
try:
    with Journal.open(folder / "journal.sqlite3") as journal:
        run = journal.run(f"toy {os.getpid()}" if how == "random" else "toy", {})
        found = Driver(world, run, rollouts=1000, reserved=0, width=width).drive(toy.search(8))
        run.finish()
        sys.stdout.write(msgspec.json.encode(found).decode())
except KeyboardInterrupt:
    sys.exit(130)
except RunbookoptError as error:
    sys.exit(str(error))
