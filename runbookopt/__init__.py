"""runbookopt: evidence in, a proven runbook diff out."""

__version__ = "0.1.0"
