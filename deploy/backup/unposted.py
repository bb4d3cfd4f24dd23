"""Names what a restored home would post although it may be posted already: `cm list --json | python3 unposted.py`.

The ledger of a backup does not know of posts that were made after it. The outbox needs no such care: a video has one
folder there, and is never in it twice.
"""

import json
import sys

OPEN = {"queued", "producing", "awaiting_review", "scheduled", "publishing"}

for video in json.load(sys.stdin)["videos"]:
    posts = {stage["stage"] for stage in video["stages"] if stage["stage"].startswith("published_post/")}
    if video["state"] in OPEN and posts - {"published_post/outbox"}:
        print(video["id"])
