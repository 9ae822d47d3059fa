"""Python checks, good and bad ones."""
# ruff: noqa: ANN001, ANN201, ARG001, T201 - what a user writes need have no annotations

import os
import sys
import time


def same(output, reference, left):
    print("noise on stdout")
    return output == reference


def told(output, reference, left):
    return output == reference, f"{output} is not {reference}"


def steps(output, reference, left):
    return (
        {"result": "pass"} if left and left["steps"] == [] else {"result": "fail", "explanation": str(left)}
    )


def environment(output, reference, left):
    return False, " ".join(sorted(os.environ))


def crash(output, reference, left):
    raise KeyError("missing")


def leave(output, reference, left):
    sys.exit(0)


def die(output, reference, left):
    os._exit(0)


def truthy(output, reference, left):
    return "yes"


def hang(output, reference, left):
    time.sleep(100)


def read(output, reference, left):
    return bool(sys.stdin.read()) and os.read(0, 1) != b""
