"""Invitations to a listening test: a secret link for each listener, of which only the SHA-256 is kept."""

import hashlib
import secrets
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from wavewright.studio.folder import Refusal, missing
from wavewright.studio.judging import Judging
from wavewright.studio.store import Store

SECRET = 32  # bytes
LASTS = 14 * 86400.0  # seconds


class InvitationAsked(BaseModel):
    """Who is invited."""

    model_config = ConfigDict(extra="forbid")

    listener: str


class Invited(NamedTuple):
    """Who an invitation lets in: a listener of one test."""

    test: str
    listener: int


class Invitations:
    """The invitations of a folder of work.

    Args:
        store: where they are kept.
        judging: the tests.
        changed: called after every change.

    Attributes:
        base: address of the listeners' server, or None where there is none.
    """

    def __init__(self, store: Store, judging: Judging, changed: Callable[[], None]) -> None:
        self._store, self._judging, self._changed = store, judging, changed
        self.base: str | None = None

    def rows(self, id: str) -> list[dict[str, Any]]:
        """Return who is invited to a test, the first one first.

        Raises:
            Refusal: there is no such test.
        """
        self._judging.test(id)
        names = self._judging.names(id)
        return [
            {
                "listener": row["listener"],
                "name": names[row["listener"]],
                "expires": row["expires"],
                "answers": len(self._store.rows("answers", test=id, listener=row["listener"])),
            }
            for row in self._store.rows("invitations", test=id)
        ]

    def make(self, id: str, asked: InvitationAsked) -> dict[str, str]:
        """Invite a listener and return the link, which is told this once. An earlier link of the listener ends.

        Raises:
            Refusal: there is no such test, the name is none, or invited listeners could not reach the studio.
        """
        if self.base is None:
            raise Refusal(409, "listeners: none can reach the studio; start it with --listen ADDRESS")
        self._judging.test(id)
        number, token = self._judging.number(id, asked.listener), secrets.token_urlsafe(SECRET)
        facts = {"test": id, "listener": number, "hash": _hash(token), "expires": time.time() + LASTS}
        self._store.put("invitations", id=f"{id}-{number}", **facts)
        self._changed()
        return {"name": asked.listener, "link": f"{self.base}/#{token}"}

    def withdraw(self, id: str, listener: int) -> None:
        """End an invitation. The answers that it brought stay.

        Raises:
            Refusal: there is none.
        """
        if self._store.row("invitations", id=f"{id}-{listener}") is None:
            raise missing("invitations", str(listener))
        self._store.remove("invitations", f"{id}-{listener}")
        self._changed()

    def find(self, token: str) -> Invited | None:
        """Return who this token lets in. None means that it is unknown, withdrawn or over."""
        row = self._store.row("invitations", hash=_hash(token))
        return Invited(row["test"], row["listener"]) if row and time.time() < row["expires"] else None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()
