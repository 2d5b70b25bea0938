"""The servers that key stores are tested against; each is started once."""

from tests.servers import openbao_server, postgresql_server, redis_server

__all__ = ["openbao_server", "postgresql_server", "redis_server"]
