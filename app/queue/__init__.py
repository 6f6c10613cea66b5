"""The way from accepting to working: Celery's configuration, step names and worker heartbeats."""
