"""What a post says, within a platform's limits: the user's text gives way, the credits never do."""

import re
from collections.abc import Callable

from cm_assets.models.clips import Credit
from cm_assets.models.post import PostDraft


def described(draft: PostDraft, limit: int, measure: Callable[[str], int] = len) -> str:
    """Description, hashtags and credits.

    Args:
        draft: what to post.
        limit: how long it may be.
        measure: how long a text is, as the platform counts.
    """
    tags = " ".join(dict.fromkeys(filter(None, map(hashtag, draft.hashtags))))
    lines = "\n".join(filter(None, dict.fromkeys(map(credited, draft.credits))))
    end = "\n\n".join(filter(None, (tags, lines)))
    if measure(end) > limit:
        end = lines
    while measure(end) > limit:  # more credits than a platform has room for: whole lines go, the last first
        end = end.rpartition("\n")[0]
    text = draft.description.strip()
    while text and measure("\n\n".join(filter(None, (text, end)))) > limit:
        text = text[: max(0, len(text) - max(1, len(text) // 50))].rstrip()
    return "\n\n".join(filter(None, (text, end)))


def hashtag(text: str) -> str:
    """`#Word` of a word or phrase; empty if nothing of it can be in a hashtag."""
    words = re.findall(r"\w+", text)
    joined = "".join(words[:1] + [word[:1].upper() + word[1:] for word in words[1:]])
    return f"#{joined}" if joined and not joined.isdigit() else ""


def credited(credit: Credit) -> str:
    """A line for one clip's author; empty where nobody asks to be named."""
    if not credit.author:
        return ""
    who = f"Video by {credit.author} on {credit.source.capitalize()}"
    return f"{who}: {credit.url}" if credit.url else who
