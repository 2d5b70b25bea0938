"""The witness as a service: its key, its store, its logs and its server, put together."""

from collections.abc import Callable
from dataclasses import dataclass

from tallystick import _core, securefile
from tallystick.cosigners import Policy
from tallystick.errors import FormatError
from tallystick.web import Server, Web
from tallystick.witness.completing import Completing
from tallystick.witness.cosigning import Cosigning
from tallystick.witness.database import open_database
from tallystick.witness.desk import Desk
from tallystick.witness.errors import StoppedError, WitnessServiceError
from tallystick.witness.keyfile import host_name, read_or_make
from tallystick.witness.known import KnownLogs
from tallystick.witness.posting import Posting
from tallystick.witness.publisher import Publisher
from tallystick.witness.showing import Showing, restore
from tallystick.witness.site import WitnessSite
from tallystick.witness.store import Store
from tallystick.witness.tiles import Tiles
from tallystick.witness.timestamp import Authority
from tallystick.witness.tree import Tree

__all__ = ["Config", "Service"]

_CONNECTIONS = 1024
_LARGEST = 2**20  # bytes of a policy


@dataclass(frozen=True, slots=True)
class Config:
    """What a witness does.

    Args:
        store: Directory, or URL of PostgreSQL.
        key: File of its key, which is made where there is none.
        logs: Directory with public files `*.pub` of the logs that it knows; None for none.
        most_open: How many logs it takes that nobody named.
        web: Where it listens, and who may read its page.
        name: What a new key is called; None for the name of this machine.
        interval: Seconds between two checkpoints of its tree.
        policy: File with who is asked to cosign its tree (C2SP tlog-policy); None for nobody.
        tsa: URL of a time-stamp authority; None for none.
        tsa_interval: Seconds between two of its tokens.
        restored: Take back what receipts have shown since an older store was put back, and go on.
    """

    store: str
    key: str
    logs: str | None
    most_open: int
    web: Web
    name: str | None = None
    interval: float = 60.0
    policy: str | None = None
    tsa: str | None = None
    tsa_interval: float = 3600.0
    restored: bool = False


class Service:
    """A witness, which listens once it is started.

    Args:
        config: What it does.
        say: Takes a line about what happened, for people.

    Raises:
        TallystickError: It cannot be run so.
    """

    def __init__(self, config: Config, say: Callable[[str], None]) -> None:
        self._say = say
        signer = read_or_make(config.key, config.name or host_name())
        self.key: _core.NoteKey = signer.key
        authority = Authority(config.tsa, Posting()) if config.tsa is not None else None
        rule = _policy(config.policy) if config.policy is not None else None
        cosigning = Cosigning(rule, signer.key, say, Posting()) if rule is not None else None
        known = KnownLogs(config.logs, config.most_open, say)
        store = Store(open_database(config.store), str(signer.key))
        try:
            self._prepare(store, known, config)
            showing = Showing(signer, known, say)
            self._desk = Desk(store, say)
            tiles, completing = _tree(store, signer)
            self._publisher = Publisher(
                self._desk, tiles, completing, showing, config.interval, say, cosigning, authority, config.tsa_interval
            )
            site = WitnessSite(config.web, self._desk, showing, known, tiles, completing, signer.key.name)
            self._server = Server(config.web, site, "witness", _CONNECTIONS)
        except BaseException:
            store.database.close()
            raise
        self._store = store

    def _prepare(self, store: Store, known: KnownLogs, config: Config) -> None:
        known.load(store)
        store.database.begin()
        try:
            why = store.stopped()
            if config.restored:
                count = restore(store)
                self._say(f"{count} texts that receipts have shown were taken back; it goes on")
            elif why is not None:
                raise StoppedError(
                    f"the witness has stopped: {why}",
                    hint="put its newest store back; or, if there is none, let it run until writers have shown their "
                    "receipts, and start it with --restored",
                )
            store.database.commit()
        except StoppedError as error:
            store.database.rollback()
            self._say(f"{error}; {error.hint}")
        except BaseException:
            store.database.rollback()
            raise

    @property
    def address(self) -> str:
        """Its URL, with the port that it has."""
        return self._server.address

    def start(self) -> None:
        """Begin to listen."""
        self._desk.start()
        self._publisher.start()
        self._server.start()
        if self._server.warning:
            self._say(self._server.warning)

    def stop(self) -> None:
        """End: what is being answered is answered, and all that was accepted is durable."""
        self._server.stop()
        self._publisher.stop()
        self._desk.stop()
        self._store.database.close()


def _tree(store: Store, signer: _core.NoteSigner) -> tuple[Tiles, Completing]:
    """Return what is published of the witness's own tree."""
    store.database.begin()
    try:
        tree = Tree(store.database)
        completing = Completing(store, tree, signer)
        store.database.commit()
    except BaseException:
        store.database.rollback()
        raise
    return Tiles(tree, completing), completing


def _policy(path: str) -> Policy:
    try:
        with securefile.reporting(WitnessServiceError, path), open(path, "rb") as file:
            return Policy.parse(file.read(_LARGEST))
    except FormatError as error:
        raise error.found_in(path) from None
