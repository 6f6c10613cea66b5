"""What is stored, and all SQL: Postgres for the truth, a blob store for bytes, Redis for snapshots."""
