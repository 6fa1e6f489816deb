"""Rows that can never act because another row already settles what they speak of."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from riskbed.venue.book import Book
from riskbed.venue.finding import Found, exact, note, warns
from specs import rules, units


def contradictions(book: Book) -> Iterator[Found]:
    """No row is kept from ever acting by another one."""
    for i, market in enumerate(book.venue.markets):
        yield from _market(book, ("markets", i), market)
    yield from _stages(book)
    yield from _slices(book)
    yield from _unread(book)
    limits = book.venue.limits
    if book.written(("limits", "orders_per_account_max")) and limits.orders_per_account_max > limits.orders_max:
        yield warns(
            ("limits", "orders_per_account_max"),
            f"{limits.orders_per_account_max:,} orders an account never bind: all accounts together hold {limits.orders_max:,}",
            f"orders_per_account_max: at most {limits.orders_max}",
        )
    for i, row in enumerate(book.venue.quoters):
        if 2 * row.levels > limits.orders_per_account_max:
            yield warns(
                ("quoters", i, "levels"),
                f"{row.levels} levels a side are {2 * row.levels} orders, an account may hold {limits.orders_per_account_max}",
                f"levels: at most {limits.orders_per_account_max // 2}",
            )


def _market(book: Book, path: tuple, market: rules.Market) -> Iterator[Found]:
    if market.market_bound_ticks is not None and book.written((*path, "market_bound_ppm")):
        yield warns(
            (*path, "market_bound_ppm"),
            f"market_bound_ticks: {market.market_bound_ticks} bounds MARKET orders, market_bound_ppm is never read",
            "one of the two",
        )
    band = market.band
    if band is not None and band.kind == "percent" and band.anchor == "mark":
        widest = max(band.up_ppm, band.down_ppm)
        bound = market.market_bound_ppm
        if market.market_bound_ticks is None and book.written((*path, "market_bound_ppm")) and bound >= widest:
            yield warns(
                (*path, "market_bound_ppm"),
                f"{bound} ppm from the mark never bind: the band allows {widest} ppm at most",
                f"market_bound_ppm: below {widest}, or none",
            )
    if band is not None and band.kind == "index_anchored" and band.inner_ppm >= band.outer_ppm:
        yield warns(
            (*path, "band", "inner_ppm"),
            f"the inner rate {band.inner_ppm} ppm is not below the outer {band.outer_ppm} ppm: the inner bound never acts",
            f"inner_ppm: below {band.outer_ppm}",
        )
    pause = market.limit_up_down
    if pause is not None and band is not None and band.kind == "percent" and band.anchor == pause.anchor:
        if max(band.up_ppm, band.down_ppm) <= pause.ppm:
            yield note(
                (*path, "limit_up_down", "ppm"),
                f"no new order passes the band of {band.up_ppm} up and {band.down_ppm} down, inside {pause.ppm} ppm: only orders "
                "left at rest by an anchor that moved can reach this limit",
                "a limit inside the band",
            )
    limits = market.limits
    if limits.qty_max is not None and limits.position_max is not None and limits.qty_max > 2 * limits.position_max:
        yield note(
            (*path, "limits", "qty_max"),
            f"an order of {limits.qty_max:,} lots is more than leads from one side's position_max {limits.position_max:,} to the "
            "other's: it never binds",
            f"qty_max: at most {2 * limits.position_max}",
        )
    funding = market.funding
    if funding is not None and abs(funding.interest_ppb) > funding.cap_ppb:
        yield warns(
            (*path, "funding", "interest_ppb"),
            f"interest of {funding.interest_ppb:,} ppb is never paid: the cap is {funding.cap_ppb:,} ppb",
            f"cap_ppb: at least {abs(funding.interest_ppb)}",
        )
    if funding is not None and funding.interest_ppb and not funding.damp_ppb:
        yield warns(
            (*path, "funding", "interest_ppb"),
            "interest never acts: damp_ppb is 0, so that the rate is the premium alone",
            "damp_ppb above 0, or no interest",
        )


def _stages(book: Book) -> Iterator[Found]:
    stages = {row.kind: (("liquidation", "stages", i), row) for i, row in enumerate(book.venue.liquidation.stages)}
    takeover, adl, capital = stages.get("takeover"), stages.get("adl"), Fraction(book.venue.fund.capital)
    if takeover and takeover[1].vault is None and takeover[1].notional_max is not None and not Fraction(takeover[1].notional_max):
        yield warns((*takeover[0], "notional_max"), "a backstop that may hold 0 takes nothing", "leave the stage out")
    if takeover and takeover[1].fund_min is not None and Fraction(takeover[1].fund_min) > capital:
        yield warns(
            (*takeover[0], "fund_min"),
            f"the fund starts with {exact(capital)}: no takeover before it has grown to {exact(Fraction(takeover[1].fund_min))}",
            f"fund_min: at most {exact(capital)}",
        )
    for path, row in stages.values():
        if getattr(row, "enter", None) is not None and row.enter.at_least is not None and Fraction(row.enter.at_least) > 1:
            yield warns(
                (*path, "enter", "at_least"),
                f"never entered: who is liquidated has at most its maintenance, not {row.enter.at_least} of it",
                "at_least: at most '1'",
            )
    free = takeover and takeover[1].notional_max is None and takeover[1].fund_min is None and takeover[1].enter is None
    if takeover and adl and free:
        yield note(adl[0], "the takeover before it takes everything: adl acts only where a grade or a state stops the takeover")
    yield from _fund(book, {kind: row for kind, (_, row) in stages.items()}, capital)
    for i, row in enumerate(book.venue.collateral):
        if not row.weight_ppm:
            yield note(("collateral", i, "weight_ppm"), f"{row.asset} counts for nothing", "leave it out")
        weights = [row.weight_ppm, *(tier.weight_ppm for tier in row.tiers)]
        for j, (before, after) in enumerate(zip(weights, weights[1:])):
            if after > before:
                at = ("collateral", i, "tiers", j, "weight_ppm")
                yield warns(at, f"more {row.asset} counts at more: {after:,} ppm after {before:,}", "weights that fall with size")
        if row.convert_buffer_ppm == units.PPM:
            yield warns(("collateral", i, "convert_buffer_ppm"), f"{row.asset} is converted at 0", "a smaller buffer")
    if book.venue.clearing == "none":
        yield note(("clearing",), "without clearing nothing is margined: brackets, collateral, stages and fund never act")


def _fund(book: Book, stages: dict[str, rules.Row], capital: Fraction) -> Iterator[Found]:
    """The fund's floor and cap leave it something to pay, and someone pays out of it; a senior fee is one."""
    slices = stages.get("book")
    pays = "fund" in stages or (slices is not None and slices.insurance is not None)
    floor, most = Fraction(book.venue.fund.floor), book.venue.fund.event_max
    if capital and not pays:
        yield warns(("fund", "capital"), f"no stage pays out of the fund's {exact(capital)}", "add - kind: fund")
    if floor and floor >= capital:
        yield warns(
            ("fund", "floor"),
            f"the fund starts with {exact(capital)}: it pays nothing before it has grown above {exact(floor)}",
            f"floor: below {exact(capital)}" if capital else "a capital above it",
        )
    if most is not None and not Fraction(most):
        yield warns(("fund", "event_max"), "a fund that may pay 0 in an event pays nothing", "leave event_max out, or above 0")
    if slices is not None and slices.fee_seniority == "senior" and not any(m.fees.liquidation_ppm for _, m in book.perpetuals()):
        at = next(i for i, row in enumerate(book.venue.liquidation.stages) if row.kind == "book")
        yield warns(
            ("liquidation", "stages", at, "fee_seniority"),
            "no market has a liquidation fee: there is none to be senior",
            "fees.liquidation_ppm, or no fee_seniority",
        )


