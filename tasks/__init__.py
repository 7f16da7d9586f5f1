"""Prefect tasks: each calls one stage of ``tad_core`` and tells how it goes."""
