"""Rule book -> C rule table: the one border crossing, with every range check.

Also the place where the records and enums of the engine are compared with those of specs/tape.py, at import.
"""

from __future__ import annotations

from engine import records
from specs import rules, tape, units
from specs.errors import SpecError
from specs.tape import EVENT, OUTCOME, Seam, Stage, seam_rows  # noqa: F401  # what engine/exchange.pyx knows of the records

_KINDS = ["source", "book", "index", "redemption", "product", "weighted", "mean", "median", "floor", "twap"]
_ACTIONS = len(tape.Action)


def _same_layout() -> None:
    for name, dtype in (("Event", tape.EVENT), ("Outcome", tape.OUTCOME)):
        ours = [(field, dtype.fields[field][1], dtype[field].itemsize) for field in dtype.names]
        assert [tuple(row) for row in records.LAYOUT[name]] == ours, f"{name}: the engine's layout differs from specs/tape.py"
    for name, members in records.ENUMS.items():
        assert members == {member.name: member.value for member in getattr(tape, name)}, f"{name}: the enums differ"


_same_layout()


def _fits(value: int, low: int, high: int, what: str) -> int:
    if not low <= value <= high:
        raise SpecError(f"{what} = {value} is outside [{low}, {high}]", remedy="the engine's bound; see specs/units.py")
    return value


def _scale(exponent: int, what: str) -> int:
    """10^exponent that the engine multiplies with."""
    return 10 ** _fits(exponent, 0, 18, f"{what}: power of ten")


