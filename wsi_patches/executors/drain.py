"""A worker that leaves before its job's walltime: it takes no new task, finishes what runs, and goes.

Loaded into the workers of a job (``dask worker --preload``). Dask's own ``--lifetime`` hands a running task to another
worker while it still runs here, and two would write the same part.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Worker

__all__ = ["DRAIN_S", "ENDS_S", "dask_setup"]

ENDS_S = "WSI_PATCHES_JOB_ENDS_S"
"""Environment variable: when the job ends, in seconds of the clock."""
DRAIN_S = "WSI_PATCHES_DRAIN_S"
"""Environment variable: how long before that a worker takes no new task, in seconds."""
HAND_BACK_S = 45.0
"""What still runs so long before the end is given to another worker; later where the time to drain is short."""
POLL_S = 0.5


def dask_setup(worker: Worker) -> None:
    """Set the clock of a worker that has just started."""
    ends_s, drain_s = os.environ.get(ENDS_S), float(os.environ.get(DRAIN_S, "0"))
    if ends_s is None:
        return
    # Jobs that were submitted together do not leave together.
    early_s = drain_s * (1 + 0.5 * random.random())
    leave_s = float(ends_s) - min(HAND_BACK_S, drain_s / 2)
    worker.loop.call_later(max(0.0, float(ends_s) - time.time() - early_s), _drain, worker, leave_s)


async def _drain(worker: Worker, leave_s: float) -> None:
    from distributed import Status

    worker.status = Status.paused
    while worker.state.executing_count and time.time() < leave_s:
        await asyncio.sleep(POLL_S)
    await worker.close_gracefully(reason="the job's walltime is near")
