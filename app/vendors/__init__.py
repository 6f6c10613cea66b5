"""What is known across all workers of those who serve sources: how much they may be asked, and whether they answer."""
