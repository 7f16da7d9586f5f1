"""Trajectories: the record, its files, its states."""
