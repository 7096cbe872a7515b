"""The sides of the training comparison. Each runs alone in a process of its own, on the same processor cores."""
