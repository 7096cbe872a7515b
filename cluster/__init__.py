"""The site: thin actors, the pure decisions they carry out, and the ways in (HTTP API, command line)."""
