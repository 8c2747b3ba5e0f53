"""An object that is at hand: small ones are cheaper fetched whole than looked at piece by piece."""

from __future__ import annotations

from collections.abc import Sequence

from wsi_patches.locations.remote import FILE, ObjectStat, RemotePath

__all__ = ["HeldObject"]


class HeldObject(RemotePath):
    """An object whose content is fetched and kept in memory: no further request is made to read it.

    Parameters
    ----------
    path
        The object.
    about
        What `RemotePath.stat` told of it.
    """

    def __init__(self, path: RemotePath, about: ObjectStat) -> None:
        super().__init__(path.key, FILE)
        self.content, self.about = path.read_bytes(), about

    def stat(self) -> ObjectStat:
        """Return what was known when it was fetched."""
        return self.about

    def read_bytes(self) -> bytes:
        """Return the content."""
        return self.content

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return parts of the content."""
        return [self.content[start:] if start < 0 else self.content[start:stop] for start, stop in ranges]
