"""From what a user wrote to a path: a local one is `pathlib.Path` as ever, ``s3://bucket/key`` a `RemotePath`."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, cast

from wsi_patches.errors import MissingExtra, UsageError
from wsi_patches.locations.remote import SCHEME, RemotePath, as_remote

__all__ = ["Location", "is_remote", "path_of"]

S3_ADDRESS = re.compile(rf"{SCHEME}:/{{1,2}}(.*)", re.IGNORECASE | re.DOTALL)
"""With one slash too: ``str(Path("s3://bucket/key"))`` is ``s3:/bucket/key``."""
OTHER_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")


def path_of(where: str | os.PathLike[str] | RemotePath) -> Path:
    """Return the path that a string names, on this machine or in an object store.

    A `RemotePath` is no `pathlib.Path` but has as much of its interface as this program uses, hence the type.

    Parameters
    ----------
    where
        A local path, or ``s3://bucket/key``; a path that was made from such an address is understood too.

    Raises
    ------
    UsageError
        It is an address of another kind, or one with a secret in it.
    MissingExtra
        It is ``s3://`` and the library for that is not installed.
    """
    if isinstance(where, RemotePath):
        return cast(Path, where)
    text = os.fspath(where)
    found = S3_ADDRESS.fullmatch(text)
    if found is not None:
        return cast(Path, _remote(found[1]))
    other = OTHER_ADDRESS.match(text)
    if other is not None:
        msg = f"{other[1]}:// addresses are not supported: give a path on this machine, or s3://BUCKET/KEY"
        raise UsageError(msg)
    return where if isinstance(where, Path) else Path(text)


def is_remote(path: object) -> bool:
    """Say whether a path lies in an object store."""
    return as_remote(path) is not None


def _remote(rest: str) -> RemotePath:
    bucket, _, key = rest.partition("/")
    if "@" in bucket:  # and nothing of it is shown
        msg = (
            "an s3:// address with a user or a key in it is refused, since addresses are written to reports: give "
            "credentials by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in ~/.aws"
        )
        raise UsageError(msg)
    names = key.rstrip("/").split("/") if key else []
    if not BUCKET.fullmatch(bucket) or any(name in ("", ".", "..") for name in names):
        msg = f"s3://{rest} is no address of an object: give s3://BUCKET/KEY, a key without empty names, . or .."
        raise UsageError(msg)
    if importlib.util.find_spec("s3fs") is None:
        msg = "s3:// needs s3fs, which is not installed: pip install 'wsi-patches[s3]'"
        raise MissingExtra(msg)
    return RemotePath(PurePosixPath(bucket, *names))


class _AsLocation:
    """Tells pydantic to take a string by `path_of`: `Path` would make one slash of an address's two."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(_validated)


def _validated(value: Any) -> Path:
    if not isinstance(value, str | os.PathLike | RemotePath):
        msg = "a path or an s3:// address is expected"
        raise ValueError(msg)  # to which pydantic adds where, and what was found
    return path_of(value)


Location = Annotated[Path, _AsLocation()]
"""The type of a setting that is a path or an address."""
