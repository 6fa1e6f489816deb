"""Leverage tiers of Binance USD-M as CCXT and freqtrade keep them, JSON by symbol, read into Bracket rows.

Read is what Binance wrote, the strings under `info`: notionalFloor, notionalCap, initialLeverage, maintMarginRatio, cum (the
maintenance amount). A symbol is a list of tiers, ascending, the floor of each the cap before it. Numbers are exact: none passes
through a float.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from pathlib import Path

from riskbed.conform.record import open_file
from specs import units
from specs.errors import TapeError
from specs.load import shown
from specs.rules import Bracket


def read(path: Path) -> dict[str, list[Bracket]]:
    """Return the brackets of every symbol. Raises SpecError where there is no file, TapeError where it is not such a table."""
    try:
        with open_file(path) as stream:
            table = json.loads(stream.read(), parse_float=Decimal)
    except (ValueError, OSError) as error:
        raise TapeError(f"not JSON: {error}", where=shown(path), remedy="fetch it again") from None
    if not isinstance(table, dict):
        raise TapeError("not a mapping of symbols", where=shown(path), remedy="the leverage tiers by symbol")
    found = {}
    for symbol, tiers in table.items():
        try:
            found[symbol] = brackets(tiers)
        except (KeyError, TypeError, ValueError, InvalidOperation) as error:
            where = f"{shown(path)}: {symbol}"
            raise TapeError(f"no tiers: {error!r}", where=where, remedy="a list of tiers with Binance's own fields") from None
    return found


def brackets(tiers: list[dict]) -> list[Bracket]:
    """Return one symbol's tiers as rows. Raises KeyError, TypeError, ValueError or InvalidOperation where they are none."""
    rows, floor = [], Decimal(0)
    for tier in tiers:
        info = tier["info"]
        if Decimal(info["notionalFloor"]) != floor:
            raise ValueError(f"a tier from {info['notionalFloor']} after a cap of {floor}")
        floor = Decimal(info["notionalCap"])
        rate = Decimal(info["maintMarginRatio"]) * units.PPM
        if rate != int(rate):
            raise ValueError(f"a rate of {info['maintMarginRatio']} is finer than a ppm")
        leverage = int(info["initialLeverage"])
        amount = f"{Decimal(info['cum']):f}"
        rows.append(Bracket(notional_max=f"{floor:f}", leverage_max=leverage, maintenance_ppm=int(rate), amount=amount))
    return rows
