"""Where tapes come from: small cases drawn field by field, and long tapes decoded from bytes.

Both sources feed one generator through one question, `below(n)`: an integer in [0, n). `Drawn` asks Hypothesis, so that a
small case shrinks field by field (0 is always the plainest answer); `Decoded` takes the next byte, so that every byte string
is a valid tape and a few bytes make an event. The generator keeps accounts near maintenance, reuses few ids and switches whole
kinds of events off (swarm): rich, healthy, distinct traders find nothing. Integers only; no dice.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from hypothesis import strategies as st

from specs import rules, units
from specs.model.margin import Brackets
from specs.tape import (
    DECISIONS,
    ENGINE_ORDER,
    EVENT,
    EVENT_STRUCT,
    OUTCOME,
    SEAM_ANY,
    USERS_FROM,
    EventKind,
    Flag,
    Flow,
    MarketState,
    OutcomeKind,
    Seam,
    SeamKind,
    SelfTrade,
    Side,
    Stage,
    Tif,
    TriggerBy,
    money_split,
)

START_NS = 1_000 * units.NS
DECIMALS = 4  # of every asset here
PRICE_DECIMALS = 2  # of every source, index and market here
ONE = 10**DECIMALS
SMALL_EVENTS_MAX = 30
SeamRow = tuple[int, int, int, int, int, int]


# ---- two ways to answer


class Choices(Protocol):
    """Something that answers `below(n)` with an integer in [0, n), and says whether it has more to say."""

    def below(self, n: int) -> int: ...

    def more(self) -> bool: ...


@lru_cache(maxsize=None)
def _integers(n: int) -> st.SearchStrategy[int]:
    return st.integers(0, n - 1)


class Drawn:
    """Answers drawn one by one from Hypothesis."""

    def __init__(self, draw) -> None:
        self._draw = draw

    def below(self, n: int) -> int:
        return self._draw(_integers(n))

    def more(self) -> bool:
        return True


class Decoded:
    """Answers read from bytes: one byte up to 256 answers, else two. Behind the end everything is 0."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def below(self, n: int) -> int:
        width = 1 if n <= 256 else 2
        here, self._at = self._data[self._at : self._at + width], self._at + width
        return int.from_bytes(here, "little") % n

    def more(self) -> bool:
        return self._at < len(self._data)


def pick(choices: Choices, options):
    """Return one of the options; the first is the plainest."""
    return options[choices.below(len(options))]


# ---- venues


def _source(name: str) -> dict:
    return {"kind": "source", "name": name}


def _recipes(source: str, other: str, market: str) -> list[dict]:
    """Return an index recipe of every kind of node, the plainest first. `ratio` is a source near 1."""
    first, second, book = _source(source), _source(other), {"kind": "book", "market": market}
    return [
        first,
        {"kind": "median", "of": [first, second, book]},
        {"kind": "mean", "of": [first, second]},
        {"kind": "weighted", "of": [first, second], "weights": [60_000_000, 40_000_000]},
        {"kind": "weighted", "of": [first, second, book], "weights": [50_000_000, 30_000_000, 20_000_000]}
        | {"outlier": {"policy": "zero_weight", "ppm": 20_000}},
        {"kind": "weighted", "of": [first, second, book], "weights": [20_000_000, 30_000_000, 50_000_000]}
        | {"outlier": {"policy": "clamp_to_median", "ppm": 5_000, "parts_min": 2}},
        {"kind": "twap", "of": first, "publications": 3},
        {"kind": "floor", "of": first, "price_min": "0.95"},
        {"kind": "redemption", "ratio": "ratio", "underlying": first},
        {"kind": "product", "of": [first, _source("ratio")]},
        {"kind": "index", "name": "BASE"},
        {"kind": "mean", "of": [book, first]},
        {
            "kind": "median",
            "of": [first, {"kind": "twap", "of": book, "publications": 2}, {"kind": "floor", "of": second, "price_min": "0.9"}],
        },
    ]


def _own_book(market: str) -> dict:
    """Return the recipe of 10 October: nothing but the venue's own book."""
    return {"kind": "book", "market": market}


def _reads_book(recipe: dict) -> bool:
    return recipe["kind"] == "book" or any(_reads_book(part) for part in _parts(recipe))


def _parts(recipe: dict) -> list[dict]:
    of = recipe.get("of", [])
    return (of if isinstance(of, list) else [of]) + ([recipe["underlying"]] if recipe.get("underlying") else [])


def _sources_read(recipe: dict) -> int:
    """Return how many sources a recipe can use at most, as specs/rules.py counts them: a larger quorum is refused."""
    return (recipe["kind"] in ("source", "book", "index", "redemption")) + sum(_sources_read(part) for part in _parts(recipe))


def _publish(choices: Choices, recipe: dict) -> dict:
    interval = {"kind": "interval", "every_ns": pick(choices, (units.NS, 2 * units.NS))}
    return pick(choices, (interval, {"kind": "update"}) if _reads_book(recipe) else ({"kind": "update"}, interval))


