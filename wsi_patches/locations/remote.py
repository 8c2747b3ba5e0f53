"""A path in an object store, with as much of `pathlib.Path`'s interface as this program uses.

A folder is there as long as a key lies below it, so making one does nothing. Writing puts whole objects, which a store
does at once or not at all: there is nothing to rename.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import total_ordering
from pathlib import Path, PurePosixPath
from typing import IO, Any

from wsi_patches.locations.object_store import ask
from wsi_patches.locations.object_stream import ObjectStream

__all__ = ["FILE", "SCHEME", "ObjectStat", "RemotePath", "as_remote"]

SCHEME = "s3"
FILE, FOLDER = "file", "directory"
"""fsspec's words."""


@dataclass(frozen=True)
class ObjectStat:
    """What of `os.stat_result` an object store knows."""

    st_mode: int
    st_size: int
    st_mtime_ns: int


@total_ordering
class RemotePath:
    """An object, or what lies below a prefix; a value that is never changed.

    Parameters
    ----------
    key
        Bucket and key.
    kind
        Whether it is a file, where a listing told it.
    """

    def __init__(self, key: PurePosixPath, kind: str | None = None) -> None:
        self.key, self._kind = key, kind

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and self.key == other.key

    def __lt__(self, other: RemotePath) -> bool:
        return self.key < other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        return f"{SCHEME}://{self.key}"

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self.key.parts[0]

    def __truediv__(self, name: str | PurePosixPath) -> RemotePath:
        return RemotePath(self.key / name)

    def joinpath(self, *names: str) -> RemotePath:
        """Return a path below this one."""
        return RemotePath(self.key.joinpath(*names))

    @property
    def name(self) -> str:
        """The last part."""
        return self.key.name

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return self.key.stem

    @property
    def suffix(self) -> str:
        """The last part's suffix, with its dot."""
        return self.key.suffix

    @property
    def parts(self) -> tuple[str, ...]:
        """The bucket, and the names in the key."""
        return self.key.parts

    @property
    def parent(self) -> RemotePath:
        """What it lies in; of a bucket the bucket itself."""
        return RemotePath(self.key.parent) if len(self.key.parts) > 1 else self

    @property
    def parents(self) -> Sequence[RemotePath]:
        """All that it lies in, innermost first."""
        return [RemotePath(above) for above in self.key.parents if above.parts]

    def with_name(self, name: str) -> RemotePath:
        """Return its neighbour of a name."""
        return RemotePath(self.key.with_name(name))

    def with_suffix(self, suffix: str) -> RemotePath:
        """Return its neighbour of the same stem."""
        return RemotePath(self.key.with_suffix(suffix))

    def is_relative_to(self, other: RemotePath) -> bool:
        """Say whether it lies below another."""
        return isinstance(other, RemotePath) and self.key.is_relative_to(other.key)

    def relative_to(self, other: RemotePath) -> PurePosixPath:
        """Return how it is reached from another, which it lies below."""
        return self.key.relative_to(other.key)

    def as_posix(self) -> str:
        """Return the address."""
        return str(self)

    def absolute(self) -> RemotePath:
        """Return itself."""
        return self

    def resolve(self) -> RemotePath:
        """Return itself: there are no links."""
        return self

    def exists(self) -> bool:
        """Say whether there is an object, or one below."""
        return self._looked_up() is not None

    def is_file(self) -> bool:
        """Say whether there is an object."""
        return self._kind_now() == FILE

    def is_dir(self) -> bool:
        """Say whether there is an object below."""
        return self._kind_now() == FOLDER

    def is_symlink(self) -> bool:
        """Return False: there are no links."""
        return False

    def stat(self) -> ObjectStat:
        """Return kind, size in bytes, and when it was last written.

        Raises
        ------
        FileNotFoundError
            It is not there.
        """
        about = self._info()
        mode = stat.S_IFDIR if about["type"] == FOLDER else stat.S_IFREG
        written = about.get("LastModified")
        return ObjectStat(mode, int(about.get("size") or 0), int(written.timestamp() * 1e9) if written else 0)

    def iterdir(self) -> Iterator[RemotePath]:
        """Yield what lies directly below, by one listing that tells files from folders.

        Raises
        ------
        FileNotFoundError
            Nothing does.
        """
        for about in self._ask(lambda store: store.ls(str(self), detail=True)):
            found = PurePosixPath(about["name"])
            if found != self.key:
                yield RemotePath(found, about["type"])

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        """Yield what lies directly below and has a name that fits a pattern without slashes."""
        try:
            entries = list(self.iterdir())
        except FileNotFoundError:
            return
        yield from (entry for entry in entries if fnmatchcase(entry.name, pattern))

    def sizes_below(self) -> dict[RemotePath, int]:
        """Return every object below it and its size in bytes, by one listing of a thousand objects a request."""
        found = self.listed_below()
        return {RemotePath(PurePosixPath(name), FILE): size for name, size in found.items() if not name.endswith("/")}

    def listed_below(self) -> dict[str, int]:
        """Return bucket and key of all that lies below it, with the empty objects by which some tools mark a folder."""
        found = self._ask(lambda store: store.find(str(self), detail=True))
        return {str(name): int(about["size"]) for name, about in found.items()}

    def read_bytes(self) -> bytes:
        """Return an object's content."""
        content: bytes = self._ask(lambda store: store.cat_file(str(self)))
        return content

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return an object's content as text."""
        return self.read_bytes().decode(encoding, errors).replace("\r\n", "\n")

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of some ``(start, stop)``, all asked for at a time; short where the object ends.

        A range that begins before 0 is counted from the end and reaches to it.
        """
        starts = [start for start, _ in ranges]
        stops = [None if start < 0 else stop for start, stop in ranges]
        found = self._ask(lambda store: store.cat_ranges([str(self)] * len(ranges), starts, stops, on_error="raise"))
        return [bytes(one) for one in found]

    def open(self, mode: str = "r", *, encoding: str | None = None, newline: str | None = None) -> IO[Any]:
        """Return a stream to read from; bytes are fetched in blocks as they are asked for."""
        if mode == "rb":
            return io.BufferedReader(ObjectStream(str(self), self.stat().st_size, self.read_ranges))
        if mode != "r":
            msg = f"{self} cannot be opened to be changed ({mode}): objects are written whole"
            raise io.UnsupportedOperation(msg)
        return io.TextIOWrapper(io.BytesIO(self.read_bytes()), encoding or "utf-8", newline=newline)

    def write_bytes(self, data: bytes) -> int:
        """Put an object in place of one that may be there."""
        self._ask(lambda store: store.pipe_file(str(self), data))
        return len(data)

    def write_text(self, text: str, encoding: str = "utf-8") -> int:
        """Put a text."""
        return self.write_bytes(text.encode(encoding))

    def upload(self, file: Path) -> None:
        """Put a local file's content."""
        self._ask(lambda store: store.put_file(str(file), str(self)))

    def download(self, file: Path) -> None:
        """Write an object's content to a local file."""
        self._ask(lambda store: store.get_file(str(self), str(file)))

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: a folder is there when something is in it."""

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove an object."""
        if not missing_ok:
            self._info()
        self._ask(lambda store: store.rm_file(str(self)))

    def _ask(self, act: Any) -> Any:
        return ask(str(self), act)

    def _info(self) -> Mapping[str, Any]:
        about: Mapping[str, Any] = self._ask(lambda store: store.info(str(self)))
        return about

    def _looked_up(self) -> Mapping[str, Any] | None:
        try:
            return self._info()
        except FileNotFoundError:
            return None

    def _kind_now(self) -> str | None:
        if self._kind is not None:
            return self._kind
        about = self._looked_up()
        return None if about is None else str(about["type"])


def as_remote(path: object) -> RemotePath | None:
    """Return a path that lies in an object store, else None: many a `Path` in this program may be either."""
    return path if isinstance(path, RemotePath) else None
