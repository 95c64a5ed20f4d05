"""What prompts are called: held-out only as far as the search didn't see them."""

from acdc.errors import counted

__all__ = ["prompts_text"]


def prompts_text(n: int, n_seen: int | None, called: str = "held-out") -> str:
    """How many prompts of which kind, in words.

    Args:
        n_seen: How many of them the search saw: see `PromptBatch.n_shared`; None where its prompts aren't known.
        called: What they are called if it saw none.

    >>> prompts_text(100, 0), prompts_text(12, 12)
    ('100 held-out prompts', '12 prompts, 12 of them seen in the search')
    """
    if n_seen is None:
        return f"{counted(n, 'prompt')} (which of them the search saw is not known)"
    if n_seen:
        return f"{counted(n, 'prompt')}, {n_seen} of them seen in the search"
    return counted(n, f"{called} prompt")
