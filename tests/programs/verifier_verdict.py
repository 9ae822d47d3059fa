"""A command check: answers as its argument says."""
# ruff: noqa: T201 - a program speaks on stdout

import json
import os
import sys
import time

asked = json.load(sys.stdin)
match sys.argv[1]:
    case "honest":
        right = asked["output"] == asked["reference"]
        print(json.dumps({"result": "pass" if right else "fail", "explanation": f"got {asked['output']}"}))
    case "left":
        print(json.dumps({"result": "fail", "explanation": json.dumps(asked["left"])}))
    case "environment":
        print(json.dumps({"result": "fail", "explanation": " ".join(sorted(os.environ))}))
    case "crash":
        print(json.dumps({"result": "pass"}))
        sys.exit("no such table")
    case "garbage":
        print("pass")
    case "unsure":
        print(json.dumps({"result": "maybe"}))
    case "hang":
        time.sleep(100)
    case "flood":
        while True:
            print("pass " * 1000)
