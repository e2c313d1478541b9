"""Which user of this machine is at the other end of a connection on loopback."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterator
from pathlib import Path

Address = tuple[str, int]

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENS = "0A"
_ROOT = 0
_MOST = 1024


class Peers:
    """Whether peers are of our own user, asked once for each connection.

    The server hands the same address object on with every request of one connection, and only with those; so what is
    remembered is bound to that object, not to a port, which another user may be given as soon as it is free.
    """

    def __init__(self, tables: tuple[Path, ...] = TABLES) -> None:
        self._tables = tables
        self._known: dict[Address, tuple[Address, bool]] = {}

    def are_ours(self, client: Address | None, server: Address | None) -> bool:
        """Whether the process at `client` is of this server's user, or of root.

        True, too, where the system has no such table (macOS): there it is not checked.
        """
        if client is None or server is None:
            return not self._has_tables()
        known = self._known.get(client)
        if known is None or known[0] is not client:
            if len(self._known) >= _MOST:
                self._known.clear()
            known = self._known[client] = (client, not self._has_tables() or self._look(client, server))
        return known[1]

    def _has_tables(self) -> bool:
        return any(table.exists() for table in self._tables)

    def _look(self, client: Address, server: Address) -> bool:
        ends = [(_written(*client, mapped), _written(*server, mapped)) for mapped in (False, True)]
        for row in self._rows():
            # A socket without an inode was closed by its owner already, and is said to be root's.
            if (row[1], row[2]) in ends and row[3] != _LISTENS and row[9] != "0":
                return int(row[7]) in (os.geteuid(), _ROOT)
        return False

    def _rows(self) -> Iterator[list[str]]:
        for table in self._tables:
            try:
                lines = table.read_text(encoding="ascii").splitlines()[1:]
            except FileNotFoundError:
                continue
            yield from (line.split() for line in lines)


def _written(host: str, port: int, mapped: bool) -> str:
    """An address as the kernel's table has it: words of 32 bits, each in the machine's own order."""
    address = ipaddress.ip_address(host.partition("%")[0])
    packed = address.packed
    if mapped and address.version == 4:
        packed = bytes(10) + b"\xff\xff" + packed
    words = [packed[at : at + 4] for at in range(0, len(packed), 4)]
    if sys.byteorder == "little":
        words = [word[::-1] for word in words]
    return f"{b''.join(words).hex().upper()}:{port:04X}"
