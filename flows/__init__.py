"""Prefect flows, which only wire tasks, and the command line."""
