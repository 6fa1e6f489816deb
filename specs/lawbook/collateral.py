"""Collateral sold for a debt: slice by slice in the venue's own book, or to the treasury at its conversion price; of L10.

And what it counts for in initial margin; of L6.
"""

from __future__ import annotations

from specs.lawbook import Breaches
from specs.model.margin import Haircut
from specs.scene import Case, Outcome, Scene
from specs.tape import USERS_FROM, Action, Grade, MarketState, OutcomeKind, Permit, Side, Stage


def sold_in(scene: Scene, market: int) -> Haircut:
    """Return the collateral row that is sold in a spot market."""
    return next(haircut for haircut in scene.haircuts if haircut.market == market)


def slice_of_collateral(case: Case, scene: Scene, o: Outcome) -> Breaches:
    """A slice sells what the debt needs at the conversion price, judged when it begins, where the stage goes to the book."""
    fills = [x for x in case.outcomes if x.kind == OutcomeKind.FILL and x.ref_id == o.ref_id]
    if o is not fills[0]:
        return
    row = sold_in(scene, o.market)
    if case.book.stages[Stage.CONVERT].to != "book" or o.side != Side.SELL or row not in _convertible(scene, o.account):
        yield f"collateral of account {o.account} is sold in market {o.market}, no stage does so"
    lots, sold = scene.sale(o.account, row)[0], sum(x.qty for x in fills)
    if scene.cash(o.account) >= 0 or sold > lots:
        cash = scene.cash(o.account)
        yield f"{sold} lots of account {o.account} are sold in market {o.market}, due are {lots} at a balance of {cash}"


def conversion_is_exact(scene: Scene, o: Outcome) -> Breaches:
    """The first row that may be sold; no more of it than pays the debt. Where the stage goes to the book only dust comes here."""
    if scene.book.stages[Stage.CONVERT].to == "book":
        row = next((h for h in _convertible(scene, o.account) if h.asset == o.asset), None)
        if row is None or scene.balance[o.account, o.asset] >= scene.book.spot[row.market].units:
            yield f"asset {o.asset} of account {o.account} goes to the treasury, it was to be sold in the book"
            return
        rows = [row]
    else:
        rows = _convertible(scene, o.account)
    row, need = next(iter(rows), None), -scene.cash(o.account)
    if row is None or row.asset != o.asset or need <= 0:
        yield f"asset {o.asset} of account {o.account} is converted out of turn, its balance is {-need}"
        return
    price, balance = scene.collateral[o.asset].last_valid, scene.balance[o.account, o.asset]
    sold = balance if row.conversion_value(balance, price) <= need else row.conversion_qty(need, price)
    if (o.money, o.price) != (sold, row.conversion_price(price)):
        yield f"{o.money} of asset {o.asset} are converted at {o.price}, due are {sold} at {row.conversion_price(price)}"


def weight_in_force(scene: Scene, o: Outcome) -> Breaches:
    """A weight of initial margin that is scaled comes of what all users hold when its price is published."""
    row = next(haircut for haircut in scene.haircuts if haircut.asset == o.asset)
    price = o.price if o.grade == Grade.VALID else scene.collateral[o.asset].last_valid
    held = sum(max(0, money) for (who, asset), money in scene.balance.items() if asset == o.asset and who >= USERS_FROM)
    due = 0 if row.deposits_max is None else row.scaled(held, price)
    if o.qty != due:
        yield f"asset {o.asset} counts at {o.qty} ppm in initial margin, due are {due} of {held} held at {price}"


def could_sell(scene: Scene, account: int) -> bool:
    """Return whether collateral could still be sold: dust to the treasury, or lots to a bid within the bound."""
    for row in _convertible(scene, account):
        if (
            scene.book.stages[Stage.CONVERT].to == "treasury"
            or scene.balance[account, row.asset] < scene.book.spot[row.market].units
        ):
            return True
        bid = scene.first(row.market, Side.BUY)
        open_market = scene.state_permit(row.market, Action.LIQUIDATE) < Permit.DEFER and scene.band_is_known(row.market)
        if bid is None or not open_market or scene.states[row.market] == MarketState.AUCTION:
            continue
        price, inside = scene.orders[bid].price, scene.limits(row.market)
        if price >= scene.sale(account, row)[1] and (inside is None or price in inside):
            return True
    return False


def _convertible(scene: Scene, account: int) -> list[Haircut]:
    """Return the collateral rows of which the account has something that may be sold, in the rule book's order."""
    rows = [h for h in scene.haircuts if scene.balance[account, h.asset] > 0]
    return [h for h in rows if scene.permit(scene.collateral[h.asset], Action.CONVERT) < Permit.DEFER]
