"""The broker between runs and the hosts that execute their steps: one configuration for those who send and who take.

RabbitMQ by default; Redis is possible. Results do not come back this way: a step's events are in Dagster's event log.
"""

import os
from typing import Any
from urllib.parse import urlsplit

from cm_assets.policies import QUEUES, STAGES

BROKER = "CM_BROKER_URL"
"""Environment variable that holds the broker's address, which can hold a password. Without one there is no broker."""

RABBITMQ, REDIS = ("amqp", "amqps", "pyamqp"), ("redis", "rediss")

TASK = "cm_assets.step"

LEASE = int(2 * max(policy.time_limit for policy in STAGES.values()))
"""Seconds after which a broker gives a step that is not done to another worker: more than any step may take. RabbitMQ
closes the channel of whoever takes longer, after half an hour by default; Redis just gives the step away again."""

HEARTBEAT = 10
"""Seconds between two signs of life; RabbitMQ takes a worker that was silent for two of them for gone."""

PATIENCE = 20.0
"""Seconds in which a broker has to take a step; else the run ends and another goes on later."""

ANSWER = 5.0
"""Seconds in which a broker has to answer who just looks."""

URGENT, RELAXED = 1, 10
"""Priorities of requests."""

LEVELS = RELAXED - URGENT + 1


def address() -> str:
    """The broker's address; empty if there is none."""
    return os.environ.get(BROKER, "")


def refusal(url: str) -> str:
    """Why an address cannot be used, without the address; empty if it can."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in {*RABBITMQ, *REDIS} and bool(parts.hostname)
        if parts.fragment or "@" in parts.path + parts.query:
            return "has a password with / ? or #, which an address takes as %2F %3F %23"
        _ = parts.port
    except ValueError:
        known = False
    return "" if known else "must be amqp://USER:PASSWORD@HOST/VHOST (RabbitMQ), amqps://..., redis://HOST or rediss://"


def on_redis(url: str) -> bool:
    """Whether a broker is a Redis."""
    return urlsplit(url).scheme in REDIS


def shown(url: str) -> str:
    """A broker's address for people: without who they are and the password."""
    if refusal(url):
        return f"the address in {BROKER}"
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


def message_priority(url: str, priority: int) -> int:
    """The priority of a message, by that of its request, whose 1 is urgent.

    RabbitMQ serves the highest first, Redis the lowest.
    """
    urgent = min(max(priority, URGENT), RELAXED)
    return urgent - URGENT if on_redis(url) else RELAXED - urgent


def configuration(url: str, *, lease: int = LEASE) -> dict[str, Any]:
    """What Celery is told, by run workers and step workers alike.

    Args:
        url: of the broker.
        lease: seconds that a worker has for a step.
    """
    from kombu.entity import Exchange, Queue

    keepalive = {"TCP_KEEPIDLE": HEARTBEAT, "TCP_KEEPINTVL": HEARTBEAT // 2, "TCP_KEEPCNT": 2}
    transport: dict[str, Any] = {"confirm_publish": True, "read_timeout": PATIENCE, "write_timeout": PATIENCE}
    if on_redis(url):
        transport = {
            "visibility_timeout": lease,
            "unacked_restore_throttle": 1,  # looked at every ten seconds, not every hundred
            "priority_steps": list(range(LEVELS)),
            "queue_order_strategy": "priority",
            "socket_keepalive": True,
            "health_check_interval": HEARTBEAT,
        }
    # Only queues of RabbitMQ have these. Its releases before 3.12 know the second for the whole server only.
    arguments = {} if on_redis(url) else {"x-max-priority": LEVELS, "x-consumer-timeout": lease * 1000}
    return {
        "broker_url": url,
        "broker_heartbeat": HEARTBEAT,
        "broker_connection_timeout": 5,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": transport | ({} if on_redis(url) else {"socket_settings": _socket(keepalive)}),
        "result_backend": None,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        # A step is off the broker when it is done, and back on it when whoever had it is gone.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # A worker takes what it can begin, and leaves the rest to others.
        "worker_prefetch_multiplier": 1,
        # A step is worth more than a connection: who gets it meanwhile finds it held (`storage/holds.py`) and waits.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_enable_remote_control": False,
        # Steps write as under every other executor.
        "worker_redirect_stdouts": False,
        "task_create_missing_queues": False,
        "task_queues": [
            Queue(  # type: ignore[no-untyped-call]
                name,
                Exchange(name, type="direct"),  # type: ignore[no-untyped-call]
                routing_key=name,
                durable=True,
                queue_arguments=dict(arguments),
            )
            for name in QUEUES
        ],
        "task_default_queue": QUEUES[0],
    }


def _socket(options: dict[str, int]) -> dict[int, int]:
    """Options of a TCP socket by number, as far as this system has them."""
    import socket

    return {getattr(socket, name): value for name, value in options.items() if hasattr(socket, name)}


def celery_app(url: str, *, lease: int = LEASE) -> Any:
    """A Celery app for a broker, without tasks."""
    from celery import Celery

    app = Celery("cm_assets", set_as_current=False)
    app.conf.update(configuration(url, lease=lease))
    return app


def send(app: Any, queue: str, priority: int, message: dict[str, str]) -> None:
    """Have a step executed by a worker of a queue.

    Args:
        app: of the broker.
        queue: whose workers.
        priority: of the video's request.
        message: what the step worker needs to know.

    Raises:
        ConnectionError: the broker did not take it.
    """
    url = str(app.conf.broker_url)
    try:
        app.send_task(
            TASK,
            kwargs=message,
            queue=queue,
            priority=message_priority(url, priority),
            retry=True,
            retry_policy={"max_retries": 4, "interval_start": 0.5, "interval_step": 1, "interval_max": 3},
        )
    except Exception as error:
        # Its own words may hold the address.
        raise ConnectionError(f"the broker at {shown(url)} does not answer") from error


def waiting(app: Any, queue: str) -> int:
    """Steps that wait in a queue for a worker.

    Raises:
        Exception: the broker does not answer.
    """
    with app.connection_for_read() as connection:
        try:
            return int(app.amqp.queues[queue](connection.default_channel).queue_declare(passive=True)[1])
        except connection.channel_errors:
            return 0  # Redis has no queue without messages


def depths(url: str) -> dict[str, int]:
    """Steps that wait in each queue.

    Raises:
        ImportError: Celery is not installed.
        ConnectionError: the broker does not answer within seconds, or lets nobody of that name in.
    """
    app = celery_app(url)
    try:
        with app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0.1, timeout=ANSWER)
        return {queue: waiting(app, queue) for queue in QUEUES}
    except Exception as error:
        # Its own words may hold the address.
        raise ConnectionError(
            f"the broker at {shown(url)} does not answer ({type(error).__name__}): check {BROKER}, and the broker"
        ) from error
