"""Interest on debts: told at every multiple of its interval, and each user pays exactly what he owes of it; of L17 and L23."""

from __future__ import annotations

from specs.lawbook import Breaches
from specs.model.borrow import interest
from specs.scene import Case, Outcome, Scene
from specs.tape import USERS_FROM, Flow, OutcomeKind


def interest_is_exact(case: Case) -> Breaches:
    """Every whole multiple of an interval that time has passed is told, none else; what is due of it is paid at once."""
    then, now = case.before["clock"][0][0], case.after["clock"][0][0]
    wanted = []
    for asset, row in enumerate(case.book.venue.assets):
        every = row.borrow.every_ns if row.borrow else now + 1
        wanted += [(time, asset) for time in range((then // every + 1) * every, now + 1, every)]
    told = [(o.time_ns, o.asset) for o in case.outcomes if o.kind == OutcomeKind.INTEREST]
    if told != sorted(wanted):
        yield f"interest is told at {told} (time, asset), due is {sorted(wanted)}"
    due: dict[int, int] = {}
    for scene, o in case.walk():
        if o.kind == OutcomeKind.FLOW and o.flow == Flow.INTEREST:
            if due.pop(o.account, 0) != o.money:
                yield f"account {o.account} pays {o.money} of interest, more or less than what it owes costs"
            continue
        if due:
            yield f"interest of {due} is not paid"
        due = _due(scene, o) if o.kind == OutcomeKind.INTEREST else {}
    if due:
        yield f"interest of {due} is not paid"


def _due(scene: Scene, o: Outcome) -> dict[int, int]:
    row = scene.book.venue.assets[o.asset].borrow
    users = [account for account in scene.owner if account >= USERS_FROM] if row else []
    found = {account: interest(row, -scene.wallet(account, o.asset)) for account in users}
    return {account: money for account, money in found.items() if money}


def is_owed(scene: Scene, o: Outcome, last: Outcome | None) -> bool:
    """Return whether who pays interest owes something of the asset of the interval that was told."""
    told = last is not None and last.kind == OutcomeKind.INTEREST and last.asset == o.asset
    return told and scene.wallet(o.account, o.asset) < 0
