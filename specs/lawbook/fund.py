"""The insurance fund: it pays what it has and may, and says what it could not; a slice and its fund are quits; L9."""

from __future__ import annotations

from specs.lawbook import Breaches
from specs.lawbook.insurance import Settled
from specs.scene import Case
from specs.tape import Chart, Flow, OutcomeKind, Stage


def fund_pays_what_it_has(case: Case) -> Breaches:
    """L9. Judge each payment by what the fund may pay, each slice by its delta, each write-off by the FUND_SHORT before it."""
    unpaid: dict[int, int] = {}
    paid, settled = 0, Settled(case)
    for scene, o in case.walk():
        may = scene.fund_may_pay(paid)
        left = scene.block_left(o.other if o.kind == OutcomeKind.FLOW else o.account)[1]
        if o.stage == Stage.BOOK and left is not None:
            may = min(may, left)
        yield from settled.see(scene, o, may)
        if o.kind == OutcomeKind.FLOW and o.account == Chart.FUND:
            if o.money > may:
                yield f"the fund pays {o.money} and has {may} to pay"
            paid += o.money
            owes = -scene.cash(o.other)
            if o.flow == Flow.FUND_PAYMENT and o.stage == Stage.FUND and o.money != min(owes, may):
                yield f"the fund pays {o.money} to account {o.other}, which owes {owes}: it has {may} to pay"
        if o.kind == OutcomeKind.FUND_SHORT:
            if o.stage == Stage.FUND:
                unpaid[o.account] = o.money
            if may > 0:
                yield f"the fund is short of {o.money} for account {o.other} and still has {may} to pay"
        if o.kind == OutcomeKind.FLOW and o.flow == Flow.WRITE_OFF and Stage.FUND in case.book.stages:
            if unpaid.pop(o.other, None) != o.money:
                yield f"{o.money} of account {o.other} are written off, no FUND_SHORT says so"
    yield from settled.end(case.end)
    if case.final.cash(Chart.FUND) < 0:
        yield f"the fund has {case.final.cash(Chart.FUND)}"