def _slices(book: Book) -> Iterator[Found]:
    """Rows of a slice that never cap it, and quantities that never ask for lots."""
    for i, row in enumerate(book.venue.liquidation.stages):
        path = ("liquidation", "stages", i)
        if row.kind != "book":
            continue
        if getattr(row.quantity, "kind", "") == "tiers":
            for _, market in book.perpetuals():
                if len(market.brackets) == 1:
                    yield warns(
                        (*path, "quantity"),
                        f"{market.name} has one bracket: a slice by tiers closes nothing of it",
                        "brackets, or another quantity",
                    )
        if getattr(row.quantity, "share_ppm", 0) == units.PPM and row.quantity.book_ppm is None:
            yield note((*path, "quantity", "share_ppm"), "a share of 100 % is the whole position", "quantity: all")
        if row.time_share is not None and row.time_share.initial_ppm == units.PPM:
            yield warns((*path, "time_share", "initial_ppm"), "it begins at 100 %: the row never caps a slice", "less, or no row")
        if row.position_share is not None and row.position_share.share_ppm == units.PPM:
            yield warns(
                (*path, "position_share", "share_ppm"),
                "at most 100 % of a position: the row never caps a slice",
                "less, or no row",
            )


def _unread(book: Book) -> Iterator[Found]:
    """Sources and indices that nothing in this rule book reads; a tape or a variant of an incident may still name them."""
    nodes = [node for index in book.venue.indices for node in rules.walk(index.recipe)]
    sources = {node.name if node.kind == "source" else node.ratio for node in nodes if node.kind in ("source", "redemption")}
    for i, row in enumerate(book.venue.sources):
        if row.name not in sources:
            yield note(("sources", i), f"no index reads source {row.name}", "leave it out, unless an incident reads it")
    used = {node.name for node in nodes if node.kind == "index"} | {row.index for row in book.venue.markets}
    used |= {row.index for row in book.venue.collateral}
    for i, row in enumerate(book.venue.indices):
        if row.name not in used:
            yield note(("indices", i), f"nothing is priced by index {row.name}", "leave it out")
