"""What a client of a site does: find it, pay for a job with its data in place, watch it, fetch its weights."""
