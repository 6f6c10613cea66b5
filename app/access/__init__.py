"""Authentication and authorization: keys, scopes, rate limits, and the audit log."""
