"""What a run's worker does: all of Dagster's `dagster api execute_run`, but for the copy of every event.

The command packs each event for a reader of its output, and has none: a tenth of a worker's CPU time.
"""

from dagster._cli.api import _execute_run_command_body
from dagster._cli.utils import get_instance_for_cli
from dagster._grpc.types import ExecuteRunArgs
from dagster._utils.interrupts import capture_interrupts


def execute(args: ExecuteRunArgs) -> None:
    """Execute a run to its end, whatever that is. An interrupt cancels it."""
    with capture_interrupts(), get_instance_for_cli(instance_ref=args.instance_ref) as instance:
        _execute_run_command_body(args.run_id, instance, lambda _event: None, set_exit_code_on_failure=False)
