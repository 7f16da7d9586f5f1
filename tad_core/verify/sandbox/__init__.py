"""Isolation for untrusted programs: which tier a machine gives, and how a program is run in it."""
