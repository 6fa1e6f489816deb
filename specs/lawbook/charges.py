"""Charges: whatever is taken from a user he asked for, or a row names it; L23."""

from __future__ import annotations

from specs import units
from specs.lawbook import Breaches
from specs.lawbook.book import fee_ppm
from specs.lawbook.borrow import is_owed
from specs.lawbook.bust import Fills
from specs.lawbook.insurance import Slices
from specs.lawbook.transfer import in_liquidation, is_part
from specs.scene import Case, Outcome, Scene
from specs.tape import FLOWS, HOLDER, USER, USERS_FROM, Chart, EventKind, Flow, OutcomeKind, Seam, Stage, Status


def nobody_is_charged_for_nothing(case: Case) -> Breaches:
    """L23. Whatever takes something from a user: for its own request, its own fill, or by a row that names the charge."""
    last: Outcome | None = None  # the fill or the funding interval that charges belong to
    paid = 0  # notional of the liquidation slice that the last fill belongs to
    fills, slices = Fills(case), Slices(case)
    surplus = 0  # of the takeover just before: what it owes the fund
    left = 0, 0  # notional of the position that it closes and maintenance - equity, before it
    for scene, o in case.walk():
        yield from fills.see(o)
        slices.see(scene, o)
        if surplus:
            if (o.kind, o.flow, o.account, o.money) != (OutcomeKind.FLOW, Flow.TAKEOVER_SURPLUS, last.account, surplus):
                yield f"the fund is owed {surplus} of the takeover of account {last.account}, and does not get it at once"
        if o.kind == OutcomeKind.FILL:
            notional = abs(o.qty * case.book.value_at(o.market, o.price))
            if o.stage == Stage.BOOK and not (last and last.ref_id == o.ref_id):
                e = scene.evaluate(o.account)
                left = abs(scene.qty[o.account, o.market] * scene.value(o.market)), max(0, e.maintenance - e.equity)
            paid = notional + (paid if last and last.ref_id == o.ref_id else 0)
            yield from _fill_is_owed(case, scene, o, notional)
        elif o.kind in (OutcomeKind.TAKEOVER, OutcomeKind.ADL, OutcomeKind.CONVERT):
            yield from _closing_is_owed(case, scene, o)
        elif o.kind == OutcomeKind.MOVED:
            e = case.event
            if (e.kind, e.account, e.qty) != (EventKind.MODE, o.account, o.other) or scene.owner[o.account] != scene.owner[
                o.other
            ]:
                yield f"a position of account {o.account} moves to {o.other}, nobody asked for it"
        elif o.kind == OutcomeKind.FLOW:
            yield from _flow_fits(o)
            if o.account >= USERS_FROM:
                yield from _flow_is_owed(case, scene, o, last, paid, left, slices, surplus)
        if o.kind in (OutcomeKind.FILL, OutcomeKind.FUNDING, OutcomeKind.TAKEOVER, OutcomeKind.INTEREST):
            last = o
        surplus = _surplus(case, scene, o)
    if surplus:
        yield f"the fund is owed {surplus} of the takeover of account {last.account}, and does not get it"
    yield from fills.end()


def _surplus(case: Case, scene: Scene, o: Outcome) -> int:
    """Return what a takeover owes the fund: what the position is worth above the row's price of it."""
    row = case.book.stages.get(Stage.TAKEOVER)
    if o.kind != OutcomeKind.TAKEOVER or row is None or row.surplus != "fund":
        return 0
    return max(0, scene.qty[o.account, o.market] * scene.value(o.market) - scene.takeover_cash(o.account, o.market))


def _fill_is_owed(case: Case, scene: Scene, o: Outcome, notional: int) -> Breaches:
    """Who takes sent the order, now or before, or is in liquidation; who makes has an order there; the fee is the market's."""
    forced = o.stage in (Stage.BOOK, Stage.CONVERT)
    asked = case.asks(o) and case.event.account == o.account
    if case.fired(o) or o.market in scene.auctions:  # who asked before; in an auction neither has asked in this event
        asked = o.ref_id in scene.orders and scene.orders[o.ref_id].account == o.account
    if not (scene.status[o.account] == Status.LIQUIDATING if forced else asked):
        yield f"account {o.account} trades and has not asked for it, nor is it in liquidation"
    maker = scene.orders.get(o.other_id)
    if maker is None or maker.account != o.other:
        yield f"account {o.other} trades order {o.other_id}, which is not its own"
    fee = 0 if forced or not case.book.clears else units.div_ceil(notional * fee_ppm(case, scene, o), units.PPM)
    if o.money != fee:
        yield f"account {o.account} pays a fee of {o.money} for a fill, due are {fee}"


def _closing_is_owed(case: Case, scene: Scene, o: Outcome) -> Breaches:
    """Only an account in liquidation is closed or converted; whom it is deleveraged against held the other side."""
    if scene.status[o.account] != Status.LIQUIDATING:
        yield f"{OutcomeKind(o.kind).name} of account {o.account}, which is {Status(scene.status[o.account]).name}"
    stage = {OutcomeKind.TAKEOVER: Stage.TAKEOVER, OutcomeKind.ADL: Stage.ADL, OutcomeKind.CONVERT: Stage.CONVERT}[o.kind]
    if stage not in case.book.stages:
        yield f"{OutcomeKind(o.kind).name} of account {o.account}, for which the rule book has no stage"
    if o.kind == OutcomeKind.ADL and scene.qty[o.other, o.market] * scene.qty[o.account, o.market] >= 0:
        yield f"account {o.other} is deleveraged and does not hold the other side"


