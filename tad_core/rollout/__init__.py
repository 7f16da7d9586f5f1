"""Collection of trajectories: engine, noise, worker processes."""
