"""The one door to S3: every request goes through `ask`, which waits, and says in a sentence what went wrong.

Credentials, endpoint and region come from where botocore looks for them: ``AWS_*`` in the environment and ``~/.aws``.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from wsi_patches.errors import needs_extra
from wsi_patches.locations.patience import patiently

__all__ = ["AddressError", "ask", "forget_connection"]

Result = TypeVar("Result")

CONNECT_S, READ_S, TRIES = 10, 30, 3
"""Of one request; the waiting for a store that is gone is `patiently`'s."""
CONNECTIONS = 32
NO_CREDENTIALS = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "CredentialRetrievalError"}
    | {"TokenRetrievalError", "SSOTokenLoadError", "UnauthorizedSSOTokenError", "NoAuthTokenError"}
)
BUSY = frozenset({errno.EBUSY, errno.ETIMEDOUT, getattr(errno, "EREMOTEIO", errno.EBUSY)})
"""What s3fs makes of SlowDown, ServiceUnavailable, RequestTimeout and InternalError."""


class AddressError(OSError):
    """An object or bucket cannot be reached, with a sentence for the user; other kinds are `OSError`'s own."""

    def __str__(self) -> str:
        return str(self.strerror)


class MissingObject(AddressError, FileNotFoundError):
    """There is no such object, or no such bucket."""


class DeniedObject(AddressError, PermissionError):
    """The store knows no credentials, or refuses them."""


def ask(address: str, act: Callable[[Any], Result]) -> Result:
    """Return what an operation on the object store returns; while the store does not answer it is asked again.

    Parameters
    ----------
    address
        What is asked for, for messages.
    act
        Given fsspec's file system.

    Raises
    ------
    AddressError
        With what was asked, what was found and what to do.
    MissingExtra
        s3fs is not installed.
    """

    def once() -> Result:
        try:
            return act(_file_system(os.getpid()))
        except Exception as error:
            told = _told(address, error)
            if told is None:
                raise
            raise told from error

    return patiently(once)


@lru_cache(maxsize=1)
def _file_system(_process: int) -> Any:
    """Return the file system of a process: one that was forked needs its own."""
    with needs_extra("s3", "s3://"):
        import fsspec
        import s3fs  # noqa: F401 - fsspec would name another package if it is absent

    # No listing is kept: other workers write beside this one. One instance serves all threads.
    return fsspec.filesystem(
        "s3",
        skip_instance_cache=True,
        use_listings_cache=False,
        default_cache_type="none",
        max_concurrency=1,  # more would ask for an object's size before each read
        config_kwargs={
            "connect_timeout": CONNECT_S,
            "read_timeout": READ_S,
            "max_pool_connections": CONNECTIONS,
            "retries": {"mode": "standard", "max_attempts": TRIES},
        },
    )


def forget_connection() -> None:
    """Let the connection go; the next request makes one, with the credentials and the endpoint of that time."""
    _file_system.cache_clear()


def _told(address: str, error: Exception) -> AddressError | None:
    """Return an error as a sentence; None for a bug. What the library says may quote credentials and is left out."""
    code = _code(error)
    if isinstance(error, FileNotFoundError):
        bucket = address.split("/")[2]
        if code == "NoSuchBucket" or "specified bucket" in str(error):
            return MissingObject(errno.ENOENT, f"{address}: there is no bucket {bucket}: make it, or check the address")
        return MissingObject(errno.ENOENT, f"{address} does not exist: check the address")
    if isinstance(error, PermissionError):
        return DeniedObject(
            errno.EACCES, f"{address}: access was refused ({code or 'denied'}): check your credentials and their rights"
        )
    if type(error).__name__ in NO_CREDENTIALS:
        return DeniedObject(
            errno.EACCES,
            f"{address}: no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws",
        )
    if _is_silence(error):
        return AddressError(
            errno.ETIMEDOUT,
            f"{address}: the object store does not answer ({code or type(error).__name__}): check AWS_ENDPOINT_URL and "
            "the network",
        )
    if isinstance(error, OSError) or _is_botocores(error):
        return AddressError(
            errno.EINVAL, f"{address}: the object store refused the request ({code or type(error).__name__})"
        )
    return None


def _code(error: BaseException | None) -> str:
    """Return the store's own word for an error, such as NoSuchBucket; empty where it said none."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", ""))
    return _code(error.__cause__) if error is not None and error.__cause__ is not None else ""


def _is_silence(error: Exception) -> bool:
    """Say whether an error is that of a connection, or of a store that has too much to do."""
    import botocore.exceptions
    from s3fs.core import S3_RETRYABLE_ERRORS

    connection = (*S3_RETRYABLE_ERRORS, botocore.exceptions.ConnectionError, ConnectionError, TimeoutError, EOFError)
    if isinstance(error, connection) or (isinstance(error, OSError) and error.errno in BUSY):
        return True
    return _code(error).startswith("5") or type(error).__module__.startswith("aiohttp")


def _is_botocores(error: Exception) -> bool:
    import botocore.exceptions

    return isinstance(error, botocore.exceptions.BotoCoreError | botocore.exceptions.ClientError)
