"""What a job is: the validated description a client writes, and its canonical bytes."""
