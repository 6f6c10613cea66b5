"""From a request to an accepted job: read, check, decode in a child process, store, commit.

Nothing is re-exported here: a decoding child imports this package and must not load the service.
"""
