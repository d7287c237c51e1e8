"""What of a run goes to a model hub: a checkpoint with its card, or trajectories as a data set. Nothing local, nothing secret."""
