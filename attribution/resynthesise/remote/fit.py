"""Prompts cut to what a source takes, between words."""


def fit(prompt: str, limit: int | None) -> str:
    """The prompt, or as many of its first words as `limit` characters hold."""
    if limit is None or len(prompt) <= limit:
        return prompt
    return prompt[: limit + 1].rsplit(" ", 1)[0][:limit]