_BRACKETS = [
    {"notional_max": 2_000, "leverage_max": 20, "maintenance_ppm": 25_000},
    {"notional_max": 10_000, "leverage_max": 10, "maintenance_ppm": 50_000, "amount": 50},
    {"notional_max": 30_000, "leverage_max": 5, "maintenance_ppm": 100_000, "amount": 550},
]
_HUGE_BRACKETS = [{"notional_max": 10**24, "leverage_max": 20, "maintenance_ppm": 25_000}]  # for quantities at their bounds
_ONE = {"notional_max": 30_000, "leverage_max": 20, "maintenance_ppm": 25_000}
_MARGINS: list[dict] = [{"brackets": rows} for rows in (_BRACKETS, _BRACKETS, _BRACKETS[:1], _HUGE_BRACKETS) * 3] + [
    {
        "brackets": [
            {"notional_max": most, "leverage_max": cap, "maintenance_ppm": rate}
            for most, cap, rate in ((300, 20, 20_000), (1_200, 20, 33_333), (30_000, 12, 60_000))
        ],
        "margin": {"tiers": "whole"},
    },
    {
        "brackets": [_ONE | {"initial_ppm": 66_667}],
        "margin": {"size": {"initial_ppb_per_coin": 9_000_000, "maintenance_ppb_per_coin": 9_000_000}},
    },
    {"brackets": [_ONE], "margin": {"open_interest": {"lower": 300, "upper": 2_500}, "slippage_ppm": 9_999}},
    {
        "brackets": [{"notional_max": most, "leverage_max": cap} for most, cap in ((2_000, 20), (10_000, 7), (30_000, 3))],
        "margin": {"maintenance": "half_initial"},
    },
    {
        "brackets": [row | {"initial_ppm": 999_999} for row in _BRACKETS],
        "margin": {"leverage": "divides"},
    },
    {
        "brackets": [_ONE],
        "margin": {"basis": "entry", "size": {"initial_ppb_per_coin": 20_000_000, "maintenance_ppb_per_coin": 20_000_000}},
    },
    {
        "brackets": [_ONE],
        "margin": {"basis": "entry"},
        "fees": {"taker_ppm": 2_500, "liquidation_ppm": 7_000},
        "closing": {"fee": "taker", "at": "bankruptcy", "fixed": "0.1"},
    },
    {
        "brackets": [{"notional_max": 30_000, "leverage_max": 20, "maintenance_ppm": 20_000}],
        "fees": {"taker_ppm": 9_999},
        "closing": {"fee": "taker", "at": "bankruptcy"},
    },
]
_GRADES = [
    {},
    {
        action: "last_valid"
        for action in ("open", "reduce", "withdraw", "liquidate", "takeover", "convert", "adl", "funding", "trigger", "settle")
    },
    {"reduce": "last_valid", "liquidate": "last_valid", "takeover": "defer", "convert": "defer", "adl": "last_valid"},
    {"open": "last_valid", "reduce": "last_valid", "liquidate": "defer", "trigger": "last_valid"},
]
_STATES = [
    {},
    {
        "halted": {
            "open": "refuse",
            "reduce": "refuse",
            "cancel": "refuse",
            "withdraw": "refuse",
            "liquidate": "defer",
            "funding": "refuse",
        }
    },
    {"halted": {"open": "refuse", "liquidate": "allow", "takeover": "refuse", "adl": "defer"}},
]
_FUNDINGS = [
    None,
    {"every_ns": 60 * units.NS, "interest_ppb": 100_000, "damp_ppb": 500_000, "cap_ppb": 20_000_000},
    {"every_ns": 60 * units.NS, "interest_ppb": -3_333, "cap_ppb": units.FUNDING_RATE_MAX_PPB},
]
_ENDS: list[dict] = [{"funding": row} for row in _FUNDINGS * 8] + [  # most markets have no end
    {"expires": units.ns_to_instant(START_NS + 12 * units.NS)}
    | {"settlement": {"price": "average", "publications": 3, "retry_ns": 3 * units.NS}},
    {"funding": _FUNDINGS[1], "settlement": {}},
    {"expires": units.ns_to_instant(START_NS + 25 * units.NS), "settlement": {}},
    {"settlement": {"price": "average", "publications": 2}},
]
_GROWTH = {"liquidation_growth": {"grace_ns": units.NS // 4, "every_ns": units.NS // 4, "ppm": 1_500, "max_ppm": 60_000}}
_FEES = [
    {"liquidation_ppm": 12_500, "taker_ppm": 500, "maker_ppm": 200},
    {},
    {"taker_ppm": 333, "liquidation_ppm": 40_000} | _GROWTH,
    {"taker_ppm": 200, "liquidation_ppm": 5_000} | _GROWTH,
    {"liquidation_ppm": 30_000, "liquidation_left": {"share_ppm": 900_000, "discount_ppm": 4_000}},
]


_SELF_TRADES = [  # most markets have none, and no limits: else little trades
    {},
    {},
    {},
    {"mode": "cancel_taker"},
    {"mode": "cancel_maker", "by": "owner"},
    {"mode": "cancel_both", "by": "owner"},
    {"mode": "decrement"},
]
_LIMITS = [{}] * 9 + [{"qty_max": 40, "notional_max": 1_500}, {"position_max": 60}, {"open_interest_max": 90}]


_PERCENT, _ANCHORED = {"kind": "percent"}, {"kind": "index_anchored"}
_BOUNDS: list[dict] = [{}] * 20 + [  # most markets have neither a band nor limits up and down
    {"band": _PERCENT | {"up_ppm": 20_000, "down_ppm": 20_000, "policy": "clip"}},
    {"limit_up_down": {"ppm": 15_000, "pause_ns": units.NS}},
    {"band": _ANCHORED | {"inner_ppm": 8_000, "outer_ppm": 30_000, "policy": "reprice"}},
    {"limit_up_down": {"ppm": 40_000, "pause_ns": 5 * units.NS, "anchor": "index"}},
    {"band": _PERCENT | {"anchor": "index", "up_ppm": 30_000, "down_ppm": 10_000, "liquidation": True}},
    {
        "band": _ANCHORED
        | {"form": "index", "inner_ppm": 10_000, "outer_ppm": 25_000, "premium": {"samples": 2}}
        | {"policy": "reprice", "liquidation": True}
    },
    {"band": _PERCENT | {"up_ppm": 6_000, "down_ppm": 6_000}, "limit_up_down": {"ppm": 5_000, "pause_ns": units.NS}},
    {
        "band": _ANCHORED
        | {"inner_ppm": 5_000, "outer_ppm": 40_000, "premium": {"samples": 3}}
        | {"policy": "clip", "liquidation": True}
    },
]


_REQUIREMENTS: list[dict] = [{}] * 14 + [  # beside the brackets
    {"maintenance_min": "7.5"},
    {"closing": {"impact_ppm": 3_000}},
    {"maintenance_min": 60, "closing": {"impact_ppm": 700, "fixed": "0.3"}},
]
_LEVELS: list[list[dict]] = [
    [],
    [{"name": "call", "at_most": "1.5"}, {"name": "last", "at_most": "11/10"}],
    [],
    [{"name": "call", "at_most": "3"}, {"name": "half", "at_most": "0.5"}],
]
_ENTERS: list[dict] = [{}] * 14 + [
    {"enter": {"below": "2/3"}},
    {"enter": {"at_least": "0.3"}},
    {"enter": {"below": "1", "at_least": "1/3"}},
]


def _trading(choices: Choices) -> dict:
    """Return the rows of a market that say how orders trade."""
    return {
        **pick(choices, _BOUNDS),
        "market_bound_ppm": pick(choices, (300_000, 20_000)),
        "market_bound_ticks": pick(choices, (None, None, 40, 3)),
        "trigger_protect_ppm": pick(choices, (150_000, 2_000)),
        "self_trade": pick(choices, _SELF_TRADES),
    }


def _market(choices: Choices, name: str, index: str) -> dict:
    mark = pick(
        choices,
        (
            {"kind": "index"},
            {"kind": "median", "basis_samples": 2, "republish_on_fill": True},
            {"kind": "median", "basis_samples": 3},
        ),
    )
    market = {
        "name": name,
        "settles_in": "USDT",
        "index": index,
        "mark": mark,
        "price_decimals": PRICE_DECIMALS,
        "tick_size": pick(choices, (5, 1)),
        "lot": {"decimals": pick(choices, (1, 0, 1))},
        "fees": pick(choices, _FEES),
        "leverage_default": pick(choices, (20, 20, 20, 20, 5)),
        **pick(choices, _REQUIREMENTS),
        **_trading(choices),
        "limits": pick(choices, _LIMITS),
        **pick(choices, _MARGINS),
        **pick(choices, _ENDS),
    }
    if "size" in market.get("margin", {}):  # beside a minimum it is refused
        market.pop("maintenance_min", None)
    return market


def _spot(choices: Choices, name: str, base: str, index: str) -> dict:
    return {
        "name": name,
        "payoff": "spot",
        "base": base,
        "settles_in": "USDT",
        "index": index,
        "mark": {"kind": "index"},
        "price_decimals": PRICE_DECIMALS,
        "tick_size": pick(choices, (1, 5)),
        "lot": {"decimals": pick(choices, (0, 1, 2))},
        "fees": pick(choices, _FEES),
        **_trading(choices),
    }


_TRANSFERS = [
    {"kind": "transfer"},
    {"kind": "transfer", "asset_multiplier_ppm": 1_050_000, "liability_multiplier_ppm": 980_000, "insurance_fee_ppm": 7_000}
    | {"weight_unit_ppm": 100},
]


_SLICE_BOUNDS = ({"kind": "bankruptcy"}, {"kind": "mark", "ppm": 50_000}) * 4 + (
    {"kind": "fillable", "bankruptcy_adjustment_ppm": 1_000_000, "spread_to_maintenance_ppm": 1_500_000},
    {"kind": "bankruptcy", "under_water": "bankruptcy"},
    {"kind": "fillable", "bankruptcy_adjustment_ppm": 4_000_000, "spread_to_maintenance_ppm": 700_000},
)


_FUND_ROWS: list[dict] = [{}] * 18 + [
    {"insurance": {"max_fee_ppm": 15_000}},
    {"fee_seniority": "senior"},
    {"insurance": {"max_fee_ppm": 1_000_000}},
]
_TAKEOVER_PRICES: list[dict] = [{}] * 10 + [
    {"price": "bankruptcy_value"},
    {"price": "mark", "fee_ppm": 10_000},
    {"surplus": "fund"},
    {"surplus": "fund"},
    {"surplus": "fund"},
    {"price": "oracle", "fee_ppm": 5_000},
    {"price": "bankruptcy_value", "surplus": "fund"},
    {"vault": {"account": USERS_FROM + 1}},
    {"vault": {"account": USERS_FROM + 2}, "price": "bankruptcy_value"},
    {"vault": {"account": USERS_FROM, "notional_max": 700}, "surplus": "fund"},
]


_QUANTITIES: list[dict] = [{}] * 8 + [
    {"quantity": {"kind": "shortage", "discount_ppm": 5_000}},
    {"quantity": {"kind": "share", "share_ppm": 200_000, "whole": 300, "whole_lots": 3}},
    {"quantity": {"kind": "share", "share_ppm": 500_000, "book_ppm": 600_000}},
]
_WINDOW = {"window_ns": 3 * units.NS, "notional_max": 150}
_CAPS: list[dict] = [{}, {}, {"block_limit": _WINDOW}, {}, {}] + [
    {"time_share": {"initial_ppm": 200_000, "duration_ns": 8 * units.NS, "small": 2}},
    {"position_share": {"share_ppm": 300_000, "notional_min": 90}},
    {"cooldown_ns": 2 * units.NS},
]
_TIERS = {"quantity": {"kind": "tiers", "down": 1}}
_CHOICES = ("largest_maintenance",) * 2 + ("largest_notional", "largest_loss", "highest_rate")


def _part(choices: Choices) -> dict:
    """Return the rows of a book stage that say how much of what it closes."""
    return {"choice": pick(choices, _CHOICES)} | pick(choices, _QUANTITIES) | pick(choices, _CAPS)


def _stages(choices: Choices, spot: bool) -> list[dict]:
    """Return a list of stages: any of them may be absent, except the end."""
    bound = pick(choices, _SLICE_BOUNDS)
    deleverages = choices.below(3) != 0
    takeover = pick(
        choices,
        ({"notional_max": 0}, {"notional_max": 0}, {}, {"fund_min": 25}) if deleverages else ({}, {"notional_max": 3_000}, {}),
    )
    rows = [
        {"kind": "cancel"},
        pick(choices, (*({},) * 1, *_TRANSFERS)),
        {"kind": "book", "bound": bound, "quantity": pick(choices, ("restore", "all"))}
        | pick(choices, _FUND_ROWS)
        | pick(choices, _ENTERS)
        | _part(choices),
        {"kind": "takeover"} | takeover | pick(choices, _TAKEOVER_PRICES) | pick(choices, _ENTERS),
        {"kind": "adl"} | pick(choices, ({}, {"fund_max": 15}, {})) if deleverages else {},
        {"kind": "convert"} | (pick(choices, ({"to": "book"}, {}, {"to": "book", "bound_ppm": 50_000})) if spot else {}),
        {"kind": "fund"},
    ]
    return [row for row in rows if row and choices.below(12) != 11] + [{"kind": "write_off"}]


_WEIGHTS: list[dict] = [{}] * 12 + [  # most collateral counts at one weight
    {"tiers": [{"qty_from": 60, "weight_ppm": 700_000}, {"qty_from": "200.5", "weight_ppm": 0}]},
    {"imf_factor_ppm": 30_000, "weight_unit_ppm": 1_000},
    {"initial_weight_ppm": 600_000, "deposits_max": 900, "weight_unit_ppm": 100},
    {"trigger_haircut": {"part": 1, "of": 3}, "initial_weight_ppm": 800_000},
    {"imf_factor_ppm": 200_000, "deposits_max": "1500.25", "trigger_haircut": {"part": 1, "of": 2}},
]


_BORROWS: list[dict] = [
    {},
    {"borrow": {"every_ns": 60 * units.NS, "rate_ppb": 1_234_567}},
    {},
    {"borrow": {"every_ns": 90 * units.NS, "rate_ppb": units.FUNDING_RATE_MAX_PPB}},
]


_HALVES = units.NS // 2 + 7_000  # of a second, and a little: a timer of a change never meets an event
_TABLES = [
    {"brackets": [{"notional_max": 500, "leverage_max": 12, "maintenance_ppm": 70_000}]},
    {"maintenance_scale_ppm": 4 * units.PPM, "leverage_max": 2},
    {"brackets": _BRACKETS, "leverage_max": 15},
    {"maintenance_scale_ppm": 1_500_000},
    {"leverage_max": 4},
    {"maintenance_scale_ppm": 500_000},
    {"maintenance_scale_ppm": 3 * units.PPM, "leverage_max": 3},
]
_KEEPS = [{}, {"grandfather": {}}, {}, {"grandfather": {"for_ns": 5 * units.NS + 7}}]
_DATES = (None, 4, None, 9, None, 2)  # half seconds from the start on


def _instant(halves: int) -> str:
    return units.ns_to_instant(START_NS + halves * _HALVES)


def _tables(market: dict) -> list[dict]:
    """Return the changes of a table that the market's own rows admit."""
    margin = market.get("margin", {})
    if "maintenance" in margin:
        return [{"brackets": [{"notional_max": 1_500, "leverage_max": 10}]}]
    scales = not ("maintenance_min" in market or "closing" in market or "slippage_ppm" in margin)
    most = 1 if margin.keys() & {"tiers", "size", "open_interest", "leverage"} else 3
    rows = [row for row in _TABLES if (scales or "maintenance_scale_ppm" not in row) and len(row.get("brackets", ())) <= most]
    if "leverage" not in margin:
        return rows
    own = {"initial_ppm": 999_999}
    return [row | {"brackets": [one | own for one in row["brackets"]]} if "brackets" in row else row for row in rows]


def _changes(choices: Choices, market: dict, collateral: list[dict]) -> list[dict]:
    """Return up to three changes of rules, in one venue of five: tables of the first market, weights of the first asset."""
    rows: list[dict] = []
    for number in range(pick(choices, (0,) * 13 + (1, 3))):
        if collateral and choices.below(4) == 3:
            least = max(500_000, collateral[0].get("initial_weight_ppm", 0))
            weights = pick(choices, ({"weight_ppm": least}, {"weight_ppm": 1_000_000, "liability_weight_ppm": 1_200_000}))
            row = {"collateral": collateral[0]["asset"]} | weights
        else:
            row = {"market": "COINUSDT"} | pick(choices, _tables(market))
            row |= {} if [*row] == ["market", "leverage_max"] else pick(choices, _KEEPS)
        halves = pick(choices, _DATES)
        if halves is not None:
            row |= {"effective_from": _instant(2 * halves)} | ({"announced": _instant(halves)} if halves != 9 else {})
        rows.append({"name": f"change{number}"} | row)
    return rows


def make_venue(choices: Choices) -> rules.Venue:
    """Return a small venue: one or two perpetuals at 100.00 and 1.00, up to two collateral assets at 1.00 and 100.00.

    One in three has spot markets of both assets, in which collateral may be sold.
    """
    main = pick(choices, _recipes("coin", "coin2", "COINUSDT"))
    second = choices.below(2) == 1
    spot = choices.below(3) == 1
    usd = pick(
        choices,
        [recipe for recipe in _recipes("usd", "usd2", "USDUSDT") if second or not _reads_book(recipe)]
        + [_own_book("USDUSDT")] * second
        + [_own_book("USDSPOT"), {"kind": "mean", "of": [_own_book("USDSPOT"), _source("usd")]}, _own_book("USDSPOT")] * spot,
    )
    if usd == {"kind": "index", "name": "BASE"}:
        usd = {"kind": "redemption", "ratio": "ratio"}
    stale_after_ns = pick(choices, (None, 10 * units.NS, None, 5 * units.NS))
    stages = _stages(choices, spot)
    insured = any(row["kind"] == "book" and "insurance" in row for row in stages)
    asked = insured or any(row.get("price") == "bankruptcy_value" for row in stages)
    venue = {
        "schema_version": 1,
        "name": "small",
        "numeraire": "USDT",
        "clock": {"gap_max_ns": 60 * units.NS},
        "limits": {
            "accounts_max": 96,
            "orders_max": pick(choices, (10_000, 10_000, 10_000, 10_000, 10_000, 6)),
            "orders_per_account_max": pick(choices, (200, 200, 200, 3)),
            "rounds_max": pick(choices, (16, 2, 1)),
            "fills_kept": pick(choices, (0, 1_000, 0, 3)),
        },
        "assets": [{"name": name, "decimals": DECIMALS} | pick(choices, _BORROWS) for name in ("USDT", "USD", "COIN")],
        "sources": [
            {"name": name, "price_decimals": PRICE_DECIMALS}
            | ({} if stale_after_ns is None else {"stale_after_ns": stale_after_ns})
            for name in ("coin", "coin2", "usd", "usd2", "ratio")
        ],
        "indices": [
            {
                "name": name,
                "price_decimals": PRICE_DECIMALS,
                "publish": _publish(choices, recipe),
                "recipe": recipe,
                "sources_min": sources_min,
            }
            for name, recipe, sources_min in (
                ("BASE", _source("coin"), 1),
                ("COIN", main, min(pick(choices, (1, 1, 1, 1, 1, 2)), _sources_read(main))),
                ("USDREF", _source("usd"), 1),
                ("USD", usd, 1),
            )
        ],
        "markets": [_market(choices, "COINUSDT", "COIN")]
        + ([_market(choices, "USDUSDT", "USDREF")] if second else [])
        + ([_spot(choices, "USDSPOT", "USD", "USDREF"), _spot(choices, "COINSPOT", "COIN", "BASE")] if spot else []),
        "collateral": [
            {
                "asset": "USD",
                "index": "USD",
                "weight_ppm": 950_000,
                "liability_weight_ppm": 1_050_000,
                "convert_buffer_ppm": 20_000,
                "market": "USDSPOT" if spot else None,
                **pick(choices, _WEIGHTS),
            },
            {"asset": "COIN", "index": "BASE", "weight_ppm": 900_000, "convert_buffer_ppm": pick(choices, (50_000, 0))}
            | {"market": "COINSPOT" if spot else None}
            | pick(choices, _WEIGHTS),
        ][: pick(choices, (1, 2, 0, 1, 2))],
        "states": pick(choices, _STATES),
        "grades": {name: pick(choices, _GRADES) for name in ("stale", "too_few_sources", "invalid")},
        "liquidation": {
            "trigger": pick(choices, ("maintenance_ge_equity", "maintenance_gt_equity")),
            "order": pick(choices, ("ratio", "deficit", "account")),
            "levels": pick(choices, _LEVELS),
            "stages": stages,
        }
        | ({"bankruptcy_unit": "0.05"} if asked and choices.below(4) == 3 else {}),
        "withdrawal": {"profit_weight_ppm": pick(choices, (units.PPM, units.PPM, 0, 333_333))},
        "fund": {"capital": pick(choices, (20, 5, 1_000_000, 20)), "measure": pick(choices, ("cash", "net"))}
        | pick(choices, ({}, {}, {}, {"floor": 5}, {}, {"event_max": 3}, {"floor": 2, "event_max": 12})),
        "quoters": [
            {
                "account": USERS_FROM + pick(choices, (0, 1)),
                "market": "COINUSDT",
                "levels": 2,
                "half_spread_ppm": 2_000,
                "step_ppm": 5_000,
                "lots": pick(choices, (6, 40)),
                "refill_ns": pick(choices, (units.NS, 5 * units.NS)),
                "exit_move_ppm": pick(choices, (units.PPM, 30_000)),
                "inventory_max": pick(choices, (100_000, 8)),
                "return_ns": 2 * units.NS,
            }
        ][: choices.below(2)],
    }
    for market in venue["markets"]:
        if insured:
            market["fees"] = {name: rate for name, rate in market["fees"].items() if not name.startswith("liquidation")}
    books = [row for row in venue["liquidation"]["stages"] if row["kind"] == "book"]
    if books and insured and "block_limit" in books[0]:
        books[0]["block_limit"] = _WINDOW | {"insurance_max": 4}
    if books and choices.below(10) == 9 and not any("maintenance_min" in row for row in venue["markets"]):
        books[0] |= _TIERS
    if choices.below(16) == 15:
        _sign(venue)
    venue["changes"] = _changes(choices, venue["markets"][0], venue["collateral"])
    return rules.Venue.model_validate(venue)


def _sign(venue: dict) -> None:
    """Let the coin's perpetual trade at zero and below it, and nobody quote it."""
    market = venue["markets"][0]
    market |= {"price_min": "-60", "funding": None, "market_bound_ticks": market["market_bound_ticks"] or 40}
    if market.get("band", {}).get("kind") == "index_anchored":
        del market["band"]
    market["margin"] = {field: value for field, value in market.get("margin", {}).items() if field != "basis"}
    venue["indices"][1]["prices"] = "signed"
    venue["quoters"] = []


# ---- events

KINDS = {  # kind of step: its share of the tape
    "trade": 18,
    "cushion": 6,
    "price": 16,
    "crash": 12,
    "order": 20,
    "clock": 8,
    "cancel": 7,
    "kinds": 9,
    "amend": 6,
    "stop": 8,
    "own": 3,
    "sweep": 2,
    "deposit": 6,
    "withdraw": 3,
    "leverage": 3,
    "batch": 4,
    "close": 5,
    "transfer": 2,
    "mode": 3,
    "isolated": 5,
    "auto_add": 2,
    "state": 2,
    "auction": 3,
    "wait": 1,
    "bust": 2,
    "change": 3,
    "stray": 2,
    "bad": 3,
    "edge": 2,
    "account": 2,
}
SMALL = KINDS | {"auction": 1, "kinds": 4, "stop": 4, "own": 1, "amend": 3, "bust": 1, "change": 1}  # thirty events
EDGES = KINDS | {"edge": 36, "trade": 40}  # for tapes that live at the bounds of units.py
_NEEDED = {"trade", "price"}  # never switched off
TENTHS = (8, 7, 8, 9, 4, 1, 0, 12, 40)  # of what an account can carry, in one order
_STEPS_NS = (0, units.NS // 4, 0, units.NS, 0, units.NS // 4, 2 * units.NS, 0, 12 * units.NS)
_MOVES_PPM = (1_000, -1_000, 3_000, -3_000, 12_000, -12_000, 200, -200)
_CRASHES_PPM = (-40_000, 40_000, -50_000, 50_000, -70_000, 70_000, -400_000, 500_000, -35_000, 30_000, -150_000, 200_000)
_RUINS_PPM = (-300_000, 400_000, -400_000, 500_000)  # beyond what any account here can carry


_WAITS = tuple(
    (kind, by, side)
    for by in (TriggerBy.MARK, TriggerBy.LAST, TriggerBy.INDEX, TriggerBy.MARK)
    for kind in (EventKind.STOP, EventKind.TRAILING, EventKind.TAKE_PROFIT, EventKind.STOP)
    for side in (Side.SELL, Side.BUY)
)
_FIRED_AS = (  # tif, flags, and other fields of a waiting order
    (Tif.MARKET, 0, {}),
    (Tif.MARKET, Flag.REDUCE_ONLY, {}),
    (Tif.GTC, 0, {}),
    (Tif.MARKET, Flag.CLOSE_ONLY, {}),
    (Tif.IOC, Flag.PROTECT, {}),
    (Tif.MARKET, Flag.PROTECT, {}),
    (Tif.GTD, 0, {}),
    (Tif.POST_REPRICE, 0, {}),
    (Tif.FOK, Flag.REDUCE_ONLY, {"asset": SelfTrade.DECREMENT}),
    (Tif.GTC, Flag.REDUCE_ONLY | Flag.PROTECT, {}),
)


def no_event(**fields: int) -> dict[str, int]:
    """Return the fields of an event, the ones that are not named 0; `amount` is split."""
    row = dict.fromkeys(EVENT.names, 0) | fields
    if "amount" in row:
        row["amount_lo"], row["amount_hi"] = money_split(row.pop("amount"))
    return row


def pack(**fields: int) -> bytes:
    """Return one event, packed."""
    return EVENT_STRUCT.pack(*no_event(**fields).values())


class TapeMaker:
    """Makes a tape step by step and remembers what a trader would know: prices, its own order ids, the time."""

    def __init__(self, choices: Choices, venue: rules.Venue, accounts: int, weights: dict[str, int]) -> None:
        self.choices, self.venue, self.accounts = choices, venue, accounts
        self.wheel = [kind for kind, weight in weights.items() for _ in range(weight)]
        self.now = START_NS
        self.signed = min((venue.price_low(row) for row in venue.markets), default=1)  # the lowest price of any market
        coin = 10_000 if self.signed > 0 else -300
        self.prices = [coin if source.name.startswith("coin") else 100 for source in venue.sources]
        self.ids: list[tuple[int, int]] = []  # (account, order id), the latest last
        self.sent: dict[int, tuple[int, int]] = {}  # market and side of an order
        self.children: list[tuple[int, int]] = []  # (sub-account, parent)
        self.worth: dict[int, int] = {}  # whole numeraire deposited by account, as it counts in initial margin
        self.brackets: dict[int, Brackets] = {}
        self.traded = 0  # the market of the last pair
        self.pair = ((USERS_FROM, Side.BUY), (USERS_FROM, Side.SELL))  # its accounts, and what they did
        self.tenths = TENTHS
        self.next_id = 1
        self.rows: list[bytes] = []

    def put(self, **fields: int) -> None:
        self.rows.append(pack(**{"time_ns": self.now} | fields))

    def events(self) -> np.ndarray:
        return np.frombuffer(b"".join(self.rows), dtype=EVENT)

    def prologue(self) -> None:
        """Say every price once, open the accounts and fund them thinly: some in the numeraire, some in collateral."""
        for number, price in enumerate(self.prices):
            self.put(kind=EventKind.SOURCE, source=number, price=price, batch_left=len(self.prices) - 1 - number)
        for n in range(self.accounts):
            account = USERS_FROM + n
            self.put(kind=EventKind.ACCOUNT, account=account, ref_id=account if n != 2 else USERS_FROM)
            self.fund(account)
        if any(market.spot for market in self.venue.markets):
            self.put(kind=EventKind.DEPOSIT, account=account, amount=120 * ONE)  # somebody who can bid for what is seized
        self.now += 2 * units.NS  # every index has published

    def fund(self, account: int) -> None:
        """Deposit 120, 90, 240 or 30 in value, mostly of something that counts."""
        assets = [0] + [self.venue.number("assets", row.asset) for row in self.venue.collateral]
        asset = pick(self.choices, assets * 6 + [2])
        worth = pick(self.choices, (120, 90, 240, 30))
        rows = self.venue.collateral
        counts = {self.venue.number("assets", row.asset): row.initial_weight_ppm or row.weight_ppm for row in rows}
        self.worth[account] = self.worth.get(account, 0) + worth * counts.get(asset, 0 if asset else units.PPM) // units.PPM
        self.put(kind=EventKind.DEPOSIT, account=account, asset=asset, amount=worth * ONE // (100 if asset == 2 else 1))

    def step(self) -> None:
        """Append what one choice of the wheel makes: one event, or a pair."""
        self.now += pick(self.choices, _STEPS_NS)
        getattr(self, pick(self.choices, self.wheel))()

    def _who(self) -> int:
        return USERS_FROM + self.choices.below(self.accounts)

    def _market(self, number: int | None = None) -> tuple[int, int, int]:
        """Return a market, drawn if it is not given, the price unit it trades around, and its tick."""
        number = self.choices.below(len(self.venue.markets)) if number is None else number
        return number, self._around(number), self.venue.markets[number].tick_size

    def _perpetual(self) -> tuple[int, int, int]:
        """Return _market of a perpetual: they stand before the spot markets."""
        return self._market(self.choices.below(sum(not market.spot for market in self.venue.markets)))

    def _around(self, market: int) -> int:
        """Return the price of what a market trades: of the coin, or of the dollar token."""
        return self.prices[0 if self.venue.markets[market].name.startswith("COIN") else 2]

    def _lots(self, market: int, *accounts: int) -> int:
        """Return lots, mostly most of what the thinner account can carry at its leverage; sometimes one, or far too many."""
        worth = min(self.worth.get(account, 100) for account in accounts)
        tenths = pick(self.choices, self.tenths)
        row = self.venue.markets[market]
        reach = worth if row.spot else worth * row.leverage_default
        reach = min(reach, max(2_000, worth * 10))  # the second bracket's cap
        one_lot = max(abs(self.venue.value(row, self._around(market))), 100)
        full = reach * ONE // one_lot
        while not row.spot and full > 1 and self._needs(market, full, one_lot) > worth * ONE:
            full = full * 7 // 8
        caps = [row.limits.qty_max, row.limits.position_max, row.limits.open_interest_max]
        if row.limits.notional_max is not None:
            caps.append(row.limits.notional_max * ONE // one_lot)
        full = min([full, *(cap for cap in caps if cap is not None)])
        return max(1, full * tenths // 10)

    def _needs(self, market: int, lots: int, value: int) -> int:
        """Return the initial margin of lots alone and their taker fee, by the market's rows."""
        row, notional = self.venue.markets[market], lots * value
        if market not in self.brackets:
            self.brackets[market] = Brackets(self.venue, row)
        margin = self.brackets[market].initial(notional, lots, row.leverage_default, notional)
        return margin + notional * row.fees.taker_ppm // units.PPM

    def _near(self, price: int, tick: int, side: int) -> int:
        ticks = pick(self.choices, (0, 1, -1, 2, -2, 4, -4, 10))
        least = tick if price > 0 else self.signed
        return max(least, (price // tick + (ticks if side == Side.SELL else -ticks)) * tick)

    def _on(self, market: int, price: int) -> int:
        """Return a price rounded down to a tick of a market that it can have."""
        tick = self.venue.markets[market].tick_size
        return max(tick if price > 0 else self.signed, price // tick * tick)

    def _send(self, account: int, market: int, side: int, tif: int, price: int, qty: int, flags: int = 0, **more: int) -> None:
        """Send an order; `more` may make another kind of event of it."""
        order_id, self.next_id = self.next_id, self.next_id + 1
        self.ids.append((account, order_id))
        self.sent[order_id] = market, side
        price = 0 if tif == Tif.MARKET else price
        fields = {"account": account, "market": market, "ref_id": order_id, "side": side, "tif": tif, "price": price, "qty": qty}
        self.put(**{"kind": EventKind.ORDER, "flags": flags} | fields | more)

    def close(self) -> None:
        """A reduce-only order of somebody who traded: on either side, so that some are refused."""
        market, price, tick = self._market(self.traded)
        side, account = pick(self.choices, (Side.SELL, Side.BUY)), self._who()
        lots = pick(self.choices, (1, self._lots(market, account), 2))
        self._send(
            account, market, side, pick(self.choices, (Tif.GTC, Tif.IOC)), self._near(price, tick, side), lots, Flag.REDUCE_ONLY
        )

    def order(self) -> None:
        account, (market, price, tick) = self._who(), self._market()
        side = pick(self.choices, (Side.BUY, Side.SELL))
        tif = pick(self.choices, (Tif.GTC, Tif.GTC, Tif.POST_ONLY, Tif.IOC, Tif.MARKET))
        self._send(account, market, side, tif, self._near(price, tick, side), self._lots(market, account))

    def kinds(self) -> None:
        """An order of one of the rarer kinds, near the market: it hides lots, expires, kills or prevents."""
        account, (market, price, tick) = self._who(), self._market()
        side, lots = pick(self.choices, (Side.BUY, Side.SELL)), self._lots(market, account)
        expiry = self.now + pick(self.choices, (units.NS, 3 * units.NS, 0, 30 * units.NS, -1))
        tif, more, flags = pick(
            self.choices,
            (
                (Tif.GTC, {"amount_lo": max(1, lots // 3)}, 0),
                (Tif.FOK, {}, 0),
                (Tif.GTD, {"amount_hi": expiry}, 0),
                (Tif.POST_REPRICE, {}, 0),
                (Tif.GTC, {"asset": SelfTrade.DECREMENT}, 0),
                (Tif.IOC, {"asset": SelfTrade.CANCEL_BOTH}, 0),
                (Tif.FOK, {"asset": SelfTrade.CANCEL_MAKER}, 0),
                (Tif.POST_ONLY, {"amount_hi": expiry, "amount_lo": 1}, 0),
                (Tif.IOC, {}, Flag.CLOSE_ONLY),
                (Tif.GTD, {"amount_hi": expiry, "amount_lo": 2, "asset": SelfTrade.CANCEL_TAKER}, 0),
            ),
        )
        self._send(account, market, side, tif, self._near(price, tick, side), 0 if flags else lots, flags, **more)

    def amend(self) -> None:
        """Change a recent order: fewer lots, more of them, another price, or nothing."""
        account, order_id = self.ids[-1 - self.choices.below(min(len(self.ids), 8))] if self.ids else (USERS_FROM, 1)
        market, side = self.sent.get(order_id, (self.traded, Side.BUY))
        market, price, tick = self._market(market)
        near = self._near(price, tick, side)
        price, qty, trigger = pick(
            self.choices,
            ((0, 1, 0), (0, 3, 0), (near, 0, 0), (0, self._lots(market, account), 0), (0, 0, near), (0, 0, 0), (-1, 2, 0)),
        )
        self.put(kind=EventKind.AMEND, account=account, ref_id=order_id, price=price, qty=qty, amount_lo=trigger % 2**64)

    def stop(self) -> None:
        """An order that waits for a price nearby, mostly of who may hold something; now and then the price is there already."""
        (market, price, tick), recent = self._market(self.traded), self.choices.below(4)
        account = self.ids[-1 - recent][0] if recent < min(3, len(self.ids)) else self._who()
        kind, by, side = pick(self.choices, _WAITS)
        away_ppm = pick(self.choices, (1_000, 5_000, 200, 20_000, 1_000, 60_000, 5_000, -3_000))
        rises = (side == Side.BUY) != (kind == EventKind.TAKE_PROFIT)
        trigger = max(tick, price * (units.PPM + (away_ppm if rises else -away_ppm)) // units.PPM // tick * tick)
        tif, flags, more = pick(self.choices, _FIRED_AS)
        if kind == EventKind.TRAILING:
            in_ppm = away_ppm < 10_000
            trigger = abs(away_ppm) if in_ppm else max(1, price * away_ppm // units.PPM)
            flags |= Flag.DISTANCE_PPM * in_ppm
        if tif == Tif.GTD:
            more = {"amount_hi": self.now + pick(self.choices, (units.NS, 3 * units.NS, 30 * units.NS))}
        lots = 0 if flags & Flag.CLOSE_ONLY else pick(self.choices, (1, self._lots(market, account), 3))
        more = {"kind": kind, "source": by, "amount_lo": trigger} | more
        self._send(account, market, side, tif, self._on(market, price), lots, flags, **more)

    def own(self) -> None:
        """Two accounts of one owner, or one account with itself, meet at a price."""
        account, (market, price, _) = USERS_FROM, self._market()
        other = pick(self.choices, (account, account + 2 if self.accounts > 2 else account))
        side, lots = pick(self.choices, (Side.BUY, Side.SELL)), self._lots(market, account)
        price, lots = self._on(market, price), max(1, lots // 4)
        self._send(account, market, side, Tif.GTC, price, lots, amount_lo=lots // 2)
        mode = pick(self.choices, (0, SelfTrade.DECREMENT, SelfTrade.CANCEL_TAKER, SelfTrade.CANCEL_MAKER, SelfTrade.CANCEL_BOTH))
        self._send(other, market, Side.SELL if side == Side.BUY else Side.BUY, Tif.GTC, price, lots + 1, asset=mode)

    def sweep(self) -> None:
        """Cancel an account's orders of a market, a side or everywhere; or all of them as it disconnects."""
        account, market = self._who(), self._market()[0]
        self.put(
            account=account,
            **pick(
                self.choices,
                (
                    {"kind": EventKind.MASS_CANCEL, "market": market},
                    {"kind": EventKind.MASS_CANCEL, "flags": Flag.ALL_MARKETS},
                    {"kind": EventKind.MASS_CANCEL, "market": market, "side": Side.SELL},
                    {"kind": EventKind.DISCONNECT},
                ),
            ),
        )

    def trade(self, accounts: int | None = None) -> None:
        """Two of the first `accounts` meet at one price."""
        accounts = self.accounts if accounts is None else accounts
        maker, (market, price, _) = self.choices.below(accounts), self._perpetual()
        taker = USERS_FROM + (maker + 1 + self.choices.below(max(accounts - 1, 1))) % accounts
        maker += USERS_FROM
        side = pick(self.choices, (Side.BUY, Side.SELL))
        price, lots, self.traded = self._on(market, price), self._lots(market, maker, taker), market
        other_side = Side.SELL if side == Side.BUY else Side.BUY
        self.pair = (maker, side), (taker, other_side)
        self._send(maker, market, side, Tif.GTC, price, lots)
        self._send(taker, market, other_side, Tif.GTC, price, lots)

    def cushion(self) -> None:
        """The last account bids below the market and offers above it: somebody to be liquidated into."""
        account, (market, price, tick) = USERS_FROM + self.accounts - 1, self._market(self.traded)
        away_ppm, lots = pick(self.choices, (30_000, 10_000, 50_000, 20_000)), self._lots(market, account)
        for side, ppm in ((Side.BUY, -away_ppm), (Side.SELL, away_ppm)):
            at = max(tick, price * (units.PPM + ppm) // units.PPM // tick * tick)
            self._send(account, market, side, Tif.GTC, at, max(1, lots // 2))
        for number, row in enumerate(self.venue.markets):
            if row.spot:
                _, price, tick = self._market(number)
                at = max(tick, price * (units.PPM - away_ppm) // units.PPM // tick * tick)
                self._send(account, number, Side.BUY, Tif.GTC, at, max(1, self._lots(number, account) // 4))

    def _move(self, number: int, ppm: int, batch_left: int = 0) -> None:
        before = self.prices[number]
        least = 1
        if self.signed < 1 and self.venue.sources[number].name.startswith("coin"):
            least, ppm = self.signed, 2 * ppm if abs(before) < 5_000 else ppm
        price = before + max(abs(before), 2_000 if least < 1 else 0) * ppm // units.PPM
        self.prices[number] = min(max(price, least), 10**7)
        self.put(kind=EventKind.SOURCE, source=number, price=self.prices[number], batch_left=batch_left)

    def price(self) -> None:
        self._move(pick(self.choices, (0, 2, 1, 3, 4, 0)), pick(self.choices, _MOVES_PPM))

    def crash(self, moves_ppm: tuple[int, ...] = _CRASHES_PPM) -> None:
        """All sources of one thing fall or rise alike: mostly of what was traded last."""
        traded = (0, 1) if self.traded == 0 else (2, 3)
        anywhere = (traded, traded, (0, 1), traded, (2, 3), (4, 4))
        pair, ppm = traded if moves_ppm is _RUINS_PPM else pick(self.choices, anywhere), pick(self.choices, moves_ppm)
        self._move(pair[0], ppm, batch_left=int(pair[0] != pair[1]))
        if pair[0] != pair[1]:
            self._move(pair[1], ppm)

    def batch(self) -> None:
        """Several events applied together: one cascade at the end of them."""
        left = 1 + self.choices.below(3)
        account, (market, price, _) = self._who(), self._market()
        for more in range(left, 0, -1):
            self._move(pick(self.choices, (0, 1, 2, 3, 4)), pick(self.choices, _CRASHES_PPM), batch_left=more)
        order_id, self.next_id = self.next_id, self.next_id + 1
        self.put(
            kind=EventKind.ORDER,
            account=account,
            market=market,
            ref_id=order_id,
            side=Side.SELL,
            tif=Tif.GTC,
            price=self._on(market, price),
            qty=self._lots(market, account),
            batch_left=0 if self.choices.below(8) != 7 else 1,
        )

    def clock(self) -> None:
        self.put(kind=EventKind.CLOCK)

    def cancel(self) -> None:
        account, order_id = self.ids[-1 - self.choices.below(min(len(self.ids), 8))] if self.ids else (USERS_FROM, 1)
        self.put(kind=EventKind.CANCEL, account=account, ref_id=order_id)

    def deposit(self) -> None:
        self.fund(self._who())

    def withdraw(self) -> None:
        account, asset = self._who(), pick(self.choices, (0, 1, 2))
        self.put(
            kind=EventKind.WITHDRAW, account=account, asset=asset, amount=pick(self.choices, (5 * ONE, 60 * ONE, 1, 10**9 * ONE))
        )

    def leverage(self) -> None:
        market = self.choices.below(len(self.venue.markets))
        self.put(kind=EventKind.LEVERAGE, account=self._who(), market=market, qty=pick(self.choices, (20, 10, 3, 1, 21, 0)))

    def _family(self) -> tuple[int, int]:
        """Return a sub-account and its parent, if there are any; else two accounts of one owner, or of two."""
        below, above = pick(self.choices, self.children or [(self._who(), self._who())])
        return pick(self.choices, ((above, below), (below, above)))

    def transfer(self) -> None:
        account, other = self._family()
        asset, amount = pick(self.choices, (0, 0, 1, 2)), pick(self.choices, (20 * ONE, 5 * ONE, 1, 10**9 * ONE))
        self.put(kind=EventKind.TRANSFER, account=account, qty=other, asset=asset, amount=amount)

    def mode(self) -> None:
        """A position moves between cross and isolated, with margin: enough, too little or none."""
        account, other = self._family()
        market, amount = self._market(self.traded)[0], pick(self.choices, (60 * ONE, 25 * ONE, 0, 10**9 * ONE))
        self.put(kind=EventKind.MODE, account=account, qty=other, market=market, amount=amount)

    def isolated(self) -> None:
        """A sub-account opens a position against somebody, and may hand it to its parent."""
        if not self.children:
            self.isolate()
        account, parent = self.children[-1]
        market, price, tick = self._perpetual()
        other, side = USERS_FROM + 1 + self.choices.below(self.accounts - 1), pick(self.choices, (Side.BUY, Side.SELL))
        self.worth.setdefault(account, 30)
        price, lots, self.traded = self._on(market, price), self._lots(market, account), market
        self._send(other, market, side, Tif.GTC, price, lots)
        self._send(account, market, Side.SELL if side == Side.BUY else Side.BUY, Tif.IOC, price, lots)
        if self.choices.below(3) == 2:
            amount = pick(self.choices, (0, 5 * ONE, 25 * ONE))
            self.put(kind=EventKind.MODE, account=account, qty=parent, market=market, amount=amount)

    def auto_add(self) -> None:
        account, _ = pick(self.choices, self.children or [(self._who(), 0)])
        self.put(kind=EventKind.AUTO_ADD, account=account, qty=pick(self.choices, (1, 1, 0, 2)))

    def state(self) -> None:
        market = self.choices.below(len(self.venue.markets))
        qty = pick(self.choices, (MarketState.HALTED, 1, 0, 0, 7, 3, 4, 0, 6, "now", "soon", "ago"))
        if isinstance(qty, int):
            self.put(kind=EventKind.STATE, market=market, qty=qty)
        else:
            at = {"now": 0, "soon": self.now + 2 * units.NS, "ago": self.now - 1}[qty]
            self.put(kind=EventKind.DELIST, market=market, qty=at)

    def bust(self) -> None:
        """The venue undoes a fill, sometimes twice: mostly one of the first, for many orders trade nothing."""
        number = pick(self.choices, (0, 1, 2, 3, 4, 5, 7, 9, 12, 15, 2**63))
        for _ in range(1 + (self.choices.below(4) == 3)):
            self.put(kind=EventKind.BUST, ref_id=number)

    def stray(self) -> None:
        """An order far from the market, where bands and limits are: what it meets there was left by others, or by nobody."""
        account, (market, price, tick) = self._who(), self._market()
        side = pick(self.choices, (Side.BUY, Side.SELL))
        away_ppm = pick(self.choices, (15_000, 8_000, 25_000, 60_000))
        far = price * (units.PPM + (away_ppm if side == Side.BUY else -away_ppm)) // units.PPM // tick * tick
        tif = pick(self.choices, (Tif.GTC, Tif.IOC, Tif.FOK, Tif.MARKET, Tif.POST_ONLY, Tif.POST_REPRICE))
        self._send(account, market, side, tif, max(tick, far), max(1, self._lots(market, account) // 4))

    def auction(self) -> None:
        """A market collects orders that cross, of several accounts and kinds, and is left, mostly: at one price.

        Some of those who traded last close all they have, twice: what fills first takes the lots of the other away.
        """
        market, price, tick = self._market(pick(self.choices, (self.traded, None)))
        self.put(kind=EventKind.STATE, market=market, qty=MarketState.AUCTION)
        closing = pick(self.choices, ((), self.pair[:1], self.pair[1:], self.pair)) if market == self.traded else ()
        for account, side in closing:
            for ticks in (6, 5):
                away = ticks if side == Side.SELL else -ticks
                self._send(account, market, 3 - side, Tif.GTC, max(tick, (price // tick + away) * tick), 0, Flag.CLOSE_ONLY)
        for n in range(4 + self.choices.below(6)):
            account, side = self._who(), (Side.BUY, Side.SELL)[n % 2]
            lots = max(1, self._lots(market, account) // pick(self.choices, (2, 3, 1, 4)))
            ticks = pick(self.choices, (1, 0, 2, 4, 6, -1, 3, -2)) * (1 if side == Side.BUY else -1)
            tif, more = pick(
                self.choices,
                (
                    (Tif.GTC, {}),
                    (Tif.GTC, {"amount_lo": 1 + lots // 3}),
                    (Tif.POST_ONLY, {}),
                    (Tif.POST_REPRICE, {}),
                    (Tif.GTC, {"asset": SelfTrade.CANCEL_BOTH}),
                    (Tif.GTD, {"amount_hi": self.now + units.NS}),
                    (Tif.IOC, {}),
                ),
            )
            self._send(account, market, side, tif, max(tick, (price // tick + ticks) * tick), lots, **more)
        if self.choices.below(4) == 3:
            self.amend()
        self.now += pick(self.choices, (0, units.NS))
        left = (MarketState.OPEN, MarketState.OPEN, MarketState.HALTED, MarketState.REDUCE_ONLY, MarketState.AUCTION)
        self.put(kind=EventKind.STATE, market=market, qty=pick(self.choices, left))

    def end(self) -> None:
        """What has a settlement row ends now, whoever holds what: the backstop too."""
        for market, row in enumerate(self.venue.markets):
            if row.settlement:
                self.put(kind=EventKind.DELIST, market=market)

    def wait(self) -> None:
        """Let a minute pass, so that funding is due."""
        self.now += 40 * units.NS
        self.clock()

    def isolate(self) -> None:
        """A sub-account of the first account, with auto-add, and half of what its parent may give."""
        account = USERS_FROM + self.accounts
        self.children.append((account, USERS_FROM))
        self.put(kind=EventKind.ACCOUNT, account=account, ref_id=USERS_FROM, flags=Flag.HAS_PARENT, qty=USERS_FROM)
        self.put(kind=EventKind.AUTO_ADD, account=account, qty=1)
        self.put(kind=EventKind.TRANSFER, account=USERS_FROM, qty=account, amount=30 * ONE)

    def account(self) -> None:
        account = USERS_FROM + self.choices.below(self.accounts + 2)
        parent = self.choices.below(2)
        self.put(
            kind=EventKind.ACCOUNT,
            account=account,
            ref_id=USERS_FROM,
            flags=Flag.HAS_PARENT * parent,
            qty=(USERS_FROM + self.choices.below(2)) * parent,
        )

    def change(self) -> None:
        """A change of rules is announced, for at once or for later, or taken back; now and then there is none, or it is late."""
        count = len(self.venue.changes)
        if not count and self.choices.below(8) != 7:
            return self.price()
        kind = pick(self.choices, (EventKind.RULE_CHANGE, EventKind.RULE_CHANGE, EventKind.RULE_CHANGE, EventKind.RULE_WITHDRAWN))
        ahead = pick(self.choices, (0, units.NS, 3 * units.NS, 0, 6 * units.NS, -units.NS, 2**62))
        number = self.choices.below(count + 1) if self.choices.below(8) == 7 or not count else self.choices.below(count)
        self.put(kind=kind, ref_id=number, qty=(self.now + ahead if ahead else 0) if kind == EventKind.RULE_CHANGE else 0)

    def edge(self) -> None:
        """A deposit, a price or a quantity at the largest that passes the gate; or a price at the least."""
        account, number = self._who(), self.choices.below(len(self.prices))
        what = self.choices.below(4)
        if what == 0:
            asset = self.choices.below(len(self.venue.assets))
            self.put(kind=EventKind.DEPOSIT, account=account, asset=asset, amount=units.MONEY_IN_MAX)
        elif what == 1:
            market, price, tick = self._market()
            self._send(
                account,
                market,
                pick(self.choices, (Side.BUY, Side.SELL)),
                Tif.GTC,
                self._on(market, price),
                units.QTY_MAX,
            )
        else:
            self.put(kind=EventKind.SOURCE, source=number, price=units.PRICE_MAX if what == 2 else 1)

    def bad(self) -> None:
        """One thing that a gate must refuse, or a value at an edge of its range."""
        order = {
            "kind": EventKind.ORDER,
            "account": USERS_FROM,
            "ref_id": self.next_id,
            "side": Side.BUY,
            "tif": Tif.GTC,
            "price": self.venue.markets[0].tick_size * 100,
            "qty": 1,
        }
        stop = order | {"kind": EventKind.STOP, "source": TriggerBy.MARK, "amount_lo": order["price"] * 2}
        trail = stop | {"kind": EventKind.TRAILING}
        amount = {"kind": EventKind.DEPOSIT, "account": USERS_FROM, "amount": ONE}
        source = {"kind": EventKind.SOURCE, "source": self.choices.below(len(self.prices))}
        self.put(
            **pick(
                self.choices,
                (
                    order | {"price": order["price"] + 1},
                    source | {"flags": int(Flag.MISSING)},
                    source | {"price": 0},
                    source | {"price": -5},
                    source | {"price": 2**63 - 1},
                    source | {"price": -(2**63)},
                    source | {"price": units.PRICE_MAX + 1},
                    {"kind": EventKind.CLOCK, "time_ns": self.now - units.NS},
                    {"kind": EventKind.CLOCK, "time_ns": self.now + self.venue.clock.gap_max_ns + 1},
                    {"kind": EventKind.SOURCE, "source": 0, "price": 1, "time_ns": self.now - 1, "batch_left": 0},
                    {"kind": 0},
                    {"kind": 255, "account": 2**32 - 1, "qty": -1},
                    order | {"account": 7},
                    order | {"account": 2**32 - 1},
                    order | {"market": 9},
                    order | {"leg": 1},
                    order | {"leg": 255},
                    order | {"ref_id": ENGINE_ORDER | 1},
                    order | {"ref_id": 1},
                    order | {"side": 3},
                    order | {"tif": 9},
                    order | {"qty": 0},
                    order | {"qty": -4},
                    order | {"qty": units.QTY_MAX},
                    order | {"qty": units.QTY_MAX + 1},
                    order | {"price": 0},
                    order | {"price": units.PRICE_MAX, "side": Side.SELL},
                    order | {"tif": Tif.MARKET},
                    order | {"amount_lo": 1},
                    order | {"amount_lo": 2**64 - 1, "qty": 5},
                    order | {"amount_lo": 1, "qty": 5, "tif": Tif.IOC},
                    order | {"amount_hi": self.now + units.NS},
                    order | {"tif": Tif.GTD},
                    order | {"tif": Tif.GTD, "amount_hi": self.now},
                    order | {"tif": Tif.GTD, "amount_hi": 2**63 - 1},
                    order | {"tif": Tif.POST_ONLY, "amount_hi": -1},
                    order | {"asset": SelfTrade.ALLOW},
                    order | {"asset": 65_535},
                    order | {"flags": int(Flag.CLOSE_ONLY)},
                    order | {"flags": int(Flag.CLOSE_ONLY), "qty": 0},
                    stop | {"source": 0},
                    stop | {"source": 4},
                    stop | {"amount_lo": 0},
                    stop | {"amount_lo": order["price"] * 2 + 1},
                    stop | {"amount_lo": 2**64 - 1},
                    stop | {"amount_lo": order["price"], "side": Side.BUY},
                    stop | {"flags": int(Flag.DISTANCE_PPM)},
                    stop | {"account": 7},
                    stop | {"market": 9},
                    stop | {"ref_id": 1},
                    stop | {"tif": Tif.GTD},
                    stop | {"flags": int(Flag.CLOSE_ONLY)},
                    stop | {"source": TriggerBy.LAST, "market": len(self.venue.markets) - 1},
                    trail | {"amount_lo": 0},
                    trail | {"amount_lo": units.PPM, "flags": int(Flag.DISTANCE_PPM)},
                    trail | {"amount_lo": 2**63, "side": Side.SELL},
                    trail | {"amount_lo": 10**9, "side": Side.SELL},
                    {"kind": EventKind.AMEND, "account": USERS_FROM, "ref_id": 2**64 - 1, "qty": 1},
                    {"kind": EventKind.AMEND, "account": USERS_FROM + 1, "ref_id": max(self.next_id - 1, 0), "qty": -1},
                    {"kind": EventKind.AMEND, "account": USERS_FROM + 1, "ref_id": max(self.next_id - 1, 0), "amount_lo": 1},
                    {"kind": EventKind.MASS_CANCEL, "account": 2},
                    {"kind": EventKind.MASS_CANCEL, "account": USERS_FROM, "market": 9},
                    {"kind": EventKind.MASS_CANCEL, "account": USERS_FROM, "side": 3},
                    {"kind": EventKind.DISCONNECT, "account": 16_000},
                    amount | {"asset": 77},
                    amount | {"amount": 0},
                    amount | {"amount": -1},
                    amount | {"amount": units.MONEY_IN_MAX + 1},
                    amount | {"account": 16_000},
                    amount | {"kind": EventKind.WITHDRAW, "asset": 77},
                    amount | {"kind": EventKind.WITHDRAW, "amount": 2**126},
                    {"kind": EventKind.SOURCE, "source": 999, "price": 5},
                    {"kind": EventKind.CANCEL, "account": USERS_FROM + 1, "ref_id": max(self.next_id - 1, 0)},
                    {"kind": EventKind.CANCEL, "account": USERS_FROM, "ref_id": 2**64 - 1},
                    {"kind": EventKind.ACCOUNT, "account": 2, "ref_id": 2},
                    {"kind": EventKind.ACCOUNT, "account": 95, "ref_id": 2**32},
                    {"kind": EventKind.ACCOUNT, "account": 96, "ref_id": 1},
                    {"kind": EventKind.ACCOUNT, "account": 95, "ref_id": 5, "flags": int(Flag.HAS_PARENT), "qty": -16},
                    {"kind": EventKind.LEVERAGE, "account": USERS_FROM, "market": 64, "qty": 2},
                    {"kind": EventKind.TRANSFER, "account": USERS_FROM, "qty": USERS_FROM, "amount": 1},
                    {"kind": EventKind.TRANSFER, "account": USERS_FROM, "qty": -1, "amount": 1},
                    {"kind": EventKind.TRANSFER, "account": USERS_FROM, "qty": USERS_FROM + 2, "asset": 77, "amount": 1},
                    {"kind": EventKind.TRANSFER, "account": USERS_FROM, "qty": USERS_FROM + 2, "amount": 2**126},
                    {"kind": EventKind.MODE, "account": USERS_FROM, "qty": USERS_FROM + 1, "market": 9},
                    {"kind": EventKind.MODE, "account": USERS_FROM, "qty": 2**40},
                    {"kind": EventKind.MODE, "account": USERS_FROM, "qty": USERS_FROM + self.accounts, "amount": -1},
                    {"kind": EventKind.BUST, "ref_id": 2**64 - 1},
                    {"kind": EventKind.BUST, "ref_id": 2**32, "account": 2**32 - 1, "market": 255},
                    {"kind": EventKind.STATE, "market": 9},
                    {"kind": EventKind.STATE, "qty": -1},
                    {"kind": EventKind.DELIST, "market": 9},
                    {"kind": EventKind.DELIST, "qty": -1},
                    {"kind": EventKind.DELIST, "qty": 2**63 - 1, "market": self.traded},
                ),
            )
        )


def make_seams(choices: Choices, venue: rules.Venue) -> list[SeamRow]:
    """Return up to two scheduled faults, mostly none."""
    rows = []
    deleverages = any(stage.kind == "adl" for stage in venue.liquidation.stages)
    for _ in range(pick(choices, (0, 1, 0, 2))):
        seam = pick(choices, tuple(Seam) + (Seam.ADL_TRIGGER, Seam.ADL_RANK) * 3 * deleverages)
        keys = {
            Seam.SOURCE_READ: len(venue.sources),
            Seam.INDEX_PUBLISH: len(venue.indices),
            Seam.COLLATERAL_PRICE: len(venue.assets),
            Seam.LIQUIDATION_TRIGGER: 4,
        }
        room = keys.get(seam, 1)  # of the late ones: the first market, or account, or any
        key = choices.below(room + 1)
        key = SEAM_ANY if key == room else key + (USERS_FROM if seam in (Seam.LIQUIDATION_TRIGGER, Seam.ADL_RANK) else 0)
        if seam in DECISIONS:
            kind, argument = pick(choices, (SeamKind.FORCE_TRUE, SeamKind.FORCE_FALSE)), 0
        else:
            kind, argument = pick(
                choices,
                (
                    (SeamKind.SCALE, 700_000),
                    (SeamKind.HOLD, 0),
                    (SeamKind.CONST, 65),
                    (SeamKind.MISSING, 0),
                    (SeamKind.RAMP, -300_000),
                    (SeamKind.CONST, 0),
                    (SeamKind.CONST, -1),
                    (SeamKind.SCALE, 10**12),
                    (SeamKind.CONST, 13_000),
                    (SeamKind.CONST, 2**63 - 1),
                ),
            )
        begin = START_NS + choices.below(10) * units.NS
        step = units.NS if seam in keys else 20 * units.NS  # what comes at the end of a cascade, or with funding, comes late
        rows.append((int(seam), key, begin, begin + (1 + choices.below(10)) * step, int(kind), argument))
    return rows


def _swarm(choices: Choices, kinds: dict[str, int] = KINDS) -> dict[str, int]:
    """Return the shares of the kinds of steps, some of them switched off."""
    return {kind: share if kind in _NEEDED or choices.below(4) != 3 else 0 for kind, share in kinds.items()}


@dataclass(frozen=True)
class Case:
    """A venue, a tape and a fault schedule: all that a run is made of."""

    venue: rules.Venue
    events: np.ndarray
    seams: tuple[SeamRow, ...]
    start_ns: int = START_NS

    def __repr__(self) -> str:
        """What a person can paste: the rule book, one line an event, the faults."""
        lines = [f"venue = {self.venue.model_dump_json(exclude_defaults=True)}", f"seams = {self.seams}"]
        for i, event in enumerate(self.events):
            known = int(event["kind"]) in EventKind._value2member_map_
            name = EventKind(event["kind"]).name if known else str(event["kind"])
            lines.append(f"{i:4} {name:9}" + " ".join(f"{f}={int(event[f])}" for f in EVENT.names if f != "kind" and event[f]))
        return "\n" + "\n".join(lines)


# ---- the two sources


def small_case(choices: Choices) -> Case:
    """Return a small venue and up to 30 events: a trade, a crash that hurts and one that ruins, then whatever comes.

    Where rules may change one change is in force between the trade and the crash.
    """
    venue = make_venue(choices)
    maker = TapeMaker(choices, venue, accounts=(3, 3, 3, 2)[choices.below(4)], weights=_swarm(choices, SMALL))
    maker.prologue()
    maker.tenths = (8, 7, 6)
    if choices.below(8) == 7:
        maker.isolated()
    maker.trade(accounts=2)
    if choices.below(8) != 7:
        maker.cushion()
    if venue.changes:
        maker.put(kind=EventKind.RULE_CHANGE)
    maker.crash(_CRASHES_PPM[:6])
    maker.tenths = TENTHS
    length = SMALL_EVENTS_MAX - choices.below(6)
    for _ in range(choices.below(4)):
        if len(maker.rows) < length - 6:  # what ruins is never cut off
            maker.step()
    maker.crash(_RUINS_PPM)
    maker.now += 2 * units.NS  # every index has published
    maker.clock()
    while len(maker.rows) < length:
        maker.step()
    return Case(venue, maker.events()[:length], tuple(make_seams(choices, venue)))


@st.composite
def small_cases(draw) -> Case:
    """A small case, drawn field by field."""
    return small_case(Drawn(draw))


def small_sample(cases: int, seed: int = 1, bytes_each: int = 600) -> Iterator[Case]:
    """Yield small cases from integer arithmetic on a seed: what Hypothesis draws depends on what else is imported."""
    dice = random.Random(seed)
    for _ in range(cases):
        yield small_case(Decoded(dice.getrandbits(8 * bytes_each).to_bytes(bytes_each, "little")))


def decode(data: bytes, kinds: dict[str, int] = KINDS) -> Case:
    """Return the tape that bytes stand for. Header: venue, faults, number of accounts, swarm; then a few bytes a step.

    Every byte string is valid, the empty one too; the same bytes are always the same tape.
    """
    choices = Decoded(data)
    venue = make_venue(choices)
    seams = make_seams(choices, venue)
    maker = TapeMaker(choices, venue, accounts=2 + choices.below(11), weights=_swarm(choices, kinds))
    maker.prologue()
    if choices.below(3) != 2:
        maker.isolate()
    while choices.more():
        maker.step()
    maker.end()
    return Case(venue, maker.events(), tuple(seams))


def long_cases(bytes_min: int = 1_024, bytes_max: int = 4_096) -> st.SearchStrategy[Case]:
    """Long tapes decoded from one binary draw: some 5 bytes an event."""
    return st.binary(min_size=bytes_min, max_size=bytes_max).map(decode)


def sample(cases: int, seed: int = 1, bytes_each: int = 860, kinds: dict[str, int] = KINDS) -> Iterator[Case]:
    """Yield decoded cases from integer arithmetic on a seed: the same ones everywhere."""
    dice = random.Random(seed)
    for _ in range(cases):
        yield decode(dice.getrandbits(8 * bytes_each).to_bytes(bytes_each, "little"), kinds)


def busy(events: int, accounts: int = 50, seed: int = 1) -> Case:
    """Return the tape that lockstep's speed is measured on: two markets, a tenth of price events, the rest mostly orders."""
    venue = make_venue(Decoded(bytes([0, 1])))
    dice = random.Random(seed)
    size = 16 * events + 16 * accounts
    choices = Decoded(dice.getrandbits(8 * size).to_bytes(size, "little"))
    weights = {"order": 72, "cancel": 32, "price": 13, "clock": 5, "deposit": 3, "withdraw": 1, "leverage": 2}  # of 128: no bias
    maker = TapeMaker(choices, venue, accounts, weights)
    maker.tenths = (1, 0, 2, 0, 1, 3, 0, 8)
    maker.prologue()
    while len(maker.rows) < events:
        maker.step()
    return Case(venue, maker.events()[:events], ())


# ---- what a case reached

REACHES = ("liquidation", "takeover", "adl", "conversion", "fund", "bad_debt")


def reached(outcomes: np.ndarray) -> set[str]:
    """Return which ends of the cascade the outcomes show."""
    assert outcomes.dtype == OUTCOME
    kind, flow = outcomes["kind"], outcomes["flow"]
    seen = {
        "liquidation": np.any((kind == OutcomeKind.FILL) & (outcomes["stage"] == Stage.BOOK)),
        "takeover": np.any(kind == OutcomeKind.TAKEOVER),
        "adl": np.any(kind == OutcomeKind.ADL),
        "conversion": np.any(kind == OutcomeKind.CONVERT),
        "fund": np.any((kind == OutcomeKind.FLOW) & (flow == Flow.FUND_PAYMENT)),
        "bad_debt": np.any((kind == OutcomeKind.FLOW) & (flow == Flow.WRITE_OFF)),
    }
    return {name for name in REACHES if seen[name]}
