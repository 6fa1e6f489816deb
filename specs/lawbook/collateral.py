"""Collateral sold for a debt: slice by slice in the venue's own book, or to the treasury at its conversion price; of L10."""

from __future__ import annotations

from specs.model.margin import Haircut
from specs.scene import Case


def sold_in(case: Case, market: int) -> Haircut:
    """Return the collateral row that is sold in a spot market."""
    return next(haircut for haircut in case.book.haircuts if haircut.market == market)
