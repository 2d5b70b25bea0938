"""One store: its objects are listed, looked at and read in ranges. What goes wrong is an OSError with a number.

Credentials come by the usual chain of each store: for `s3://` that of AWS's own library (environment, profiles, roles,
metadata of the machine), for `gs://` and `az://` the environment and the files that their tools write.
"""

import errno
import functools
import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tallystick.errors import ReportError
from tallystick.objects.address import Address

__all__ = ["ADVICE", "DENIED", "Object", "Store", "connect"]

_PAGE = 1000  # objects of a list at a time
_VERSIONS = 2**17  # objects of which it is remembered which version was read last
_RETRY = {
    "max_retries": 8,
    "retry_timeout": timedelta(seconds=90),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=8), "base": 2},
}
_TIMES = {"connect_timeout": timedelta(seconds=10), "timeout": timedelta(seconds=60)}
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(\w{1,64})")
_STATUS = re.compile(r"status code: (\d{3}(?: [A-Z][\w-]*)*)")
DENIED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "ExpiredToken")
ADVICE = {
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
    "PermanentRedirect": "the bucket is in another region: set AWS_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set AWS_REGION",
    "IllegalLocationConstraintException": "the bucket is in another region: set AWS_REGION",
    "NoSuchBucket": "there is no such bucket",
    "InvalidRequest": "has the bucket Object Lock?",
}


@dataclass(frozen=True, slots=True)
class Object:
    """An object as its store lists it.

    Args:
        store: Where it is.
        url: Its URL.
        size: Its bytes, as the store says.
        etag: What the store tells its contents by; None where it does not say.
        version: Number of the version, where the store says.
        changed: When it was put there, ns since 1970, by the store's clock.
    """

    store: "Store"
    url: str
    size: int
    etag: str | None
    version: str | None
    changed: int

    @property
    def name(self) -> str:
        """Its name in the store."""
        return self.url[len(self.store.root) + 1 :]

    @property
    def identity(self) -> tuple[str, str, int]:
        """What tells it from others, and from what had its name before."""
        return self.url, self.etag or str(self.changed), self.size

    def read(self, start: int, end: int) -> bytes:
        """Read a range of bytes.

        Raises:
            OSError: ESTALE where it is not what was listed any more, else as the store says.
        """
        return self.store.read(self, start, end)


class Store:
    """A bucket, a container, or a web server."""

    def __init__(self, root: str, store: Any) -> None:
        self.root, self._store = root, store
        self._versions: dict[tuple[str, str, int], str] = {}
        self._library = importlib.import_module("obstore")

    def list(self, folder: str) -> Iterator[Object]:
        """Give all objects whose names begin with some parts, at any depth.

        Raises:
            OSError: It cannot be listed.
        """
        try:
            for page in self._library.list(self._store, folder or None, chunk_size=_PAGE):
                for meta in page:
                    yield self._object(meta)
        except Exception as error:
            raise _explained(error) from error

    def look(self, name: str) -> Object:
        """Look at one object.

        Raises:
            OSError: It is not there, or may not be looked at.
        """
        try:
            return self._object(self._library.head(self._store, name))
        except Exception as error:
            raise _explained(error) from error

    def read(self, wanted: Object, start: int, end: int) -> bytes:
        """Read a range of an object that was listed; `Object.read` says what is raised."""
        options: dict[str, Any] = {"range": (start, end)}
        if wanted.etag is not None and not wanted.etag.startswith("W/"):
            options["if_match"] = wanted.etag
        try:
            got = self._library.get(self._store, wanted.name, options=options)
            found, data = self._object(got.meta), bytes(got.bytes())
        except Exception as error:
            raise _explained(error) from error
        if found.identity != wanted.identity or len(data) != end - start:
            raise OSError(errno.ESTALE, "it is not what the store listed")
        if found.version is not None:
            self._versions[wanted.identity] = found.version
            if len(self._versions) > _VERSIONS:
                self._versions.pop(next(iter(self._versions)), None)
        return data

    def version_of(self, one: Object) -> str | None:
        """Return the version of an object that was read, where the store said it; lists do not."""
        return one.version or self._versions.get(one.identity)

    def put(self, name: str, data: bytes) -> None:
        """Put an object there, unless one has its name.

        Raises:
            OSError: EEXIST where one has its name, else as the store says.
        """
        try:
            self._library.put(self._store, name, data, mode="create")
        except Exception as error:
            raise _explained(error) from error

    def _object(self, meta: Mapping[str, Any]) -> Object:
        changed: datetime = meta["last_modified"]
        nanoseconds = int(changed.timestamp()) * 10**9
        etag = meta["e_tag"]
        if etag and not etag.startswith(('"', "W/")):
            etag = f'"{etag}"'  # so it stands in Azure's lists
        return Object(self, f"{self.root}/{meta['path']}", meta["size"], etag, meta["version"], nanoseconds)


