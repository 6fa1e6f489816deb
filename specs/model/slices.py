"""What a slice of a liquidation closes: of which position, how many lots, and the fee on what was traded.

Lots are whole: a slice closes at least one, unless its quantity asks for none. Money of the numeraire, at the marks in force.
At a mark of 0 a lot counts as worth one unit of money where a quantity is measured by its worth, or a rate by a position's.
"""

from __future__ import annotations

from specs import rules, units
from specs.model.book import Order
from specs.model.ledger import Account
from specs.model.margin import Evaluation
from specs.tape import Side, Tif


def choose(exchange, account: Account, choice: str) -> int:
    """Return the market of the position that is closed next; of equals the lowest number."""
    held = [market for market, qty in enumerate(account.qty) if qty]
    best = held[0]
    for market in held[1:]:
        if _more(exchange, account, choice, market, best):
            best = market
    return best


def _more(exchange, account: Account, choice: str, a: int, b: int) -> bool:
    need = [exchange.maintenance(account, m) for m in (a, b)]
    value = [account.qty[m] * exchange.value[m] for m in (a, b)]
    if choice == "largest_notional":
        return abs(value[0]) > abs(value[1])
    if choice == "largest_loss":
        return account.entry[a] - value[0] > account.entry[b] - value[1]
    if choice == "highest_rate":
        return units.cmp_ratio(need[0], abs(value[0]) or 1, need[1], abs(value[1]) or 1) > 0
    return need[0] > need[1]


