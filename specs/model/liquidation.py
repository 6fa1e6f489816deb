"""Steps 5 to 7 of the cascade: who is liquidated, and what the venue's list of stages does to them.

Two residuals are never mixed: lots open, and the shortfall, which is money and exists only once an account is flat and its
collateral converted. Nothing rounds in favour of the account that is being liquidated.
"""

from __future__ import annotations

from functools import cmp_to_key

from specs import rules, units
from specs.model import accounts, adl, bankruptcy, fund, slices, transfer, trigger
from specs.model.book import Order
from specs.model.ledger import Account
from specs.model.margin import Evaluation
from specs.tape import Action, Chart, Flow, OutcomeKind, Permit, Reason, Seam, Side, Stage, Status, Tif


def select(exchange, numbers: list[int]) -> list[tuple[Account, Evaluation]]:
    """Return the accounts to liquidate, in the order of the rule book; close, suspend and open episodes on the way."""
    selected = []
    for number in numbers:
        account = exchange.ledger.accounts[number]
        e = exchange.evaluate(account)
        verdict = trigger.triggered(exchange, account, e)
        if verdict and accounts.auto_add(exchange, account, e):
            e = exchange.evaluate(account)
            verdict = trigger.triggered(exchange, account, e)
        _call(exchange, account, e)
        if not verdict:
            if account.status != Status.NORMAL:
                account.status = Status.NORMAL
                exchange.end_episode(account)
                reason = Reason.ABOVE_TARGET if e.open else Reason.FLAT
                exchange.emit(OutcomeKind.RESTORED, account=number, money=e.equity, reason=reason)
        elif e.permit >= Permit.DEFER:
            if account.status != Status.SUSPENDED:
                account.status = Status.SUSPENDED
                exchange.emit(OutcomeKind.SUSPENDED, account=number, money=e.equity)
        elif not (exchange.cooling(account) and e.open) or _enters_anyway(exchange, e):
            selected.append((account, e))
    selected.sort(key=cmp_to_key(_ORDER[exchange.venue.liquidation.order]))
    for account, e in selected:
        if account.status != Status.LIQUIDATING:
            account.status = Status.LIQUIDATING
            account.since_ns = exchange.now
            minimum = exchange.minimum(account)
            reason = Reason.MINIMUM if minimum and e.equity < minimum else Reason.MAINTENANCE
            exchange.emit(OutcomeKind.LIQUIDATION, account=account.number, money=e.equity, reason=reason)
    return selected


def _enters_anyway(exchange, e: Evaluation) -> bool:
    """Return whether a stage that closes lots has a condition of its own, which holds: no cooldown keeps it."""
    rows = [row for row in exchange.venue.liquidation.stages if row.kind in ("takeover", "adl")]
    return any(row.enter is not None and trigger.enters(e, row.enter) for row in rows)


def _call(exchange, account: Account, e: Evaluation) -> None:
    """Say that the account has come to another level of margin calls."""
    level = trigger.level(exchange, e)
    if level != account.level:
        exchange.emit(OutcomeKind.MARGIN_LEVEL, account=account.number, qty=level, other_id=account.level, money=e.equity)
        account.level = level


def _by_ratio(x, y) -> int:
    """Highest maintenance / equity first; no equity counts as the highest, the deepest debt before the others."""
    (a, e), (b, f) = x, y
    if e.equity <= 0 or f.equity <= 0:
        order = (e.equity > 0) - (f.equity > 0) or ((e.equity > f.equity) - (e.equity < f.equity) if e.equity <= 0 else 0)
    else:
        order = -units.cmp_ratio(e.maintenance, e.equity, f.maintenance, f.equity)
    return order or a.number - b.number


def _by_deficit(x, y) -> int:
    """Largest maintenance - equity first."""
    (a, e), (b, f) = x, y
    left, right = e.maintenance - e.equity, f.maintenance - f.equity
    return (left < right) - (left > right) or a.number - b.number


def _by_account(x, y) -> int:
    return x[0].number - y[0].number


_ORDER = {"ratio": _by_ratio, "deficit": _by_deficit, "account": _by_account}


