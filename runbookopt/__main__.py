"""`python -m runbookopt`: the same as the command `runbookopt`."""

from runbookopt.cli.main import runbookopt

if __name__ == "__main__":
    runbookopt()
