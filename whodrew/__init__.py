"""The command `whodrew`: one entry to all command lines of the project."""
