"""Processes that hold a model and do one job after another: one pool and one protocol for rollouts and evaluation."""
