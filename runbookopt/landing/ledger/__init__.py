"""Ledger of a repository: by which names it knows a runbook, its account, what was read, what is open."""