def _flow_fits(o: Outcome) -> Breaches:
    """The ends of a flow are those of its row in FLOWS."""
    for end, account in zip(FLOWS.get(o.flow, ("nobody", "nobody")), (o.account, o.other)):
        user = account >= USERS_FROM
        if not (user or account == Chart.BACKSTOP if end == HOLDER else user if end == USER else end == Chart(account).name):
            yield f"a flow of kind {o.flow} goes from {o.account} to {o.other}, its row says {FLOWS.get(o.flow)}"


def _flow_is_owed(
    case: Case, scene: Scene, o: Outcome, last: Outcome | None, paid: int, left: tuple[int, int], slices: Slices, surplus: int
) -> Breaches:
    """paid: notional of the slice of `last`; surplus: what the takeover just before owes the fund."""
    e, what = case.event, f"account {o.account} pays a {Flow(o.flow).name} of {o.money}"
    if o.flow in (Flow.WITHDRAWAL, Flow.TRANSFER):
        if e.account != o.account or e.kind not in (EventKind.WITHDRAW, EventKind.TRANSFER, EventKind.MODE):
            yield f"{what} and has not asked for it"
        if o.flow == Flow.TRANSFER and scene.owner[o.account] != scene.owner[o.other]:
            yield f"{what} to account {o.other} of another owner"
    elif last is not None and last.kind == OutcomeKind.FILL and o.flow in (Flow.FEE, Flow.LIQUIDATION_FEE):
        fees = case.book.venue.markets[last.market].fees
        notional = abs(last.qty * case.book.value_at(last.market, last.price))
        who, fee = last.other, units.div_ceil(notional * fees.maker_ppm, units.PPM)
        if o.flow == Flow.LIQUIDATION_FEE:
            who, fee = last.account, _liquidation_fee(case, scene, last, paid, left, slices)
        if (o.account, o.money) != (who, fee) or (o.flow == Flow.LIQUIDATION_FEE and last.stage != Stage.BOOK):
            yield f"{what}, due are {fee} of account {who}"
    elif o.flow == Flow.FUNDING_PAID and last is not None and last.kind == OutcomeKind.FUNDING:
        if not scene.qty[o.account, last.market]:
            yield f"{what} and holds nothing of market {last.market}"
    elif o.flow == Flow.INTEREST:
        if not is_owed(scene, o, last):
            yield f"{what} and owes nothing of that asset"
    elif o.flow in (Flow.COLLATERAL_GIVEN, Flow.TRANSFER_FEE):
        if not is_part(case, o) or not in_liquidation(scene, o):
            yield f"{what}, nothing that it owes was taken over for it"
    elif o.flow == Flow.AUTO_ADD:
        yield from _auto_add_is_owed(case, scene, o)
    elif o.flow == Flow.TAKEOVER_SURPLUS and surplus:
        if (o.account, o.money) != (last.account, surplus):
            yield f"{what}, due are {surplus} of account {last.account}"
    else:
        yield f"{what}, no row names it"


def _by_the_market(scene: Scene, last: Outcome, paid: int, left: tuple[int, int]) -> int:
    """Return the market's fee on a slice that traded `paid`: as it has grown, or out of what closing leaves; rounded up."""
    most = units.div_ceil(paid * scene.liquidation_ppm(last.account, last.market, last.time_ns), units.PPM)
    row, (held, short_of) = scene.book.venue.markets[last.market].fees.liquidation_left, left
    if row is None:
        return most
    rate_ppm = scene.brackets[last.market].of(held).rate_ppm_up - row.discount_ppm
    share = units.div_ceil(max(0, held * rate_ppm - short_of * units.PPM) * row.share_ppm, units.PPM)
    if not share:
        return 0
    return min(most, units.div_ceil(paid * share, held * units.PPM))


def _liquidation_fee(case: Case, scene: Scene, last: Outcome, paid: int, left: tuple[int, int], slices: Slices) -> int:
    """Return what a slice owes the fund: by its insurance row, or the market's fee, which is all of what is left or senior."""
    row = case.book.stages.get(Stage.BOOK)
    if slices.row is not None:
        return slices.fee
    fee = _by_the_market(scene, last, paid, left)
    if row is not None and row.fee_seniority == "senior":
        return fee
    return min(fee, max(0, scene.conversion_equity(last.account)))


def _auto_add_is_owed(case: Case, scene: Scene, o: Outcome) -> Breaches:
    """A parent adds margin to its own sub-account that asks for it, when it is due, up to initial margin."""
    if scene.parent.get(o.other) != o.account or not scene.auto_add[o.other]:
        yield f"account {o.account} adds margin to account {o.other}, which is no sub-account of it or has not switched it on"
    if Seam.LIQUIDATION_TRIGGER not in case.armed and not scene.triggered(o.other):
        yield f"account {o.account} adds margin to account {o.other}, which is safe"
    short = scene.requirements(o.other) - scene.evaluate(o.other).equity
    if o.money > short:
        yield f"account {o.account} adds {o.money} to account {o.other}, which is short of {short}"
