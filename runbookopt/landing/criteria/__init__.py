"""Proposals of criteria: pull requests that change what judges, and nothing else."""
