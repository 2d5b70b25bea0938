"""OpenBao and HashiCorp Vault as key store and custody both meet them: the way there, logins, words for trouble.

What logs in is never in a URL. The option `login` says how: by a `token` (the variables BAO_TOKEN or VAULT_TOKEN, or
~/.vault-token), by `approle` (the secret id in BAO_SECRET_ID or VAULT_SECRET_ID) or by `kubernetes` (the token of the
pod's service account). `credential` names a file that holds it instead.

>>> from tallystick.errors import KeyStoreError
>>> Server("openbao://bao.example/secret", "bao.example", OPTIONS | {"login": "magic"}, 5, "openbao", KeyStoreError)
Traceback (most recent call last):
    ...
tallystick.errors.KeyStoreError: OpenBao knows no login 'magic'
hint: known are approle, kubernetes, token
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tallystick._services import AwayError, Line, library
from tallystick.errors import TallystickError, reason

__all__ = ["OPTIONS", "REMEDY", "Server"]

# Options that a URL may have after ?, with their defaults.
OPTIONS = {
    "namespace": "",
    "cacert": "",
    "tls": "on",
    "login": "token",
    "login-mount": "",
    "role": "",
    "credential": "",
}
REMEDY = "see that the server runs and is unsealed, and that address and TLS are right"

_LOGINS = ("approle", "kubernetes", "token")
_VARIABLES = {"token": ("BAO_TOKEN",), "approle": ("BAO_SECRET_ID", "VAULT_SECRET_ID"), "kubernetes": ()}
_POD = "/var/run/secrets/kubernetes.io/serviceaccount/token"
_LONGEST = 65_536  # characters of a credential


class Server:
    """A server, how to log in there, and the error for trouble that no other attempt can end.

    Args:
        shown: The URL that names it to people.
        host: Its HOST[:PORT].
        options: Those of OPTIONS, and others that are not looked at.
        timeout: Seconds that one answer may take.
        extra: The extra of this package that installs its client.
        error: The class of errors.

    Raises:
        TallystickError: An option is wrong; this is of the kind that was asked for.
    """

    def __init__(
        self,
        shown: str,
        host: str,
        options: Mapping[str, str],
        timeout: float,
        extra: str,
        error: type[TallystickError],
    ) -> None:
        self.name = f"OpenBao at {shown}"
        self._host, self._options, self._timeout = host, options, timeout
        self._extra, self._error = extra, error
        self._login = options["login"]
        if self._login not in _LOGINS:
            raise error(f"OpenBao knows no login {self._login!r}", hint=f"known are {', '.join(_LOGINS)}")
        if self._login != "token" and not options["role"]:
            raise error(f"the login {self._login} at OpenBao needs a role", hint="add role=ROLE to the URL")
        if options["tls"] not in ("on", "off"):
            raise error("the option tls of OpenBao is on or off")

    @property
    def hvac(self) -> Any:
        """The library that speaks to it."""
        return library("hvac", self._extra, self._error)

    def client(self, line: Line) -> Any:
        """Return a client that speaks over a line and is logged in; to be called within `reporting`."""
        if (cacert := self._options["cacert"]) and not os.access(cacert, os.R_OK):
            raise self._error(
                f"the certificates in {cacert} for {self.name} cannot be read", hint="see that ?cacert= names a file"
            )
        token = self._credential() if self._login == "token" else ""
        guarded = self._options["tls"] == "on"
        session = _session(library("requests", self._extra, self._error), line)
        session.verify = cacert or True
        session.trust_env = guarded  # a proxy would see all that is not encrypted
        client = self.hvac.Client(
            url=f"{'https' if guarded else 'http'}://{self._host}",
            token=token,  # for None the client looks at VAULT_TOKEN and ~/.vault-token
            namespace=self._options["namespace"] or None,
            verify=cacert or True,
            timeout=self._timeout,
            session=session,
            allow_redirects=False,
        )
        if self._login != "token":
            self._log_in(client)
        return client

    def _log_in(self, client: Any) -> None:
        errors, credential = self.hvac.exceptions, self._credential()
        if not credential:
            raise self._error(
                f"there is no secret id to log in at {self.name} with",
                hint="give it by the variable BAO_SECRET_ID, or name a file that holds it by ?credential=FILE",
            )
        mount = self._options["login-mount"] or self._login
        login = getattr(client.auth, self._login).login
        try:
            login(self._options["role"], credential, mount_point=mount)
        except (errors.InvalidRequest, errors.Forbidden, errors.Unauthorized, errors.InvalidPath):
            raise self._error(
                f"{self.name} refuses the login by {self._login} at auth/{mount}",
                hint=f"see that it is enabled there, that the role {self._options['role']!r} is right and that the "
                "credential is valid and has not expired",
            ) from None

    def _credential(self) -> str | None:
        path = self._options["credential"] or (_POD if self._login == "kubernetes" else "")
        if not path:
            given = (os.environ.get(name) for name in _VARIABLES[self._login])
            return next((text.strip() for text in given if text), None)
        try:
            with open(path, encoding="ascii") as file:
                return file.read(_LONGEST).strip()
        except UnicodeDecodeError:
            raise self._error(
                f"the credential for {self.name} in {path} is invalid", hint="write a token or a secret id into it"
            ) from None
        except OSError as error:
            raise self._error(
                f"the credential for {self.name} cannot be read from {path}: {reason(error)}",
                hint="name it by ?credential=",
            ) from None

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Turn trouble into an AwayError if another attempt may succeed, else into the error of this server."""
        errors, web = self.hvac.exceptions, library("requests", self._extra, self._error).exceptions
        try:
            yield
        except (errors.Forbidden, errors.Unauthorized):
            raise self._refusal() from None
        except errors.VaultDown:
            raise AwayError("is sealed, or is just starting") from None
        except errors.RateLimitExceeded:
            raise AwayError("is asked too often") from None
        except errors.VaultError as error:
            raise AwayError(f"fails ({type(error).__name__})") from None
        except web.Timeout:
            raise AwayError("does not answer in time") from None
        except web.SSLError:
            raise self._error(
                f"{self.name} has no certificate that this host trusts", hint="name its authority by ?cacert=FILE"
            ) from None
        except (KeyError, ValueError, TypeError, AttributeError, LookupError):
            raise AwayError("answers what OpenBao would not") from None
        except (web.RequestException, OSError):
            raise AwayError("cannot be reached, or the connection broke") from None

    def _refusal(self) -> TallystickError:
        if self._login == "token":
            where = self._options["credential"] or "the variable BAO_TOKEN"
            return self._error(
                f"{self.name} refuses the token, or its policy lacks a right",
                hint=f"give a token that is valid by {where}, with the policy that the documentation lists",
            )
        return self._error(
            f"{self.name} lets in the role {self._options['role']!r} but no further",
            hint="give it the policy in the documentation",
        )


