"""Bust: the venue undoes a fill by compensating postings.

A fill's number is the count of FILL outcomes of the run before it. The latest `limits.fills_kept` can be undone: position and
cash, or the asset of a spot market, go back at the fill's price, and so do both fees; what a liquidation slice paid to the fund
stays. It is not as if the fill had never been: orders are not revived, prices that it moved (last, mark, index) and funding paid
since stand, and neither margin, grade, state nor any limit of the market is asked. Reduce-only orders are cut to what is left of
their positions, and both accounts are looked at again: they may be liquidated.
"""

from __future__ import annotations

from dataclasses import dataclass

from specs import units
from specs.model.ledger import Account
from specs.tape import Chart, Flow, MarketState, OutcomeKind, Reason, Side


@dataclass
class Fill:
    """A fill that may be undone; fees in money of the asset that the market settles in."""

    number: int
    taker: int
    maker: int
    market: int
    side: int  # the taker's
    price: int
    qty: int
    fee: int
    maker_fee: int
    busted: bool = False

    def row(self) -> tuple[int, ...]:
        fields = (self.number, self.taker, self.maker, self.market, self.side, self.price, self.qty, self.fee, self.maker_fee)
        return *map(int, fields), int(self.busted)


def keep(exchange, taker: int, maker: int, market: int, side: int, price: int, qty: int, fee: int, maker_fee: int) -> None:
    """Count a fill, and keep it while it is one of the latest."""
    exchange.kept.append(Fill(exchange.fills, taker, maker, market, side, price, qty, fee, maker_fee))
    exchange.fills += 1


def post_bust(exchange, e) -> Reason:
    fill = next((fill for fill in exchange.kept if fill.number == e.ref_id), None)
    if fill is None:
        return Reason.UNKNOWN_FILL
    if fill.busted:
        return Reason.BUSTED_ALREADY
    if exchange.states[fill.market] == MarketState.CLOSED:
        return Reason.MARKET_CLOSED
    taker, maker = (exchange.ledger.accounts[number] for number in (fill.taker, fill.maker))
    reason = _refused(exchange, fill, taker, maker) if exchange.clears else Reason.NONE
    if reason:
        return reason
    fill.busted = True
    if exchange.clears:
        _give_back(exchange, fill)
    exchange.emit(
        OutcomeKind.BUSTED,
        account=fill.taker,
        other=fill.maker,
        market=fill.market,
        ref_id=fill.number,
        side=fill.side,
        price=fill.price,
        qty=fill.qty,
        money=fill.fee,
        flow=Flow.TRADE,
    )
    if fill.maker_fee:
        exchange.flow(Flow.FEE_RETURNED, Chart.FEES, fill.maker, exchange.paid_in[fill.market], fill.maker_fee)
    for account in (taker, maker):
        exchange.trim(account, fill.market)
    return Reason.NONE


def _refused(exchange, fill: Fill, taker: Account, maker: Account) -> Reason:
    """Return why what a fill moved cannot go back: a position out of bounds; of a spot market no asset, or no room."""
    bought = fill.side == Side.BUY
    if not exchange.spot[fill.market]:
        for account, lots in ((taker, -fill.qty if bought else fill.qty), (maker, fill.qty if bought else -fill.qty)):
            buy_lots, _, sell_lots, _ = exchange._open(account, fill.market)
            held = account.qty[fill.market] + (lots if taker is not maker else 0)
            if max(abs(held + buy_lots), abs(held - sell_lots)) > units.POSITION_MAX:
                return Reason.POSITION_LIMIT
        return Reason.NONE
    if taker is maker:
        return Reason.NONE
    base, quote = exchange.spot[fill.market].base, exchange.paid_in[fill.market]
    units_of_base = fill.qty * exchange.spot[fill.market].units
    cash = fill.qty * exchange.value_at(fill.market, fill.price)
    for account, buyer, fee in ((taker, bought, fill.fee), (maker, not bought, fill.maker_fee)):
        gives = {base: units_of_base, quote: -cash - fee} if buyer else {base: -units_of_base, quote: cash - fee}
        for asset, amount in gives.items():  # what it gets, its fee among it, is negative
            if amount > 0 and exchange.wallet(account, asset) < amount:
                return Reason.INSUFFICIENT_BALANCE
            if amount < 0 and asset != exchange.numeraire and account.balance[asset] - amount > units.BALANCE_MAX:
                return Reason.INSUFFICIENT_BALANCE
    return Reason.NONE


def _give_back(exchange, fill: Fill) -> None:
    """Sell back to the seller what was bought, at the fill's price; return the taker's fee. The maker's is told as a flow."""
    buyer, seller = (fill.taker, fill.maker) if fill.side == Side.BUY else (fill.maker, fill.taker)
    cash, spot, quote = (
        fill.qty * exchange.value_at(fill.market, fill.price),
        exchange.spot[fill.market],
        exchange.paid_in[fill.market],
    )
    if spot:
        exchange.ledger.swap(seller, buyer, spot.base, fill.qty * spot.units, quote, cash)
    else:
        exchange.ledger.exchange(seller, buyer, fill.market, fill.qty, cash)
    if fill.fee:
        exchange.ledger.flow(Chart.FEES, fill.taker, quote, fill.fee)
