"""Every error of the package; each message says what was asked, what was found and what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "AnnotationError",
    "ClusterLost",
    "MissingExtra",
    "ModelError",
    "NoPatches",
    "OutputBusy",
    "OutputExists",
    "ResolutionUnknown",
    "SlideError",
    "StoreError",
    "UsageError",
    "WorkerLost",
    "WsiPatchesError",
    "needs_extra",
    "sentence_of",
]


class WsiPatchesError(Exception):
    """Base of every error that this package raises on purpose."""


class UsageError(WsiPatchesError, ValueError):
    """The command or the call asks for something that cannot be; the command line exits with 2."""


class MissingExtra(UsageError, ImportError):
    """A library is not installed that only some commands need; the message says how to get it."""


class OutputExists(UsageError, FileExistsError):
    """The output is already there and neither resuming nor overwriting was asked for."""


class OutputBusy(UsageError):
    """Another run is writing the output right now."""


class SlideError(WsiPatchesError, OSError):
    """A slide cannot be opened or read; only that slide fails."""


class ResolutionUnknown(SlideError, UsageError):
    """A resolution was asked for and the slide does not state its own."""


class NoPatches(SlideError):
    """A slide yields no patch with the settings that were given."""


class AnnotationError(WsiPatchesError, ValueError):
    """An annotation file cannot be read; the message names file and line."""


class StoreError(WsiPatchesError, OSError):
    """A store is missing, damaged, or not of this format."""


class ModelError(UsageError):
    """A model's weights or card cannot be used; found out before any slide is looked at."""


class WorkerLost(WsiPatchesError, RuntimeError):
    """A worker process died before its task was done."""


class ClusterLost(WsiPatchesError, RuntimeError):
    """The cluster can do no more work: its scheduler is gone, or no worker comes; what is complete stays."""


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Say which extra to install where an import inside of the block finds no module.

    Parameters
    ----------
    extra
        Of this package, such as ``train``.
    what
        What needs it, as a sentence's subject: ``evaluate``.

    Raises
    ------
    MissingExtra
        A module is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        msg = f"{what} needs {error.name}, which is not installed: pip install 'wsi-patches[{extra}]'"
        raise MissingExtra(msg) from error


FULL = (errno.ENOSPC, errno.EDQUOT)
"""A full disk, or a user's share of it."""


def sentence_of(error: BaseException) -> str:
    """Return what an error says, and what to do about a full disk, of which the system only gives the name."""
    if isinstance(error, OSError) and error.errno in FULL:
        return f"no space is left to write the output ({error}): make room, then go on with --resume"
    return str(error)
