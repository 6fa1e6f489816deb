"""The ledger: lots and money sum to 0, and both move only by what was told; L1, L2, L12."""

from __future__ import annotations

from collections import Counter

from specs.lawbook import Breaches
from specs.scene import Case
from specs.tape import USERS_FROM


def lots_sum_to_zero(case: Case) -> Breaches:
    """L1. Sum the positions after the event."""
    total = Counter()
    for _, market, _, lots, _ in case.after["positions"]:
        total[market] += lots
    for market, lots in total.items():
        if lots:
            yield f"the lots of market {market} sum to {lots}"


def chart_sums_to_zero(case: Case) -> Breaches:
    """L2. Sum the balances after the event, and compare each with what the outcomes add up to."""
    total = Counter()
    for _, asset, money in case.after["balances"]:
        total[asset] += money
    for asset, money in total.items():
        if money:
            yield f"the balances of asset {asset} sum to {money}"
    for key in {**case.end.balance, **case.final.balance}:
        told, is_now = case.end.balance[key], case.final.balance[key]
        if told != is_now:
            yield f"account {key[0]} holds {is_now} of asset {key[1]}, the flows say {told}"


def longs_are_shorts(case: Case) -> Breaches:
    """L12. Compare the two sides of each market, and each position with what the outcomes add up to."""
    for market in case.book.markets:
        lots = [row[3] for row in case.after["positions"] if row[1] == market]
        longs, shorts = sum(x for x in lots if x > 0), -sum(x for x in lots if x < 0)
        if longs != shorts:
            yield f"market {market} has {longs} lots long and {shorts} short"
    for key in sorted({**case.end.qty, **case.final.qty}):
        told, is_now = case.end.qty[key], case.final.qty[key]
        if told != is_now:
            yield f"account {key[0]} holds {is_now} lots of market {key[1]}, fills, takeovers, ADL, moves and busts say {told}"
        told, is_now = case.end.entry[key], case.final.entry[key]
        if told != is_now and key[0] >= USERS_FROM:
            yield f"account {key[0]} entered market {key[1]} for {is_now}, fills, takeovers, ADL and moves say {told}"