def _session(requests: Any, line: Line) -> Any:
    """Return a session of requests whose connections a line holds, and which follows nobody elsewhere."""

    class Adapter(requests.adapters.HTTPAdapter):  # type: ignore[misc]
        def init_poolmanager(self, *arguments: Any, **more: Any) -> None:
            super().init_poolmanager(*arguments, **more)
            _hold(self.poolmanager, line)

        def proxy_manager_for(self, *arguments: Any, **more: Any) -> Any:
            return _hold(super().proxy_manager_for(*arguments, **more), line)

    session = requests.Session()
    session.mount("https://", Adapter())
    session.mount("http://", Adapter())
    session.hooks["response"].append(_refuse_redirect)
    return session


def _hold(manager: Any, line: Line) -> Any:
    """Make a line hold each connection that a manager of urllib3 makes."""

    def holding(pool: Any) -> Any:
        class Connection(pool.ConnectionCls):  # type: ignore[misc]
            def _new_conn(self) -> Any:
                return line.open(super()._new_conn)

        return type(pool.__name__, (pool,), {"ConnectionCls": Connection})

    pools = manager.pool_classes_by_scheme
    if not hasattr(manager, "held"):  # one for a proxy is asked for again and again
        manager.pool_classes_by_scheme = {scheme: holding(pool) for scheme, pool in pools.items()}
        manager.held = True
    return manager


def _refuse_redirect(answer: Any, **_: Any) -> None:
    """Stay where the URL points: a token is for this server, whose certificate was looked at, and for no other."""
    if 300 <= answer.status_code < 400:
        answer.close()
        raise AwayError("answers with a redirect, which is not followed: a token is for one server; name the right one")
