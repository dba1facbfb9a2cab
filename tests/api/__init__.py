"""The HTTP API from outside: real sockets, a real SQLite file."""
