"""What was compared of the two twins, in words."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from riskbed.result import Twins

COLOUR = "#5c6b7a"


def headline(twins: Twins) -> tuple[str, str]:
    """Return the figure and the words of the card."""
    words = "not compared" if twins.equal is None else f"on {twins.events:,} events with {twins.accounts:,} accounts"
    return {True: "twins equal", False: "twins differ", None: "one twin"}[twins.equal], words


def section(twins: Twins, stops: int = 0) -> list[str]:
    """Return what was compared and what came of it. A difference ends a replay before there is a report.

    stops: at how many events on the way the tables of the state were compared, beside the end.
    """
    if twins.equal is None:
        words = "Not compared (--lockstep 0): what stands here is one twin's word."
    else:
        sample = "all accounts" if twins.every == 1 else f"every {twins.every:,}th group of accounts"
        words = (
            f"Model and engine ran the same {twins.events:,} events of {sample}, {twins.accounts:,} accounts "
            f"({', '.join(twins.runs)}): {'equal' if twins.equal else 'different'}. Compared: every outcome, byte for byte, and "
            f"all tables of the state at the end of each run{f' and at {stops:,} events on the way' if stops else ''}. The first "
            "difference, had there been one, would have ended this replay with its event and field."
        )
    return ["<h2>Twins</h2>", f"<p>{escape(words)}</p>"]
