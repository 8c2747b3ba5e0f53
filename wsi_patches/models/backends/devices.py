"""Where networks run."""

from __future__ import annotations

import re
from typing import Literal

import torch

from wsi_patches.errors import UsageError

__all__ = ["Device", "choose_device", "list_devices"]

Device = Literal["auto", "cpu", "cuda"]
NUMBERED = re.compile(r"cuda:(\d+)")


def choose_device(device: Device | str = "auto") -> torch.device:
    """Return the device that a name means.

    Parameters
    ----------
    device
        ``cpu``, ``cuda``, one GPU of several as ``cuda:1``, or ``auto`` for a GPU where there is one.

    Raises
    ------
    UsageError
        The name is unknown, or a GPU is asked for that is not there.
    """
    numbered = NUMBERED.fullmatch(device)
    if device not in ("auto", "cpu", "cuda") and numbered is None:
        msg = f"no device {device!r}: choose auto, cpu or cuda, or one GPU of several such as cuda:1"
        raise UsageError(msg)
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        msg = f"device {device} was asked for and PyTorch finds no CUDA GPU: use --device cpu, or auto to take what "
        raise UsageError(msg + "there is")
    if numbered is not None and int(numbered[1]) >= torch.cuda.device_count():
        msg = f"device {device} was asked for and there are {torch.cuda.device_count()} GPUs, counted from cuda:0"
        raise UsageError(msg)
    return torch.device("cuda" if device == "auto" else device)


def list_devices(device: Device | str = "auto") -> tuple[str, ...]:
    """Return every device that a name stands for, so that slides can be dealt out to them.

    Parameters
    ----------
    device
        As `choose_device` takes it.

    Returns
    -------
    ``("cuda:0", "cuda:1", ...)`` for ``cuda``, and for ``auto`` where there is a GPU; else the one that was named.

    Raises
    ------
    UsageError
        As `choose_device`.
    """
    chosen = choose_device(device)
    if chosen.type == "cuda" and device in ("auto", "cuda"):
        return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    return (str(chosen),)
