"""What is trained and how: job specs, data, models, slots and rounds as a deterministic program; its replay."""
