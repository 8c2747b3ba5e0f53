"""The one rule for outputs that are already there, the same for every command."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from wsi_patches.errors import OutputExists, UsageError
from wsi_patches.locations import is_remote, path_of, remove_tree
from wsi_patches.workflows.shards import Shard

__all__ = ["COUNTS", "Existing", "check_output", "clear_output", "is_run_file", "make_folder"]

COUNTS = "counts.csv"
"""What makes a folder an output of ``infer``."""
RUN_FILE = re.compile(r"run(\.\d+-of-\d+)?\.jsonl|\.lock(\.\d+-of-\d+)?")


@dataclass(frozen=True)
class Existing:
    """What to do when the output is already there."""

    resume: bool = False
    """Keep what is complete and do the rest."""
    overwrite: bool = False
    """Replace it."""

    def __post_init__(self) -> None:
        if self.resume and self.overwrite:
            msg = "--resume keeps what is there and --overwrite replaces it: give one of them"
            raise UsageError(msg)

    @classmethod
    def of(cls, *, resume: bool, overwrite: bool, shard: Shard | None) -> Self:
        """Return what a run, or one shard of it, does: a shard keeps what others have done.

        Raises
        ------
        UsageError
            Both were asked for, or a shard is to replace what others write.
        """
        if shard is not None and overwrite:
            msg = "--shard adds to what the other shards write, and --overwrite would replace it: leave one of them out"
            raise UsageError(msg)
        return cls(resume or shard is not None, overwrite)


def check_output(path: Path, existing: Existing, *, ours: bool, what: str, resumable: bool = True) -> bool:
    """Return whether there is an earlier output to go on from or to replace.

    Parameters
    ----------
    path
        Where the output goes.
    existing
        What the user asked for.
    ours
        Whether what is there was written by this program, so that it may be replaced.
    what
        What the command writes, for messages.
    resumable
        Whether the command has ``--resume``, for messages.

    Raises
    ------
    OutputExists
        There is something, and neither resuming nor overwriting was asked for.
    UsageError
        There is something else than such an output; that is never touched.
    """
    if path.is_file():
        msg = f"-o {path} is a file, and {what} is a folder: give another path"
        raise UsageError(msg)
    # A run that was killed in its first moments leaves its log, or a file that was never completed.
    if not path.exists() or all(_is_nothing(entry.name) for entry in path.iterdir()):
        return False
    if not ours:
        msg = f"-o {path} holds something else than {what}: give another path, or remove it yourself"
        raise UsageError(msg)
    if not (existing.resume or existing.overwrite):
        go_on = "go on with --resume, " if resumable else ""
        msg = f"{path} is already there: {go_on}replace it with --overwrite, or give another -o"
        raise OutputExists(msg)
    return True


def is_run_file(name: str) -> bool:
    """Tell the log and the lock of a run from what it makes, by a file's name."""
    return RUN_FILE.fullmatch(name) is not None


def _is_nothing(name: str) -> bool:
    return name.endswith(".partial") or is_run_file(name)


def clear_output(path: Path, but: Path | None = None) -> None:
    """Remove everything that an earlier run made, but neither the lock, which this run holds, nor the log.

    Parameters
    ----------
    path
        The output's folder.
    but
        Something in it that stays: what this run has made already.
    """
    # What says that there is an output goes first: a kill in the middle of this leaves nothing that counts.
    for entry in sorted(path.iterdir(), key=lambda entry: (entry.is_dir(), entry.name)):
        if is_run_file(entry.name) or entry == but:
            continue
        if entry.is_dir() and not entry.is_symlink():
            remove_tree(entry)
        else:
            entry.unlink()


def make_folder(path: Path) -> None:
    """Make the output's folder and those above it.

    Raises
    ------
    UsageError
        It cannot be made there.
    """
    if not is_remote(path) and is_remote(path_of(path)):
        msg = f"-o {path_of(path)} was asked for: this command writes to this machine alone; give a path here"
        raise UsageError(msg)
    if path.is_file():
        msg = f"-o {path} is a file, and what is written is a folder: give another path"
        raise UsageError(msg)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"-o {path} cannot be made ({error.strerror or error}): give a path that can be written"
        raise UsageError(msg) from error
