"""The gateway over HTTP: the application, the service it stands on, and the client of the command line."""
