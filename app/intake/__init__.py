"""From an upload to an accepted job: read, decode in a child process, store, commit, hand on.

Nothing is re-exported here: a decoding child imports this package, and must not get the service with it.
"""
