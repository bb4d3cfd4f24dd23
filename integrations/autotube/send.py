"""`send.py TOPIC`: asks for a video by a signed webhook (https://www.standardwebhooks.com), as another program would.

CM_WEBHOOK_SECRET signs; CM_URL says where, http://127.0.0.1:8080 if it says nothing.
"""

import json
import os
import sys
import uuid
from datetime import UTC, datetime

import httpx
from standardwebhooks.webhooks import Webhook

# Nobody looks at it first: it is posted when its checks have passed.
body = json.dumps({"topic": sys.argv[1], "platforms": ["youtube"], "review": "auto"})
# Sent again under the same id, it is the same video.
name, now = f"msg_{uuid.uuid4()}", datetime.now(UTC)
headers = {
    "Content-Type": "application/json",
    "webhook-id": name,
    "webhook-timestamp": str(int(now.timestamp())),
    "webhook-signature": Webhook(os.environ["CM_WEBHOOK_SECRET"]).sign(name, now, body),
}
url = os.environ.get("CM_URL", "http://127.0.0.1:8080")
answer = httpx.post(f"{url}/new-video", content=body, headers=headers, timeout=30)
print(answer.text)
sys.exit(not answer.is_success)