def run_round(exchange, selected: list[tuple[Account, Evaluation]]) -> None:
    """Cancel the orders of all selected accounts, then take each through the stages."""
    stages = exchange.venue.liquidation.stages
    if stages[0].kind == "cancel":
        for account, _ in selected:
            exchange.visit(Stage.CANCEL)
            for order in list(account.orders.values()):
                exchange.cancel_order(order, Reason.LIQUIDATED, Stage.CANCEL)
    for account, _ in selected:
        _run_stages(exchange, account, stages)


def _run_stages(exchange, account: Account, stages) -> None:
    for row in stages:
        e = exchange.evaluate(account)
        flat_and_short = not e.open and account.balance[exchange.numeraire] < 0
        if row.kind == "transfer":
            if e.open and trigger.triggered(exchange, account, e):
                exchange.visit(Stage.TRANSFER)
                exchange.stage = Stage.TRANSFER
                transfer.run(exchange, account, row)
        elif row.kind in ("book", "takeover", "adl"):
            kept = _waits(exchange, account) and (row.kind == "book" or row.enter is None)
            if e.open and not kept and trigger.triggered(exchange, account, e) and trigger.enters(e, row.enter):
                _close(exchange, account, row, e)
        elif row.kind == "convert" and flat_and_short:
            _convert(exchange, account, row)
        elif row.kind == "fund" and flat_and_short and _converted(exchange, account):
            exchange.visit(Stage.FUND)
            exchange.stage = Stage.FUND
            fund.pay(exchange, account.number, -account.balance[exchange.numeraire])
        elif row.kind == "write_off" and flat_and_short and _converted(exchange, account):
            exchange.visit(Stage.WRITE_OFF)
            exchange.stage = Stage.WRITE_OFF
            exchange.flow(
                Flow.WRITE_OFF, Chart.BAD_DEBT, account.number, exchange.numeraire, -account.balance[exchange.numeraire]
            )
    exchange.stage = Stage.NONE
    e = exchange.evaluate(account)
    if trigger.triggered(exchange, account, e):
        waits = e.open and _waits(exchange, account)
        if waits and slices.used_up(exchange, account, row := _block_limit(exchange)):
            exchange.cool(account, (exchange.now // row.window_ns + 1) * row.window_ns)
        reason = Reason.COOLING_DOWN if waits else Reason.NONE
        exchange.emit(OutcomeKind.CARRIED, account=account.number, money=e.equity, reason=reason)


def _block_limit(exchange) -> rules.BlockLimit | None:
    return next((row.block_limit for row in exchange.venue.liquidation.stages if row.kind == "book"), None)


def _waits(exchange, account: Account) -> bool:
    """Return whether a cooldown, or a block limit that is used up, keeps stages from the account's lots."""
    return exchange.cooling(account) or slices.used_up(exchange, account, _block_limit(exchange))


def _close(exchange, account: Account, row, e: Evaluation) -> None:
    """Enter a stage that closes lots."""
    if row.kind == "book":
        _book(exchange, account, row, e)
    elif row.kind == "takeover":
        _takeover(exchange, account, row)
    else:
        adl.run(exchange, account, row)


def _book(exchange, account: Account, row: rules.BookStage, e: Evaluation) -> None:
    """One bounded IOC slice of the position with the largest maintenance; then the fee on what was filled.

    None in a market that another slice of this round has paused.
    """
    exchange.visit(Stage.BOOK)
    exchange.stage = Stage.BOOK
    market = slices.choose(exchange, account, row.choice)
    if exchange.state_permit(market, Action.LIQUIDATE) >= Permit.DEFER:
        return
    side = Side.SELL if account.qty[market] > 0 else Side.BUY
    limit = bankruptcy.slice_limit(exchange, account, market, row.bound, e)
    if limit is None:
        return
    qty, worth = slices.lots(exchange, account, market, row, e, limit), abs(account.qty[market] * exchange.value[market])
    if not qty:
        return
    order = Order(exchange.next_order_id(), account.number, market, side, limit, qty, Tif.IOC)
    held, cash = account.qty[market], account.balance[exchange.numeraire]
    notional = exchange.match(order, limit, qty, Stage.BOOK).notional
    if notional and row.cooldown_ns:
        exchange.cool(account, exchange.now + row.cooldown_ns)
    if row.block_limit is not None:
        slices.use(exchange, account, row.block_limit, abs((held - account.qty[market]) * exchange.value[market]), 0)
    if row.insurance is not None:
        fund.settle_slice(exchange, account, row, market, held, account.balance[exchange.numeraire] - cash, e)
        return
    fee = slices.fee(exchange, account, market, notional, worth, e)
    if row.fee_seniority == "junior":
        fee = min(fee, max(0, exchange.conversion_equity(account)))
    if fee:
        exchange.flow(Flow.LIQUIDATION_FEE, account.number, Chart.FUND, exchange.numeraire, fee)


def _takeover(exchange, account: Account, row: rules.TakeoverStage) -> None:
    """A provider takes every position, at the row's price; at mark and oracle one after another, while it is triggered.

    At the bankruptcy price the account gets the value at the mark less its share of the remaining margin. With the last position
    the share is all of it, so that an account that is not under water ends with exactly nothing once its collateral is converted.
    The total is exact money; there is no price per lot to round.
    """
    exchange.visit(Stage.TAKEOVER)
    exchange.stage = Stage.TAKEOVER
    for market in range(len(account.qty)):
        qty = account.qty[market]
        if not qty or exchange.permit(market, Action.TAKEOVER) >= Permit.DEFER:
            continue
        if row.price in ("mark", "oracle") and not trigger.triggered(exchange, account, exchange.evaluate(account)):
            return
        cash = takeover_cash(exchange, account, market, row)
        surplus = max(0, qty * exchange.value[market] - cash) if row.surplus == "fund" else 0
        vault = admits(exchange, account, market, row.vault, cash + surplus)
        accepted = vault or _accepts(exchange, market, qty, row)
        if exchange.seams.decision(Seam.TAKEOVER_ACCEPT, market, exchange.now, accepted):
            _take_over(exchange, account, market, row.vault.account if vault else Chart.BACKSTOP, cash, surplus)


def _take_over(exchange, account: Account, market: int, provider: int, cash: int, surplus: int) -> None:
    """Move a position to the provider against cash and a surplus, which is then paid to the fund."""
    qty, cash = account.qty[market], cash + surplus
    buyer, seller = (provider, account.number) if qty > 0 else (account.number, provider)
    exchange.ledger.exchange(buyer, seller, market, abs(qty), cash if qty > 0 else -cash)
    exchange.emit(
        OutcomeKind.TAKEOVER,
        account=account.number,
        other=provider,
        market=market,
        side=Side.BUY if qty > 0 else Side.SELL,
        qty=abs(qty),
        price=exchange.marks[market].published.last_valid,
        money=cash,
        flow=Flow.TAKEOVER,
    )
    if surplus:
        exchange.flow(Flow.TAKEOVER_SURPLUS, account.number, Chart.FUND, exchange.numeraire, surplus)
    exchange.trim(account, market)
    if provider != Chart.BACKSTOP:
        exchange.trim(exchange.ledger.accounts[provider], market)


def admits(exchange, account: Account, market: int, row: rules.Vault | None, cash: int) -> bool:
    """Return whether the vault may take the account's lots of a market for cash: it is free to, within its cap, with margin."""
    vault = exchange.ledger.accounts.get(row.account) if row else None
    if vault is None or vault is account or vault.parent is not None or vault.status != Status.NORMAL:
        return False
    qty, held = account.qty[market], vault.qty[market] + account.qty[market]
    if row.notional_max is not None and abs(held * exchange.value[market]) > exchange.whole(row.notional_max):
        return False
    buys, _, sells, _ = exchange._open(vault, market)
    if max(abs(held + buys), abs(held - sells)) > units.POSITION_MAX:
        return False
    return bears(exchange, vault, market, qty, cash)


def bears(exchange, vault: Account, market: int, qty: int, cash: int) -> bool:
    """Return whether a vault has initial margin for qty lots more, bought for cash, beside all that it holds and has open."""
    order = Order(0, vault.number, market, Side.BUY if qty > 0 else Side.SELL, 1, abs(qty))
    need, _ = exchange.requirement(vault, market)
    need_with, exceeded = exchange.requirement(vault, market, order, at_mark=True)
    equity = exchange.spare_equity(vault) + qty * exchange.value[market] - cash
    return not exceeded and equity >= exchange.requirements(vault) - need + need_with


def takeover_cash(exchange, account: Account, market: int, row: rules.TakeoverStage) -> int:
    """Return the cash that the account gets for all its lots of a market at the row's price; negative of a short."""
    qty = account.qty[market]
    if row.price == "bankruptcy_value":
        return bankruptcy.closing_value(exchange, account, market, qty, -qty, exchange.evaluate(account))
    if row.price == "bankruptcy":
        maintenance = exchange.evaluate(account).maintenance
        share = bankruptcy.share(exchange, account, exchange.maintenance(account, market), maintenance)
        return qty * exchange.value[market] - share
    published = exchange.marks[market].published
    index = exchange.indices[exchange.marks[market].index].published
    if row.price == "oracle" and index.valid:
        published = index
    price, fee = published.last_valid * units.PPM, abs(published.last_valid) * row.fee_ppm
    if qty > 0:
        price = max(exchange.price_min[market], (price - fee) // units.PPM)
    else:
        price = units.div_ceil(price + fee, units.PPM)
    return qty * exchange.value_at(market, price)


def _accepts(exchange, market: int, qty: int, row: rules.TakeoverStage) -> bool:
    """Return whether the backstop may take the lots: within its cap, and the fund has enough behind it."""
    held = exchange.ledger.accounts[Chart.BACKSTOP].qty[market]
    within = row.notional_max is None or abs((held + qty) * exchange.value[market]) <= exchange.whole(row.notional_max)
    return within and (row.fund_min is None or fund.measure(exchange) >= exchange.whole(row.fund_min))


def _convert(exchange, account: Account, row: rules.ConvertStage) -> None:
    """Sell collateral, row by row, until the settlement balance is no longer negative."""
    exchange.visit(Stage.CONVERT)
    exchange.stage = Stage.CONVERT
    for haircut in exchange.haircuts:
        need, balance = -account.balance[exchange.numeraire], account.balance[haircut.asset]
        if need <= 0 or balance <= 0 or exchange.collateral_permit(haircut.asset, Action.CONVERT) >= Permit.DEFER:
            continue
        price = exchange.collateral[haircut.asset].last_valid
        sold = balance if haircut.conversion_value(balance, price) <= need else haircut.conversion_qty(need, price)
        if row.to == "book" and balance >= exchange.spot[haircut.market].units:
            _sell(exchange, account, haircut, sold, row.bound_ppm)
        else:
            _sell_to_treasury(exchange, account, haircut, sold)


def _sell(exchange, account: Account, haircut, sold: int, bound_ppm: int) -> None:
    """One IOC slice in the venue's own book: the lots of `sold`, no further below the collateral's price than the bound.

    Nor beyond the market's band, where that binds the liquidation.
    """
    market = haircut.market
    if exchange.state_permit(market, Action.LIQUIDATE) >= Permit.DEFER:
        return
    lot, tick = exchange.spot[market].units, exchange.venue.markets[market].tick_size
    lots = min(account.balance[haircut.asset] // lot, units.div_ceil(sold, lot), units.QTY_MAX)
    price = exchange.collateral[haircut.asset].last_valid
    limit = max(units.div_ceil(price * (units.PPM - bound_ppm), units.PPM * tick) * tick, tick)
    limit = bankruptcy.in_band(exchange, market, Side.SELL, limit)
    order = Order(exchange.next_order_id(), account.number, market, Side.SELL, limit, lots, Tif.IOC)
    exchange.match(order, limit, lots, Stage.CONVERT)


def _sell_to_treasury(exchange, account: Account, haircut, sold: int) -> None:
    price = exchange.collateral[haircut.asset].last_valid
    paid = haircut.conversion_value(sold, price)
    exchange.ledger.flow(account.number, Chart.TREASURY, haircut.asset, sold)
    exchange.emit(
        OutcomeKind.CONVERT,
        account=account.number,
        other=Chart.TREASURY,
        asset=haircut.asset,
        price=haircut.conversion_price(price),
        money=sold,
        flow=Flow.CONVERT_ASSET,
    )
    if paid:
        exchange.flow(Flow.CONVERT_CASH, Chart.TREASURY, account.number, exchange.numeraire, paid)


def _converted(exchange, account: Account) -> bool:
    """Return whether no collateral is left to sell: only then is a negative balance a shortfall."""
    return all(account.balance[haircut.asset] == 0 for haircut in exchange.haircuts)
