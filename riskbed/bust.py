"""Fills that the venue took back, and what still stands: whoever counts what a run closed by force asks here.

A bust undoes one fill, whole (specs/model/bust.py). If that is a fill of a liquidation order, its lots are the account's again:
they were not closed by force, and if they are closed once more, the second close is the one that counts, at its time. So it is
with collateral sold into the book. Of several fills of one slice the others stand.

A count up to a horizon takes a fill as it stood then: one that was busted later counts.

Left as it was told, and counted as such: money (the slice's fee to the fund, fund payments, write-offs, so the shortfall), that
an account was liquidated, and the prices that the fill moved, so also the rounds of its cascade (riskbed/rounds.py).
"""

from __future__ import annotations

import numpy as np

from specs.tape import OutcomeKind


def undone(outcomes: np.ndarray, horizon_ns: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the fills that are busted up to and with the horizon, and the rows of what busts them.

    outcomes: of a run from its first on, for a fill's number is the count of fills before it.
    """
    told = outcomes["kind"] == OutcomeKind.BUSTED
    if horizon_ns is not None:
        told &= outcomes["time_ns"] <= horizon_ns
    busts = np.flatnonzero(told)
    if not len(busts):
        return busts, busts
    fills = np.flatnonzero(outcomes["kind"] == OutcomeKind.FILL)
    numbers = outcomes["ref_id"][busts]
    assert int(numbers.max()) < len(fills), "a bust of a fill that these outcomes do not have"
    rows = fills[numbers.astype(np.int64)]
    for name in ("account", "other", "market", "side", "price", "qty"):
        assert np.array_equal(outcomes[name][rows], outcomes[name][busts]), f"a bust and its fill differ in {name}"
    return rows, busts


def standing(outcomes: np.ndarray, horizon_ns: int | None = None) -> np.ndarray:
    """Return a bool an outcome: False for a fill that is busted up to and with the horizon."""
    stands = np.ones(len(outcomes), dtype=bool)
    stands[undone(outcomes, horizon_ns)[0]] = False
    return stands