def table(venue: rules.Venue, start_ns: int, seams=()) -> dict:
    """Return the rule book as rows of plain integers, in the order in which engine/state.pyx reads them."""
    numeraire = venue.number("assets", venue.numeraire)
    places = venue.decimals(venue.numeraire)
    limits = venue.limits
    nodes, index_rows, samples = [], [], 0
    heard_by = [0] * len(venue.sources)
    traded_by = [0] * len(venue.markets)
    leg_of = [0] * len(venue.indices)
    for i, index in enumerate(venue.indices):
        first = len(nodes)
        for node, weight in _weighted_walk(index.recipe):
            row = _node(venue, index, node, weight, samples)
            if node.kind == "twap":
                samples += node.publications
            if index.publish.kind == "update":
                if node.kind in ("source", "redemption"):
                    heard_by[row[2]] |= 1 << i
                elif node.kind == "book":
                    traded_by[row[2]] |= 1 << i
                elif node.kind == "index":
                    leg_of[row[2]] |= 1 << i
            nodes.append(row)
        index_rows.append(
            (index.publish.every_ns or 0, _scale(index.price_decimals, index.name), first, len(nodes) - first, index.sources_min)
            + (1 if index.prices == "positive" else -units.PRICE_MAX,)
        )
    basis_from, premium_from, settlement_from, markets, brackets = [], [], [], [], []
    rooms = _rooms(venue)
    for number, market in enumerate(venue.markets):
        median = market.mark.kind == "median"
        basis_from.append(samples)
        samples += market.mark.basis_samples if median else 0
        premium_from.append(samples)
        samples += _premium(market.band)[0]
        settlement_from.append(samples)
        samples += _settlement(market)[1]
        decimals, inverse = venue.decimals(market.settles_in), market.payoff == "inverse"
        table = _requirements(venue, market, market.brackets)
        markets.append(
            (
                market.tick_size,
                0 if inverse else _fits(venue.multiplier(market), 1, units.VALUE_MAX, f"{market.name}: multiplier"),
                _fits(venue.face(market), units.PPM, units.VALUE_MAX, f"{market.name}: face") if inverse else 0,
                venue.price_min(market),
                venue.price_max(market),
                market.fees.maker_ppm,
                market.fees.taker_ppm,
                market.fees.liquidation_ppm,
                *_liquidation_fee(market.fees),
                market.leverage_default,
                market.market_bound_ppm,
                venue.number("indices", market.index),
                venue.number("assets", market.settles_in),
                market.spot,
                venue.number("assets", market.base) if market.spot else 0,
                venue.lot_units(market) if market.spot else 0,
                traded_by[number],
                len(brackets),
                len(table),
                *_margin(venue, market, decimals),
                *_minimum(market, decimals),
                len(brackets) + rooms[number],
                median,
                market.mark.basis_samples if median else 0,
                median and market.mark.republish_on_fill,
                *_funding(market.funding),
                *_trading(venue, market),
                *_settlement(market),
            )
        )
        brackets += table + [(0, 0, 0, 1, 1, 0)] * (2 * rooms[number] - len(table)) if rooms[number] else table
    collateral, collateral_tiers = [], []
    for row in venue.collateral:
        index = venue.number("indices", row.index)
        exponent = venue.decimals(row.asset) + venue.indices[index].price_decimals - places
        collateral.append(
            (
                venue.number("assets", row.asset),
                index,
                row.weight_ppm,
                row.liability_weight_ppm,
                row.convert_buffer_ppm,
                10
                ** _fits(
                    exponent, units.COLLATERAL_EXPONENT_MIN, 30, f"collateral {row.asset}: decimals of asset + index - numeraire"
                ),
                venue.number("markets", row.market) if row.market else -1,
                len(collateral_tiers),
                1 + len(row.tiers),
                *_weights(venue, row),
            )
        )
        collateral_tiers += [(0, row.weight_ppm)]
        collateral_tiers += [(rules.whole(tier.qty_from, venue.decimals(row.asset)), tier.weight_ppm) for tier in row.tiers]
    changes = []
    for row in venue.changes:
        changes.append(_change(venue, row, len(brackets)))
        brackets += _table(venue, row)
    return {
        "limits": (
            venue.clock.gap_max_ns,
            limits.accounts_max,
            limits.orders_max,
            min(limits.orders_per_account_max, 2**31 - 1),
            limits.rounds_max,
            limits.fills_kept,
        ),
        "clearing": venue.clearing == "full",
        "start_ns": tape.start_time(start_ns),
        "numeraire": numeraire,
        "assets": len(venue.assets),
        "trigger_at_equal": venue.liquidation.trigger == "maintenance_ge_equity",
        "order_row": ["ratio", "deficit", "account"].index(venue.liquidation.order),
        "fund_net": venue.fund.measure == "net",
        "fund_pays": _fund(venue.fund, places),
        "bankruptcy_unit": 1
        if venue.liquidation.bankruptcy_unit is None
        else rules.whole(venue.liquidation.bankruptcy_unit, places),
        "profit_lost_ppm": units.PPM - venue.withdrawal.profit_weight_ppm,
        "one": rules.whole(1, places),
        "permits": [[int(venue.grades.permit(grade, action)) for action in tape.Action] for grade in tape.Grade],
        "state_permits": [[int(venue.states.permit(state, action)) for action in tape.Action] for state in tape.MarketState],
        "markets": markets,
        "basis_from": basis_from,
        "premium_from": premium_from,
        "settlement_from": settlement_from,
        "brackets": brackets,
        "sources": [
            (row.stale_after_ns is not None, row.stale_after_ns or 0, heard_by[i]) for i, row in enumerate(venue.sources)
        ],
        "indices": [(*row, leg_of[i]) for i, row in enumerate(index_rows)],
        "nodes": nodes,
        "samples": samples,
        "collateral": collateral,
        "collateral_tiers": collateral_tiers,
        "borrow": [(row.borrow.every_ns, row.borrow.rate_ppb) if row.borrow else (0, 0) for row in venue.assets],
        "levels": [rules.ratio(row.at_most) for row in venue.liquidation.levels],
        "changes": changes,
        "stages": [_stage(row, places) for row in venue.liquidation.stages],
        "quoters": [
            (
                row.account,
                venue.number("markets", row.market),
                row.levels,
                row.half_spread_ppm,
                row.step_ppm,
                row.lots,
                row.refill_ns,
                row.exit_move_ppm,
                row.inventory_max,
                row.return_ns,
            )
            for row in venue.quoters
        ],
        "fund_capital": _fits(rules.whole(venue.fund.capital, places), 0, units.MONEY_IN_MAX * units.PPM, "fund capital"),
        "seams": tape.seam_rows(seams),
    }


def _minimum(market: rules.Market, decimals: int) -> tuple[int, int, int]:
    """Return the least maintenance, and what closing costs beside it: ppm and fixed."""
    fixed = rules.whole(market.closing.fixed, decimals) if market.closing else 0
    return rules.whole(market.maintenance_min, decimals), market.closing_ppm, fixed


def _requirements(venue: rules.Venue, market: rules.Market, brackets: list[rules.Bracket]) -> list[tuple[int, ...]]:
    """Return what a table of a market asks for: cap, leverage, initial rate, maintenance rate and its whole, amount."""
    rows = venue.requirements(market.model_copy(update={"brackets": brackets}))
    return [(*row[:2], row.initial_ppm or 0, *row[3:]) for row in rows]