def lots(exchange, account: Account, market: int, row: rules.BookStage, e: Evaluation, limit: int) -> int:
    """Return the lots of a slice; 0: the stage closes none. `limit`: its worst price."""
    qty, value = abs(account.qty[market]), _worth(exchange, market)
    if row.quantity == "all":
        asked = qty
    elif row.quantity == "restore":
        asked = _restore(exchange, account, market, row, e)
    elif row.quantity.kind == "shortage":
        asked = _shortage(exchange, account, market, row, e)
    elif row.quantity.kind == "tiers":
        asked = _tiers(exchange, account, market, row.quantity)
    else:
        asked = _share(exchange, account, market, row.quantity, limit)
    if asked and row.time_share is not None:
        asked = _in_time(exchange, account, row.time_share, e, asked)
    if asked and row.position_share is not None:
        share, least = row.position_share, exchange.whole(row.position_share.notional_min)
        most = max(1, qty * share.share_ppm // units.PPM, least // value)
        asked = min(max(asked, units.div_ceil(least, value)), most, qty)
    if asked and row.block_limit is not None and row.block_limit.notional_max is not None:
        left = exchange.whole(row.block_limit.notional_max) - used(exchange, account, row.block_limit)[0]
        asked = min(asked, units.div_ceil(left, value))
    return asked


def _worth(exchange, market: int) -> int:
    """Return the size of what a lot is worth, at least a unit of money."""
    return max(1, abs(exchange.value[market]))


def used(exchange, account: Account, row: rules.BlockLimit) -> tuple[int, int]:
    """Return the notional that slices have closed and the insurance that the fund has paid for them in this window."""
    window, notional, insurance = account.block
    return (notional, insurance) if window == exchange.now // row.window_ns else (0, 0)


def use(exchange, account: Account, row: rules.BlockLimit, notional: int, insurance: int) -> None:
    """Count what a slice closed, or what the fund paid for it."""
    before = used(exchange, account, row)
    account.block = exchange.now // row.window_ns, before[0] + notional, before[1] + insurance


def insurance_left(exchange, account: Account, row: rules.BlockLimit | None) -> int | None:
    """Return what the fund may still pay for the account's slices in this window; None: no row says."""
    if row is None or row.insurance_max is None:
        return None
    return exchange.whole(row.insurance_max) - used(exchange, account, row)[1]


def used_up(exchange, account: Account, row: rules.BlockLimit | None) -> bool:
    """Return whether the account waits for the next window."""
    if row is None:
        return False
    notional = row.notional_max is not None and used(exchange, account, row)[0] >= exchange.whole(row.notional_max)
    return notional or insurance_left(exchange, account, row) == 0


def _charged_ppm(exchange, account: Account, market: int, row: rules.BookStage) -> int:
    """Return what a slice is taken to pay the fund: the most that its insurance takes, or the fee."""
    return row.insurance.max_fee_ppm if row.insurance else fee_ppm(exchange, account, market)


def _restore(exchange, account: Account, market: int, row: rules.BookStage, e: Evaluation) -> int:
    """Return the lots that make the account safe if they close at the mark and pay the liquidation fee; all if none do.

    Found by bisection between 0 (unsafe) and the whole position (safe); where a fee above the maintenance rate makes safety
    not monotone this is one crossing of it, the same one in both twins.
    """
    value, qty = abs(exchange.value[market]), abs(account.qty[market])
    rate_ppm = _charged_ppm(exchange, account, market, row)
    others = e.maintenance - exchange.maintenance(account, market)

    def safe(lots: int) -> bool:
        fee = units.div_ceil(lots * value * rate_ppm, units.PPM)
        return e.equity - fee > others + (exchange.maintenance_of(account, market, qty - lots) if lots < qty else 0)

    if safe(0) or not safe(qty):
        return qty
    unsafe, enough = 0, qty
    while enough - unsafe > 1:
        middle = (unsafe + enough) // 2
        if safe(middle):
            enough = middle
        else:
            unsafe = middle
    return enough


def _shortage(exchange, account: Account, market: int, row: rules.BookStage, e: Evaluation) -> int:
    qty, value = abs(account.qty[market]), _worth(exchange, market)
    notional = exchange.notional(account, market, account.qty[market], qty)
    freed_ppm = exchange.brackets[market].of(notional).rate_ppm - row.quantity.discount_ppm
    freed_ppm -= _charged_ppm(exchange, account, market, row)
    if freed_ppm <= 0:
        return qty
    return min(qty, max(1, max(0, e.maintenance - e.equity) * units.PPM // (value * freed_ppm)))


def _tiers(exchange, account: Account, market: int, row: rules.Tiers) -> int:
    caps, qty = [piece.notional_max for piece in exchange.brackets[market].rows], abs(account.qty[market])
    notional = exchange.notional(account, market, account.qty[market], qty)
    at = next((i for i, cap in enumerate(caps) if notional <= cap), len(caps) - 1)
    return max(0, qty - units.muldiv_floor(caps[max(0, at - row.down)], qty, notional)) if at else 0


def _share(exchange, account: Account, market: int, row: rules.Share, limit: int) -> int:
    held = account.qty[market]
    qty = abs(held)
    whole = qty <= row.whole_lots or qty * _worth(exchange, market) <= exchange.whole(row.whole)
    asked = qty if whole else units.div_ceil(qty * row.share_ppm, units.PPM)
    if row.book_ppm is None:
        return asked
    side = Side.SELL if held > 0 else Side.BUY
    everything = Order(0, account.number, market, side, limit, units.QTY_MAX, Tif.IOC)
    return min(asked, exchange._available(everything, limit) * row.book_ppm // units.PPM)


def _in_time(exchange, account: Account, row: rules.TimeShare, e: Evaluation, asked: int) -> int:
    elapsed = exchange.now - account.since_ns
    if e.maintenance - e.equity < exchange.whole(row.small) or elapsed >= row.duration_ns:
        return asked
    share = row.initial_ppm * row.duration_ns + elapsed * units.PPM  # of PPM x duration
    return min(asked, max(1, asked * share // (units.PPM * row.duration_ns)))


def fee_ppm(exchange, account: Account, market: int) -> int:
    """Return the liquidation fee's rate now, before what closing leaves is looked at."""
    fees = exchange.venue.markets[market].fees
    growth, elapsed = fees.liquidation_growth, exchange.now - account.since_ns
    if growth is None or elapsed < growth.grace_ns:
        return fees.liquidation_ppm
    return min(growth.max_ppm, fees.liquidation_ppm + elapsed // growth.every_ns * growth.ppm)


def fee(exchange, account: Account, market: int, notional: int, held: int, e: Evaluation) -> int:
    """Return the fee on what a slice traded, rounded up. held: the position's notional at the mark before it, as e is."""
    most = units.div_ceil(notional * fee_ppm(exchange, account, market), units.PPM)
    row = exchange.venue.markets[market].fees.liquidation_left
    if row is None:
        return most
    rate_ppm = exchange.brackets[market].of(held).rate_ppm_up - row.discount_ppm
    left = max(0, held * rate_ppm - max(0, e.maintenance - e.equity) * units.PPM)
    if not left:
        return 0
    share = units.muldiv_ceil(left, row.share_ppm, units.PPM)
    return min(most, units.muldiv_ceil(notional, share, held * units.PPM))