@functools.lru_cache(maxsize=64)
def connect(root: str) -> Store:
    """Return the store with a URL; nothing is asked of it yet.

    Args:
        root: Scheme, and bucket, container or host.

    Raises:
        ReportError: What reads it is not installed, or its settings are invalid.
    """
    address = Address.of(root)
    try:
        stores = importlib.import_module("obstore.store")
        own = _s3(stores, address.bucket) if address.scheme == "s3" else _other(stores, address)
    except ImportError as error:
        raise ReportError(
            f"{root} is read by the package {error.name}, which is not installed",
            hint="pip install 'tallystick[object]'",
        ) from error
    except Exception as error:
        raise ReportError(f"{root}: {_explained(error).strerror}", hint="check the settings of the store") from error
    return Store(address.root, own)


def _s3(stores: Any, bucket: str) -> Any:
    """Return a bucket of S3, with what AWS's own library knows of it."""
    boto3 = importlib.import_module("boto3")
    client = boto3.client("s3", region_name=boto3.Session().region_name or "us-east-1")
    endpoint = client.meta.endpoint_url
    own = not re.fullmatch(r"https://[\w.-]*\.amazonaws\.com(?:\.cn)?", endpoint)
    settings: dict[str, Any] = {"region": client.meta.region_name}
    if own:
        settings |= {"endpoint": endpoint}
    session = boto3.Session()
    if session.get_credentials() is None:
        settings |= {"skip_signature": True}
    else:
        settings |= {"credential_provider": importlib.import_module("obstore.auth.boto3").Boto3CredentialProvider()}
    options = {**_TIMES, **({"allow_http": True} if own and endpoint.startswith("http:") else {})}
    return stores.S3Store(bucket, **settings, client_options=options, retry_config=_RETRY)


def _other(stores: Any, address: Address) -> Any:
    kind = {"gs": "GCSStore", "az": "AzureStore"}.get(address.scheme)
    if kind is not None:
        return getattr(stores, kind)(address.bucket, client_options=_TIMES, retry_config=_RETRY)
    options = {**_TIMES, **({"allow_http": True} if address.scheme == "http" else {})}
    return stores.HTTPStore.from_url(address.root, client_options=options, retry_config=_RETRY)


def _explained(error: Exception) -> OSError:
    """Return what a store said as an error of the system. Its own text may hold credentials, and is not shown."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    said, kind = str(error), type(error).__name__
    code, status = _CODE.search(said), _STATUS.search(said)
    word = code[1] if code else status[1] if status else ""
    advice = ADVICE.get(word)
    shown = f" ({word}{': ' + advice if advice else ''})" if word else ""
    if isinstance(error, FileNotFoundError) and word != "NoSuchBucket":
        return FileNotFoundError(errno.ENOENT, "no such object")
    if kind in ("PermissionDeniedError", "UnauthenticatedError") or word in DENIED:
        return PermissionError(errno.EACCES, f"the store denies access{shown}")
    if kind == "PreconditionError":
        return OSError(errno.ESTALE, "it was replaced before it was read")
    if kind == "AlreadyExistsError":
        return FileExistsError(errno.EEXIST, "an object has this name already")
    if found := _CERTIFICATE.search(said):
        return OSError(errno.EIO, f"its certificate is not one that is trusted here ({found[1]})")
    if kind == "NotSupportedError":
        return OSError(errno.EIO, "the server gives no ranges of bytes, by which objects are read")
    if kind == "InvalidPathError":
        return OSError(errno.EINVAL, "an object's name is one that cannot be read: it has empty parts, or `.` or `..`")
    return OSError(errno.EIO, f"the store does not answer as it should{shown or f' ({kind})'}")
