"""WORK: one thin module per stage, each over a stage function of `attribution` and a repository of `app.db`."""
