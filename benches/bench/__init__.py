"""Compares Postgres connection poolers: what each costs per transaction, measured in one run."""
