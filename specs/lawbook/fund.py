"""The insurance fund: it pays what it has, and says what it could not; L9."""

from __future__ import annotations

from specs.lawbook import Breaches
from specs.scene import Case
from specs.tape import Chart, Flow, OutcomeKind, Stage


def fund_pays_what_it_has(case: Case) -> Breaches:
    """L9. Judge each payment by what the fund has, and each write-off by the FUND_SHORT before it."""
    unpaid: dict[int, int] = {}
    for scene, o in case.walk():
        has = scene.cash(Chart.FUND)
        if o.kind == OutcomeKind.FLOW and o.account == Chart.FUND and o.money > has:
            yield f"the fund pays {o.money} and has {has}"
        if o.kind == OutcomeKind.FUND_SHORT:
            unpaid[o.account] = o.money
            if has > 0:
                yield f"the fund is short of {o.money} for account {o.other} and still has {has}"
        if o.kind == OutcomeKind.FLOW and o.flow == Flow.WRITE_OFF and Stage.FUND in case.book.stages:
            if unpaid.pop(o.other, None) != o.money:
                yield f"{o.money} of account {o.other} are written off, no FUND_SHORT says so"
    if case.final.cash(Chart.FUND) < 0:
        yield f"the fund has {case.final.cash(Chart.FUND)}"
