"""Where tasks run: here, in threads, or on a Dask cluster; the same function and tasks in each."""

from wsi_patches.executors.base import Executor, Finished
from wsi_patches.executors.choose import make_executor
from wsi_patches.executors.dask import DaskExecutor
from wsi_patches.executors.serial import SerialExecutor
from wsi_patches.executors.site import Site
from wsi_patches.executors.threads import ThreadExecutor

__all__ = ["DaskExecutor", "Executor", "Finished", "SerialExecutor", "Site", "ThreadExecutor", "make_executor"]
