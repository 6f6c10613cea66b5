"""Between accepting and working: Celery's configuration, step names and worker heartbeats."""
