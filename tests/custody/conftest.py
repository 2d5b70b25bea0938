"""The servers that custody is tested against, and a place for the command; each server is started once."""

from tests.cli.conftest import bare
from tests.servers import moto_server, openbao_server

__all__ = ["bare", "moto_server", "openbao_server"]