def _table(venue: rules.Venue, row: rules.Change) -> list[tuple[int, ...]]:
    """Return the table that a change puts in force; empty where it has none."""
    return _requirements(venue, venue.markets[venue.number("markets", row.market)], row.brackets) if row.brackets else []


def _rooms(venue: rules.Venue) -> list[int]:
    """Return by market the most rows that its table can have; 0 where no change touches it."""
    rooms = [0] * len(venue.markets)
    for row in venue.changes:
        if row.market is not None:
            number = venue.number("markets", row.market)
            rooms[number] = max(rooms[number], len(venue.requirements(venue.markets[number])), len(_table(venue, row)))
    return rooms


def _change(venue: rules.Venue, row: rules.Change, first: int) -> tuple[int, ...]:
    """Return a change: market, collateral row, its table's start and length, scale, leverage, grandfathering, weights, times."""
    market = -1 if row.market is None else venue.number("markets", row.market)
    effective = -1 if row.effective_from is None else units.instant_to_ns(row.effective_from)
    announced = effective if effective < 0 else 0 if row.announced is None else units.instant_to_ns(row.announced)
    return (
        market,
        -1 if row.collateral is None else [other.asset for other in venue.collateral].index(row.collateral),
        first,
        len(_table(venue, row)),
        row.maintenance_scale_ppm or 0,
        row.leverage_max or 0,
        row.grandfather is not None,
        (row.grandfather.for_ns or 0) if row.grandfather else 0,
        *(-1 if x is None else x for x in (row.weight_ppm, row.liability_weight_ppm, row.convert_buffer_ppm)),
        announced,
        effective,
    )


def _weighted_walk(node, weight: int = 0):
    """Yield (node, its weight in a weighted parent), parts before the whole."""
    parts = getattr(node, "of", None)
    parts = parts if isinstance(parts, list) else [parts] if parts is not None else []
    for i, part in enumerate(parts):
        yield from _weighted_walk(part, node.weights[i] if node.kind == "weighted" else 0)
    if getattr(node, "underlying", None) is not None:
        yield from _weighted_walk(node.underlying)
    yield node, weight


def _node(venue: rules.Venue, index: rules.Index, node, weight: int, samples: int) -> tuple[int, ...]:
    """Return (kind, parts, ref, scale, argument, weight, samples_from, clamp)."""
    parts = len(node.of) if isinstance(getattr(node, "of", None), list) else 1 if getattr(node, "of", None) is not None else 0
    ref, scale, argument, clamp = 0, 1, 0, False
    if node.kind in ("source", "redemption"):
        ref = venue.number("sources", node.name if node.kind == "source" else node.ratio)
        scale = _scale(index.price_decimals - venue.sources[ref].price_decimals, index.name)
        parts = 1 if getattr(node, "underlying", None) is not None else 0
    elif node.kind == "book":
        ref = venue.number("markets", node.market)
        scale = _scale(index.price_decimals - venue.markets[ref].price_decimals, index.name)
    elif node.kind == "index":
        ref = venue.number("indices", node.name)
        scale = _scale(index.price_decimals - venue.indices[ref].price_decimals, index.name)
    elif node.kind == "floor":
        argument = _fits(rules.whole(node.price_min, index.price_decimals), 0, units.INT64_MAX, f"{index.name}: floor")
    elif node.kind == "twap":
        argument = node.publications
    elif node.kind == "weighted" and node.outlier is not None:
        ref, argument, clamp = node.outlier.parts_min, node.outlier.ppm, node.outlier.policy == "clamp_to_median"
    return _KINDS.index(node.kind), parts, ref, scale, argument, weight, samples, clamp


def _weights(venue: rules.Venue, row: rules.Collateral) -> tuple[int, ...]:
    """Return plain, one, factor, unit, initial weight and whether it is the other one, cap of deposits, the trigger's haircut."""
    initial = row.weight_ppm if row.initial_weight_ppm is None else row.initial_weight_ppm
    part = row.trigger_haircut
    return (
        not (row.tiers or row.imf_factor_ppm or row.weight_unit_ppm > 1),
        10 ** venue.decimals(row.asset),
        row.imf_factor_ppm,
        row.weight_unit_ppm,
        initial,
        row.initial_weight_ppm is None,
        row.deposits_max is not None,
        rules.whole(row.deposits_max, venue.decimals(venue.numeraire)) if row.deposits_max is not None else 0,
        part.part if part else 1,
        part.of if part else 1,
    )


