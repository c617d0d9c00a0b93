"""The address of a service, taken before anything else is done: who cannot have it has changed nothing."""

import errno
import socket
import sys

from windcast.errors import ConfigError
from windcast.serving.settings import ServiceSettings

BACKLOG = 2048  # connections that may wait


def listen(settings: ServiceSettings) -> socket.socket:
    """A socket that listens at the service's host and port; who connects waits until the service is ready.

    Raises ConfigError where the port is taken or not allowed, or the host is not this machine's.
    """
    host, port = settings.host, settings.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        taken = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"host '{host}' is not an address ({error.strerror}). Choose another with --host.") from None
    try:
        if sys.platform == "win32":  # there, SO_REUSEADDR would let two services have one port
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
        taken.listen(BACKLOG)
        taken.setblocking(False)
    except OSError as error:
        taken.close()
        known = {
            errno.EADDRINUSE: f"port {port} is taken. Choose another with --port.",
            errno.EACCES: f"port {port} is for the system's services. Choose one above 1023 with --port.",
            errno.EADDRNOTAVAIL: f"host '{host}' is not an address of this machine. Choose another with --host.",
        }
        said = known.get(error.errno or 0, f"cannot listen at {host}, port {port}: {error.strerror}.")
        raise ConfigError(said) from None
    return taken
