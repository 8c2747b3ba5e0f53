"""Which channels of a picture are shown, and as which colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_patches.errors import SlideError, UsageError

__all__ = ["Channel", "as_rgb", "colour_order", "refuse_channels", "shown_channels"]

COLOUR_NAMES = ("red", "green", "blue")
COLOUR_CODES = ("FF0000", "00FF00", "0000FF")


@dataclass(frozen=True)
class Channel:
    """One channel as its file describes it."""

    name: str
    colour: str = ""
    """Six hexadecimal digits in upper case; empty where the file does not say."""


def shown_channels(
    path: Path, channels: Sequence[Channel], asked: Sequence[str], dtype: np.dtype[Any]
) -> tuple[int, ...]:
    """Return the channels to show: one as grey, two or three as red, green and blue.

    Parameters
    ----------
    path
        The slide, for messages.
    channels
        What the file holds, in its order.
    asked
        Names or 0-based numbers.
    dtype
        Type of the samples: three 8-bit channels in red, green and blue are a colour picture.

    Raises
    ------
    SlideError
        There are several, they are no colours, and none was asked for.
    UsageError
        There is no such channel, or the picture is one of colours.
    """
    colours = colour_order(channels, dtype)
    if colours is not None:
        refuse_channels(path, asked)
        return colours
    if asked:
        return tuple(_index_of(path, channels, name) for name in asked)
    if len(channels) > 1:
        msg = (
            f"{path} holds {len(channels)} channels that are not said to be colours ({_listed(channels)}): "
            "choose one to three of them with --channels, by name or 0-based number"
        )
        raise SlideError(msg)
    return (0,)


def refuse_channels(path: Path, asked: Sequence[str]) -> None:
    """Refuse a choice of channels for a picture that is one of colours.

    Raises
    ------
    UsageError
        Channels were asked for.
    """
    if asked:
        msg = f"channels {', '.join(asked)} were asked of {path}, which is a picture in colours: leave --channels out"
        raise UsageError(msg)


def colour_order(channels: Sequence[Channel], dtype: np.dtype[Any]) -> tuple[int, ...] | None:
    """Return where red, green and blue lie in a picture of just these; None in any other."""
    names = [channel.name.strip().lower() for channel in channels]
    codes = [channel.colour for channel in channels]
    if sorted(names) == sorted(COLOUR_NAMES):
        return tuple(names.index(name) for name in COLOUR_NAMES)
    # Three fluorophores are often painted red, green and blue as well, but hardly ever kept in 8 bits.
    if sorted(codes) == sorted(COLOUR_CODES) and dtype == np.uint8:
        return tuple(codes.index(code) for code in COLOUR_CODES)
    return None


def _index_of(path: Path, channels: Sequence[Channel], asked: str) -> int:
    names = [channel.name for channel in channels]
    folded = [name.casefold() for name in names]
    if asked in names:
        return names.index(asked)
    if folded.count(asked.casefold()) == 1:
        return folded.index(asked.casefold())
    if asked.isdecimal() and int(asked) < len(channels):
        return int(asked)
    msg = f"channel {asked} was asked of {path}, which has {_listed(channels)}: give names or 0-based numbers of these"
    raise UsageError(msg)


def _listed(channels: Sequence[Channel]) -> str:
    return ", ".join(
        channel.name if channel.name == str(index) else f"{index}: {channel.name}"
        for index, channel in enumerate(channels)
    )


def as_rgb(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return RGB ``(h, w, 3)`` of one to three planes ``(k, h, w)``: one is grey, a missing blue is 0."""
    if len(planes) == 1:
        return np.repeat(planes[0][..., None], 3, axis=2)
    rgb = np.zeros((*planes.shape[1:], 3), np.uint8)
    for channel, plane in enumerate(planes):
        rgb[..., channel] = plane
    return rgb
