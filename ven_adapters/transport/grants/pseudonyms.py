"""Names for cars that tell nothing: a keyed digest of what the vendor calls them.

A VIN is half guessable, so an unkeyed digest would be no pseudonym. The mapping back lives in memory only and is made
anew from the vendor's own list; nothing outside the automaker's file ever sees a vendor's name.
"""

import hashlib
import hmac
from collections.abc import Mapping

from ven_adapters.contract import BackendError, ErrorCode

DIGITS = 16


class Pseudonyms:
    """Vendor's names to refs and back. `named` gives chosen refs to some cars (vendor's name to ref)."""

    def __init__(self, prefix: str, secret: str, named: Mapping[str, str] | None = None) -> None:
        self._prefix = prefix
        self._secret = secret.encode()
        self._named = dict(named or {})
        self._natives: dict[str, str] = {}

    def ref(self, native: str) -> str:
        """The car's ref; from now on it can be turned back."""
        digest = hmac.new(self._secret, native.encode(), hashlib.sha256).hexdigest()[:DIGITS]
        ref = self._named.get(native) or f"{self._prefix}-{digest}"
        self._natives[ref] = native
        return ref

    def native(self, ref: str) -> str:
        """What the vendor calls the car; INVALID_REQUEST when it was not listed."""
        if ref not in self._natives:
            raise BackendError(ErrorCode.INVALID_REQUEST, "vehicle_ref: is not enrolled here")
        return self._natives[ref]

    def knows(self, ref: str) -> bool:
        """Whether the car was listed."""
        return ref in self._natives