def _funding(row: rules.Funding | None) -> tuple[int, ...]:
    """Return (every_ns, interest, damp, cap), the rates in ppb; all 0 without funding."""
    return (row.every_ns, row.interest_ppb, row.damp_ppb, row.cap_ppb) if row else (0, 0, 0, 0)


def _settlement(market: rules.Market) -> tuple[int, ...]:
    """Return (whether it settles, samples of a mean, expires_ns, retry_ns); 0 of what it has not."""
    row = market.settlement
    return (True, row.publications or 0, market.expires_ns or 0, row.retry_ns) if row else (False, 0, 0, 0)


def _premium(band) -> tuple[int, int]:
    """Return (samples, alpha in ppm) of a band; 0 without a premium."""
    row = getattr(band, "premium", None)
    return (row.samples, row.alpha_ppm) if row else (0, 0)


def _margin(venue: rules.Venue, market: rules.Market, decimals: int) -> tuple[int, ...]:
    """Return how brackets become requirements: plain, whole, divides, open interest from and to, what a lot adds to rates."""
    row, crowd, size = market.margin, market.margin.open_interest, market.margin.size
    tables = [market.brackets] + [other.brackets or [] for other in venue.changes if other.market == market.name]
    grows = (0, 0, 0)
    if size:
        scale = units.PPB * 10**market.lot.decimals
        grows = (
            scale,
            *(min(scale, ppb * market.lot.size) for ppb in (size.initial_ppb_per_coin, size.maintenance_ppb_per_coin)),
        )
    return (
        row == rules.Margin() and not market.bankruptcy_fee_ppm and all(b.initial_ppm is None for table in tables for b in table),
        row.tiers == "whole",
        row.leverage == "divides",
        crowd is not None,
        rules.whole(crowd.lower, decimals) if crowd else 0,
        rules.whole(crowd.upper, decimals) if crowd else 0,
        *grows,
        row.basis == "entry",
        market.bankruptcy_fee_ppm,
    )


_REFERENCES = ["mark", "index", "last"]
_POLICIES = ["reject", "reprice", "clip"]


def _trading(venue: rules.Venue, market: rules.Market) -> tuple[int, ...]:
    """Return how a market's orders trade: bound, trigger protection, self-trade, band, limits up and down, limits, auction."""
    band, lud, limits = market.band, market.limit_up_down, market.limits
    banded = (0, 0, 0, 0, 0, False)
    if band is not None:
        inside = band.kind == "percent"
        rates = (band.up_ppm, band.down_ppm) if inside else (band.inner_ppm, band.outer_ppm)
        kind = 1 if inside else 2 + ["mark", "index"].index(band.form)
        anchor = _REFERENCES.index(band.anchor) if inside else 0
        banded = (kind, anchor, *rates, _POLICIES.index(band.policy), band.liquidation)
    limited = (lud.ppm, _REFERENCES.index(lud.anchor), lud.pause_ns, lud.resume == "auction", lud.auction_ns) if lud else (0,) * 5
    notional = limits.notional_max
    return (
        market.market_bound_ticks is not None,
        market.market_bound_ticks or 0,
        market.trigger_protect_ppm,
        int(tape.SelfTrade[market.self_trade.mode.upper()]),
        market.self_trade.by == "owner",
        *banded,
        *_premium(band),
        *limited,
        limits.qty_max or units.QTY_MAX,
        notional is not None,
        rules.whole(notional, venue.decimals(market.settles_in)) if notional is not None else 0,
        limits.position_max or 0,
        limits.open_interest_max or 0,
        _REFERENCES.index(market.auction_reference),
    )


def _stage(row, places: int) -> tuple[int, ...]:
    """Return (kind, the slice, capped, notional cap, fund counts, its limit, to book, *bound, *price, *transfer, *enter, *vault).

    Of a transfer: both multipliers, insurance fee, unit of the weight.
    """
    kind = int(tape.Stage[row.kind.upper()])
    cap = getattr(row, "notional_max", None)
    limit = getattr(row, "fund_min", getattr(row, "fund_max", None))
    return (
        kind,
        *_slice(row, places),
        cap is not None,
        rules.whole(cap, places) if cap is not None else 0,
        limit is not None,
        rules.whole(limit, places) if limit is not None else 0,
        getattr(row, "to", "") == "book",
        *_bound(row),
        *_price(row),
        getattr(row, "asset_multiplier_ppm", units.PPM),
        getattr(row, "liability_multiplier_ppm", units.PPM),
        getattr(row, "insurance_fee_ppm", 0),
        getattr(row, "weight_unit_ppm", 1),
        *_enter(getattr(row, "enter", None)),
        *_vault(getattr(row, "vault", None), places),
    )


