"""The life of a job: accepted, claimed, ended, canceled, deleted, expired; its repositories and its documents' events."""
