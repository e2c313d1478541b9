"""Short-lived tokens that say something and prove that the holder of a secret said it: for addresses that must work
without any header."""

from __future__ import annotations

import base64
import hashlib
import hmac

_MOST = 1000


def sign(secret: bytes, text: str, expires: int) -> str:
    """A token that says `text` until the moment `expires` (seconds since 1970), in characters that any URL takes."""
    said = f"{expires}.{_written(text.encode())}"
    return f"{said}.{_written(_proof(secret, said))}"


def check(secret: bytes, token: str, now: float) -> str | None:
    """What a token says; None for one that was not signed with `secret`, and for one whose time is over."""
    said, _, proof = token.rpartition(".")
    genuine = _written(_proof(secret, said)).encode()
    if len(token) > _MOST or not hmac.compare_digest(proof.encode(errors="replace"), genuine):
        return None
    expires, _, text = said.partition(".")  # as `sign` wrote it: nobody else could
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode() if now < int(expires) else None


def _proof(secret: bytes, said: str) -> bytes:
    return hmac.digest(secret, said.encode(errors="replace"), hashlib.sha256)


def _written(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