def _vault(row: rules.Vault | None, places: int) -> tuple:
    """Return (account, 0: none; whether there is a cap on what it holds, the cap) in money."""
    if row is None:
        return 0, False, 0
    return row.account, row.notional_max is not None, rules.whole(row.notional_max or 0, places)


def _fund(row: rules.Fund, places: int) -> tuple:
    """Return (floor, whether there is a cap on what is paid in one event, the cap) in money."""
    most = row.event_max
    return rules.whole(row.floor, places), most is not None, rules.whole(most, places) if most is not None else 0


_PRICES = ["bankruptcy", "bankruptcy_value", "mark", "oracle"]


def _price(row) -> tuple:
    """Return (price of a takeover, fee in ppm, whether the surplus is the fund's, whether slices are insured, fee is senior)."""
    insurance = getattr(row, "insurance", None)
    return (
        _PRICES.index(row.price) if row.kind == "takeover" else 0,
        insurance.max_fee_ppm if insurance else getattr(row, "fee_ppm", 0),
        getattr(row, "surplus", "") == "fund",
        insurance is not None,
        getattr(row, "fee_seniority", "") == "senior",
    )


_BOUNDS = ["mark", "bankruptcy", "under_water", "fillable"]


def _bound(row) -> tuple[int, ...]:
    """Return (kind, ppm, adjustment in ppm) of what bounds a stage's orders; mark, 0, 0 where nothing does."""
    bound = getattr(row, "bound", None)
    if bound is None:
        return 0, getattr(row, "bound_ppm", 0), 0
    if bound.kind == "fillable":
        return _BOUNDS.index(bound.kind), bound.spread_to_maintenance_ppm, bound.bankruptcy_adjustment_ppm
    under_water = bound.kind == "bankruptcy" and bound.under_water == "bankruptcy"
    return _BOUNDS.index("under_water" if under_water else bound.kind), getattr(bound, "ppm", 0), 0


_CHOICES = ["largest_maintenance", "largest_notional", "largest_loss", "highest_rate"]
_SIZES = ["all", "restore", "shortage", "tiers", "share"]


def _slice(row, places: int) -> tuple[int, ...]:
    """Return how much of what a slice closes: choice, size and its row, time share, position share, cooldown, block."""
    if row.kind != "book":
        return (0,) * 17
    size, time, share, block = row.quantity, row.time_share, row.position_share, row.block_limit
    kind = size if isinstance(size, str) else size.kind
    of = lambda name, default=0: getattr(size, name, None) or default  # noqa: E731
    return (
        _CHOICES.index(row.choice),
        _SIZES.index(kind),
        of("share_ppm", of("discount_ppm")),
        of("whole_lots"),
        rules.whole(of("whole", 0), places),
        of("book_ppm"),
        of("down"),
        time is not None,
        time.initial_ppm if time else 0,
        time.duration_ns if time else 0,
        rules.whole(time.small, places) if time else 0,
        share.share_ppm if share else 0,
        rules.whole(share.notional_min, places) if share else 0,
        row.cooldown_ns or 0,
        block.window_ns if block else 0,
        rules.whole(block.notional_max or 0, places) if block else 0,
        rules.whole(block.insurance_max or 0, places) if block else 0,
    )


def _liquidation_fee(fees: rules.Fees) -> tuple[int, ...]:
    """Return (grace, every, step, most) of a fee that grows, (share, discount) of one out of what is left; 0 where it is not."""
    growth, left = fees.liquidation_growth, fees.liquidation_left
    rows = (growth.grace_ns, growth.every_ns, growth.ppm, growth.max_ppm) if growth else (0, 0, 0, 0)
    return (*rows, left.share_ppm if left else 0, left.discount_ppm if left else 0)


def _enter(row: rules.Enter | None) -> tuple[int, int, int, int]:
    """Return the ratio below which a stage is entered, then the one that is the least; 0/1: none."""
    if row is None:
        return 0, 1, 0, 1
    return (*(rules.ratio(row.below) if row.below else (0, 1)), *(rules.ratio(row.at_least) if row.at_least else (0, 1)))
