"""What a post says on a platform, within its limits: the user's text gives way, the credits never do."""

import re
from collections.abc import Callable

from cm_assets.engines.platforms.description import describe
from cm_assets.models.base import PermanentFailure
from cm_assets.models.post import PostDraft


def described(draft: PostDraft, limit: int, measure: Callable[[str], int] = len) -> str:
    """Description, credits and hashtags; where there is no room for all, first the description gives way, then these.

    Args:
        draft: what to post.
        limit: how long it may be.
        measure: how long a text is, as the platform counts.

    Raises:
        PermanentFailure: not even the briefest credits fit.
    """
    tags = " ".join(dict.fromkeys(filter(None, map(hashtag, draft.hashtags))))
    if tags:
        try:
            body = describe(draft.description, draft.credits, limit - measure(f"\n\n{tags}"), size=measure)
            return f"{body}\n\n{tags}".strip()
        except PermanentFailure:
            pass
    return describe(draft.description, draft.credits, limit, size=measure)


def hashtag(text: str) -> str:
    """`#Word` of a word or phrase; empty if nothing of it can be in a hashtag."""
    words = re.findall(r"\w+", text)
    joined = "".join(words[:1] + [word[:1].upper() + word[1:] for word in words[1:]])
    return f"#{joined}" if joined and not joined.isdigit() else ""
