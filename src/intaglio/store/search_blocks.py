"""Sets of versions, 4096 to a block, as bits: how they are kept in tables, and how they are put together.

A version is in block `seq >> 12`, at the place of its other 12 bits. In memory a set of places is one integer. Kept,
it is the places as 16-bit numbers while they are fewer than 64, and else 512 bytes of bits: little-endian, both.
All numbers of one field in one block are one column: their count (4 bytes), the distinct keys in order (8 bytes each,
signed), how many bytes each one's places take (2 each), and the places.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping

from intaglio.core.errors import Damaged

SHIFT = 12
SIZE = 1 << SHIFT
FULL = (1 << SIZE) - 1
_BYTES = SIZE // 8
_FEW = 64  # more places are put together faster as bits
_COUNT, _ONE = 4, 2
_HANDFUL = 32  # so few are put together faster one by one

REPAIR = "Make the search tables again with: intaglio versions reindex"
_DAMAGED = "the search tables are damaged"


def place_of(seq: int) -> tuple[int, int]:
    """The block and the place of a version."""
    return seq >> SHIFT, seq & (SIZE - 1)


def bits_of(places: Iterable[int]) -> int:
    """A set of places as an integer."""
    places = list(places)
    if len(places) < _HANDFUL and max(places, default=0) < SIZE:
        bits = 0
        for place in places:
            bits |= 1 << place
        return bits
    flags = bytearray(b"0") * SIZE
    try:
        for place in places:
            flags[~place] = 49  # "1", counted from the end
    except IndexError as error:
        raise Damaged(_DAMAGED, hint=REPAIR) from error
    return int(flags, 2)


def places_of(bits: int) -> Iterator[int]:
    """The places in a set, the highest first."""
    while bits:
        place = bits.bit_length() - 1
        yield place
        bits ^= 1 << place


def pack(bits: int) -> bytes:
    """A set as it is kept."""
    if bits.bit_count() < _FEW:
        return _bytes(array("H", sorted(places_of(bits))))
    return bits.to_bytes(_BYTES, "little")


def unpack(data: bytes) -> int:
    """A set that was kept."""
    if len(data) == _BYTES:
        return int.from_bytes(data, "little")
    return bits_of(_array("H", data))


def union(kept: Iterable[bytes]) -> int:
    """All places of several sets that were kept."""
    bits, few = 0, []
    for data in kept:
        if len(data) == _BYTES:
            bits |= int.from_bytes(data, "little")
        else:
            few.append(data)
    return bits | bits_of(_array("H", b"".join(few)))


class Column:
    """The numbers of one field in one block."""

    def __init__(self, data: bytes = b"\0\0\0\0") -> None:
        count = int.from_bytes(data[:_COUNT], "little")
        keys_end, start = _COUNT + 8 * count, _COUNT + 10 * count
        self.keys = _array("q", data[_COUNT:keys_end])
        self._lengths = _array("H", data[keys_end:start])
        self._places = data[start:]

    @classmethod
    def of(cls, sets: Mapping[int, int]) -> Column:
        """The column of these sets by key."""
        made = cls()
        made.keys = array("q", sorted(sets))
        packed = [pack(sets[key]) for key in made.keys]
        made._lengths = array("H", map(len, packed))
        made._places = b"".join(packed)
        return made

    def data(self) -> bytes:
        """The column as it is kept."""
        count = len(self.keys).to_bytes(_COUNT, "little")
        return b"".join((count, _bytes(self.keys), _bytes(self._lengths), self._places))

    def sets(self) -> dict[int, int]:
        """The set of each key."""
        found, start = {}, 0
        for key, length in zip(self.keys, self._lengths, strict=True):
            found[key] = unpack(self._places[start : start + length])
            start += length
        return found

    def set(self, key: int, place: int, *, there: bool) -> None:
        """Put a place under a key, or take it away."""
        at = bisect_left(self.keys, key)
        start = sum(self._lengths[:at])
        known = at < len(self.keys) and self.keys[at] == key
        end = start + (self._lengths[at] if known else 0)
        bits = unpack(self._places[start:end]) if known else 0
        bits = bits | 1 << place if there else bits & ~(1 << place)
        packed = pack(bits)
        if known:
            del self.keys[at], self._lengths[at]
        if bits:
            self.keys.insert(at, key)
            self._lengths.insert(at, len(packed))
        self._places = self._places[:start] + packed + self._places[end:]

    def between(self, first: int, last: int) -> int:
        """The places of all keys from the first to the last."""
        low, high = bisect_left(self.keys, first), bisect_right(self.keys, last)
        if low >= high:
            return 0
        if len(self._places) == _ONE * len(self.keys):  # each number is one version's own
            return bits_of(_array("H", self._places[_ONE * low : _ONE * high]))
        start, parts = sum(self._lengths[:low]), []
        for length in self._lengths[low:high]:
            parts.append(self._places[start : start + length])
            start += length
        return union(parts)


def _array(kind: str, data: bytes) -> array[int]:
    found: array[int] = array(kind)
    try:
        found.frombytes(data)
    except ValueError as error:
        raise Damaged(_DAMAGED, hint=REPAIR) from error
    if sys.byteorder == "big":
        found.byteswap()
    return found


def _bytes(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()
