"""Every error of the package; each message says what was asked, what was found and what to do."""

__all__ = [
    "AnnotationError",
    "ModelError",
    "NoPatches",
    "OutputExists",
    "ResolutionUnknown",
    "SlideError",
    "StoreError",
    "UsageError",
    "WorkerLost",
    "WsiPatchesError",
]


class WsiPatchesError(Exception):
    """Base of every error that this package raises on purpose."""


class UsageError(WsiPatchesError, ValueError):
    """The command or the call asks for something that cannot be; the command line exits with 2."""


class OutputExists(UsageError, FileExistsError):
    """The output is already there and neither resuming nor overwriting was asked for."""


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
