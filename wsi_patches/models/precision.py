"""Which arithmetic a network computes in."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from wsi_patches.errors import UsageError

__all__ = ["PRECISIONS", "Precision", "uses_bf16"]

Precision = Literal["auto", "fp32", "bf16"]
PRECISIONS = ("auto", "fp32", "bf16")
CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""How Linux names the instructions, on x86 and on ARM; without them bfloat16 is imitated, and slower than fp32."""
CPU_INFO = Path("/proc/cpuinfo")


def uses_bf16(precision: Precision | str, device: torch.device) -> bool:
    """Tell whether a network is to compute in bfloat16.

    Parameters
    ----------
    precision
        ``auto`` for bfloat16 where the hardware has it.
    device
        Where the network runs.

    Raises
    ------
    UsageError
        There is no such precision, or ``bf16`` is asked of a GPU that has none.
    """
    if precision not in PRECISIONS:
        msg = f"no precision {precision!r}: choose from {', '.join(PRECISIONS)}"
        raise UsageError(msg)
    if precision == "auto":
        return _has_bf16(device)
    if precision == "bf16" and device.type == "cuda" and not _has_bf16(device):
        msg = "precision bf16 was asked for and the GPU has none: use fp32, or auto to take what there is"
        raise UsageError(msg)
    return precision == "bf16"


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if not CPU_INFO.is_file():
        return False
    lines = (line for line in CPU_INFO.read_text().splitlines() if line.lower().startswith(("flags", "features")))
    return not CPU_FLAGS.isdisjoint(next(lines, "").split())
