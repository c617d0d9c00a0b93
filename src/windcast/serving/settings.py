"""How a service runs."""

from dataclasses import dataclass
from pathlib import Path

from windcast.errors import ConfigError
from windcast.registry.pointer import REGISTRY

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """bundles: folders of bundles, or bundles. champions: farms of the registry whose champion is served.

    store: a PostgreSQL URL or the path of an SQLite file.
    keys: file of API keys; only a service that listens on the machine itself may do without.
    rate, burst: requests a second and at once that a client may make. most_mb: largest body, after unpacking.
    """

    bundles: tuple[Path, ...]
    champions: tuple[str, ...] = ()
    registry: Path = REGISTRY
    store: str = "windcast.db"
    host: str = "127.0.0.1"
    port: int = 8000
    keys: Path | None = None
    rate: float = 1000
    burst: float = 2000
    most_mb: float = 64
    log_level: str = "info"
    root_path: str = ""

    def __post_init__(self) -> None:
        if self.keys is None and self.host not in LOOPBACK:
            raise ConfigError(
                f"listening on {self.host} without API keys would let anyone in. Make a key with "
                "`windcast keys add NAME` and give --keys keys.json, or listen on 127.0.0.1."
            )
        if not 0 <= self.port < 65536:
            raise ConfigError(f"port is {self.port}; choose 1 to 65535, or 0 for any that is free.")
        for name in ("rate", "burst", "most_mb"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be positive.")

    @property
    def most_bytes(self) -> int:
        return int(self.most_mb * 1_000_000)
