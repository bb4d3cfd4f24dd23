"""A short message to people, by any of the services that apprise speaks: mail, Slack, Telegram, ..."""

import logging

from cm_assets.models.base import TransientFailure
from cm_assets.models.event import Event

# They log addresses, and these hold tokens.
for _name in ("apprise", "urllib3"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

_WORDS = {
    "video.queued": "Asked for",
    "video.started": "In the making",
    "video.stage_completed": "A stage is done",
    "video.rendered": "Rendered",
    "video.awaiting_review": "To be approved",
    "video.approved": "Approved",
    "video.rejected": "Rejected",
    "video.published": "Published",
    "video.partially_published": "Published, but not everywhere",
    "video.taken_down": "Taken down",
    "video.retired": "Retired",
    "video.failed": "Failed",
    "video.cancelled": "Cancelled",
}


def tell(url: str, event: Event) -> None:
    """Send an event as a message.

    Raises:
        TransientFailure: the address is none that apprise knows, or the service did not take the message.
    """
    import apprise

    asset = apprise.AppriseAsset(
        app_id="cm_assets", app_desc="cm_assets", async_mode=False, storage_mode=apprise.PersistentStoreMode.MEMORY
    )
    service = apprise.Apprise(asset=asset)
    if not service.add(url):
        raise TransientFailure("its address is none that apprise knows")
    failed = event.type in {"video.failed", "video.partially_published"}
    if not service.notify(
        title=title(event),
        body=text(event),
        notify_type=apprise.NotifyType.FAILURE if failed else apprise.NotifyType.INFO,
        body_format=apprise.NotifyFormat.TEXT,
    ):
        raise TransientFailure("the service did not take the message")


def title(event: Event) -> str:
    """The message's first line."""
    return f"{_WORDS[event.type]}: {event.data.get('title') or event.video_id}"


def text(event: Event) -> str:
    """What a person needs to know, a line each."""
    data = event.data
    lines = [str(data[name]) for name in ("stage", "reason", "feedback") if data.get(name)]
    if data.get("by"):
        lines.append(f"by {data['by']}")
    lines += [f"{name}: {address}" for name, address in data.get("links", {}).items() if name not in {"srt", "vtt"}]
    if event.type == "video.awaiting_review":
        lines.append(f"cm approve {event.video_id}")
    return "\n".join([*lines, event.video_id])
