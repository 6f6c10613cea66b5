"""Webhooks as Standard Webhooks 1.0 has them: what is told, to whom, how it is signed, and when it is tried again."""
