"""The matching engine alone, as a rule book: one market, and nothing around it that an order could fail of.

Who drives the engine with orders of others (recorded exchanges, published scripts, an order stream) needs a book and no more.
"""

from __future__ import annotations

from typing import Literal

from specs import rules, units

NUMERAIRE, MARKET = "QUOTE", "X"


def matching_venue(
    name: str,
    *,
    index: Literal["source", "book"] = "source",
    price_decimals: int = 0,
    lot_decimals: int = 0,
    tick_size: int = 1,
    limits: dict[str, int] | None = None,
    fees: dict[str, int] | None = None,
    clearing: Literal["none", "full"] = "none",
) -> rules.Venue:
    """Return a rule book of one market in which an order meets the book alone.

    MARKET orders are bounded by no price, and any time may pass between two events. A halted market takes no new order and lets
    resting ones be changed and cancelled; a post-only one takes no order that would trade. Money has as many decimals as price
    and lot together: no product is rounded.

    index: `source`, told by a source, which without clearing nobody need ever say: then nothing is published, and an event has
    the outcomes of its order and no other. `book`: of this market's own book, so that fills move index and mark.
    price_decimals, lot_decimals, tick_size: of the market, the tick in price units.
    limits, fees: fields of rules.Limits and rules.Fees in place of their defaults.
    clearing: full puts the same market under the whole exchange, its bracket as wide as the bounds allow, so that a bench may say
    what clearing costs.
    """
    recipe = {"kind": "source", "name": MARKET} if index == "source" else {"kind": "book", "market": MARKET}
    return rules.Venue.model_validate(
        {
            "schema_version": 1,
            "name": name,
            "clearing": clearing,
            "clock": {"gap_max_ns": units.DURATION_MAX_NS},
            "limits": limits or {},
            "numeraire": NUMERAIRE,
            "assets": [{"name": NUMERAIRE, "decimals": price_decimals + lot_decimals}],
            "sources": [{"name": MARKET, "price_decimals": price_decimals}] if index == "source" else [],
            "indices": [
                {"name": MARKET, "price_decimals": price_decimals, "publish": {"kind": "update"}, "recipe": recipe},
            ],
            "markets": [
                {
                    "name": MARKET,
                    "settles_in": NUMERAIRE,
                    "index": MARKET,
                    "mark": {"kind": "index"},
                    "price_decimals": price_decimals,
                    "lot": {"decimals": lot_decimals},
                    "tick_size": tick_size,
                    "market_bound_ticks": units.PRICE_MAX,
                    "fees": fees or {},
                    "brackets": [{"notional_max": 10**18, "leverage_max": 20, "maintenance_ppm": 10_000}],
                }
            ],
            "states": {"halted": {"open": "refuse", "take": "refuse"}, "post_only": {"take": "refuse"}},
            "liquidation": {"stages": [{"kind": "takeover"}, {"kind": "write_off"}]},
        }
    )
