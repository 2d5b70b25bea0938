"""AWS KMS as custody: `aws-kms://REGION/KEY`; KEY is a key's id, its ARN or `alias/NAME`.

The key never leaves the service. The caller is identified as in all programs on boto3: variables, profile, role of
the pod, the task or the machine. Each request bears the encryption context `application=tallystick`, which key
policies can ask for and CloudTrail notes.
"""

import importlib
import re
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tallystick._services import AwayError, insist, is_here, library
from tallystick.custody.base import Owner
from tallystick.custody.options import Options, Remembers, unopened
from tallystick.errors import CustodyError

__all__ = ["AwsKms"]

T = TypeVar("T")

_PLACE = re.compile(
    r"//(?P<region>[a-z0-9-]+)/"
    r"(?P<key>[0-9a-zA-Z-]+|alias/[\w/-]+|arn:[a-z-]+:kms:(?P=region):[0-9]{12}:(key/[0-9a-zA-Z-]+|alias/[\w/-]+))",
    re.ASCII,
)
_CONTEXT = {"application": "tallystick"}
_REMEDY = "see that the service can be reached from here"
_CREDENTIALS = "give valid ones by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role of this machine"

# By the code of a refusal, as the service documents them.
_WRONG = {"UnrecognizedClientException", "InvalidClientTokenId", "SignatureDoesNotMatch", "InvalidSignatureException"}
_WRONG |= {"IncompleteSignature", "MissingAuthenticationToken", "MissingAuthenticationTokenException", "AuthFailure"}
_EXPIRED = {"ExpiredTokenException", "ExpiredToken", "RequestExpired"}
_RIGHTS = {"AccessDeniedException", "AccessDenied", "NotAuthorized", "OptInRequired"}
_UNOPENED = {"InvalidCiphertextException", "IncorrectKeyException"}
_BUSY = {"ThrottlingException", "Throttling", "LimitExceededException", "RequestLimitExceeded", "ServiceUnavailable"}
_BUSY |= {"KeyUnavailableException", "DependencyTimeoutException", "KMSInternalException", "InternalFailure"}
_STATES = {
    "NotFoundException": ("is not there", "see that region, account and key are right"),
    "DisabledException": ("is disabled", "enable it with `aws kms enable-key`"),
    "KMSInvalidStateException": (
        "cannot be used in its state",
        "if it is to be deleted, `aws kms cancel-key-deletion`",
    ),
    "InvalidKeyUsageException": ("is not for this", "take a symmetric one, for encryption and decryption"),
}


