"""Webhooks as Standard Webhooks 1.0 has them: events, receivers, signatures, and the schedule of attempts."""
