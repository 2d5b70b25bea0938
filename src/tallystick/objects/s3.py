"""S3 by AWS's own library, for what obstore cannot do: versions, locks, and requests that make an object only once."""

import errno
import functools
import importlib
from typing import Any

from tallystick.errors import ReportError
from tallystick.objects.store import ADVICE, DENIED

__all__ = ["client", "explained"]

_PATIENCE = {"connect_timeout": 10, "read_timeout": 60, "retries": {"total_max_attempts": 3, "mode": "standard"}}


@functools.lru_cache(maxsize=16)
def client(bucket: str) -> Any:
    """Return a client for a bucket; credentials come by the usual chain of that library.

    Raises:
        ReportError: The library is not installed, or its settings are invalid.
    """
    try:
        boto3, config = importlib.import_module("boto3"), importlib.import_module("botocore.config")
        region = boto3.Session().region_name or "us-east-1"
        return boto3.client("s3", region_name=region, config=config.Config(**_PATIENCE))
    except ImportError as error:
        raise ReportError(
            f"s3://{bucket} is written by the package {error.name}, which is not installed",
            hint="pip install 'tallystick[object]'",
        ) from error
    except Exception as error:
        raise ReportError(
            f"s3://{bucket}: {explained(error).strerror}", hint="check the settings of the store"
        ) from error


def explained(error: Exception) -> OSError:
    """Return what the library said as an error of the system; a store's own text may hold secrets, and is not shown."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    response = getattr(error, "response", None)
    code = str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
    shown = f" ({code}{': ' + ADVICE[code] if code in ADVICE else ''})" if code.isalnum() else ""
    if code == "PreconditionFailed" or status == 412:
        return FileExistsError(errno.EEXIST, "an object has this name already")
    if code in DENIED or status in (401, 403):
        return PermissionError(errno.EACCES, f"the store denies access{shown}")
    if code == "NoSuchKey" or (status == 404 and code != "NoSuchBucket"):
        return FileNotFoundError(errno.ENOENT, "no such object")
    return OSError(errno.EIO, f"the store does not answer as it should{shown or f' ({type(error).__name__})'}")