class AwsKms(Remembers):
    """Custody by a key of AWS KMS."""

    def __init__(self, url: str) -> None:
        options = Options.parse(url, {"tls": "on"})
        place = _PLACE.fullmatch(options.place)
        if place is None:
            raise CustodyError(
                "the URL of the custody aws-kms: is malformed",
                hint="write aws-kms://REGION/KEY, with a key's id, its ARN in the same region, or alias/NAME",
            )
        if options["tls"] not in ("on", "off"):
            raise CustodyError("the option tls of the custody aws-kms: is on or off")
        self.url, self.timeout, self._tls = url, options.timeout, options["tls"]
        self._region, self._key = place["region"], place["key"]

    def encrypt(self, key: bytes, owner: Owner, replacing: bytes | None) -> bytes:
        """Encrypt some bytes, in the service."""

        def work(kms: Any) -> bytes:
            given = kms.encrypt(KeyId=self._key, Plaintext=key, EncryptionContext=_CONTEXT)
            return _some(given["CiphertextBlob"])

        return self._ask("Encrypt", work)

    def decrypt(self, wrapped: bytes, owner: Owner) -> bytes:
        """Decrypt what `encrypt` returned, in the service."""

        def work(kms: Any) -> bytes:
            given = kms.decrypt(KeyId=self._key, CiphertextBlob=wrapped, EncryptionContext=_CONTEXT)
            return _some(given["Plaintext"])

        return self._ask("Decrypt", work)

    def _ask(self, what: str, work: Callable[[Any], T]) -> T:
        try:
            return insist(lambda _: self._attempt(what, work), self.timeout)
        except AwayError as error:
            raise CustodyError(f"{self.url}: AWS KMS {error}", hint=_REMEDY) from None

    def _client(self) -> Any:
        boto3 = library("boto3", "aws-kms", CustodyError)
        wait = self.timeout / 2
        config = importlib.import_module("botocore.config").Config(
            connect_timeout=wait, read_timeout=wait, retries={"total_max_attempts": 1}
        )
        try:
            client = boto3.client("kms", region_name=self._region, config=config)
        except ValueError:
            raise CustodyError(f"{self.url}: AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_KMS holds no URL") from None
        endpoint = urlsplit(client.meta.endpoint_url)
        if endpoint.scheme == "https":
            return client
        if self._tls == "on" and not is_here(endpoint.hostname or ""):
            raise CustodyError(
                f"{self.url}: its endpoint is on another host and not https, so others on the way would read the key",
                hint="set AWS_ENDPOINT_URL_KMS to an https one, or add tls=off if the way there is guarded",
            )
        config.proxies = {}  # a proxy would see all that is not encrypted
        return boto3.client("kms", region_name=self._region, config=config)

    def _attempt(self, what: str, work: Callable[[Any], T]) -> T:
        library("boto3", "aws-kms", CustodyError)
        errors, parsers = importlib.import_module("botocore.exceptions"), importlib.import_module("botocore.parsers")
        try:
            return work(self._client())
        except errors.ClientError as error:
            code = re.sub(r"[^A-Za-z0-9.]", "?", str(error.response["Error"].get("Code", "")))[:60]
            if error.operation_name != what:  # on the way to credentials
                raise CustodyError(f"{self.url}: {_nobody(f'{error.operation_name}: {code}')}") from None
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            raise self._refusal(what, code, status) from None
        except (errors.ConnectTimeoutError, errors.ReadTimeoutError):
            raise AwayError("does not answer in time") from None
        except errors.SSLError:
            raise CustodyError(
                f"{self.url}: AWS KMS has no certificate that this host trusts",
                hint="name its authority by AWS_CA_BUNDLE",
            ) from None
        except (errors.ConnectionError, errors.HTTPClientError, errors.IncompleteReadError):
            raise AwayError("cannot be reached, or the connection broke") from None
        except (parsers.ResponseParserError, KeyError, ValueError, TypeError, AttributeError):
            raise AwayError("answers what it would not") from None
        except errors.BotoCoreError as error:  # a setting of this host does not do; its words may hold anything
            raise CustodyError(f"{self.url}: {_nobody(type(error).__name__)}") from None

    def _refusal(self, what: str, code: str, status: int) -> Exception:
        if code in _UNOPENED:
            return unopened(self.url)
        if code in _WRONG:
            return CustodyError(f"{self.url}: AWS does not know these credentials ({code})", hint=_CREDENTIALS)
        if code in _EXPIRED:
            return CustodyError(
                f"{self.url}: these credentials have expired, or the clock is wrong ({code})", hint=_CREDENTIALS
            )
        if code in _RIGHTS:
            advice = f"allow kms:{what} with this key to this process, in the policy that the documentation lists"
            if what == "Decrypt":  # the same error comes for a text of another key
                return unopened(self.url, f"if neither, {advice}")
            return CustodyError(f"{self.url}: AWS KMS refuses ({code})", hint=advice)
        if code in _STATES:
            state, advice = _STATES[code]
            return CustodyError(f"{self.url}: this key {state}", hint=advice)
        if status in (401, 403):  # by something in between, which says no more
            return CustodyError(
                f"{self.url}: these credentials are refused, or lack kms:{what} with this key", hint=_CREDENTIALS
            )
        if code in _BUSY or status >= 500:
            return AwayError(f"is busy or in trouble ({code})")
        return CustodyError(
            f"{self.url}: AWS KMS refuses ({code})", hint="look the code up in the documentation of AWS KMS"
        )


def _some(answer: bytes) -> bytes:
    if not answer:
        raise ValueError("an empty answer")
    return answer


def _nobody(why: str) -> str:
    return f"no credentials for AWS that work were found ({why}); {_CREDENTIALS}"
