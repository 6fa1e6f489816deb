"""A row per class of bad input: the file with one thing wrong, where the message points, and the words of its cause and remedy.

In a row, « marks the place that the message must name; it is taken out before the text is read.
"""
# ruff: noqa: E501  (a row of a table is one line)

from __future__ import annotations

import pytest

from specs.errors import SpecError
from specs.faults import Plan
from specs.load import load_text
from specs.rules import Venue

VENUE = """\
schema_version: 1
name: small
numeraire: USDT
assets:
  - name: USDT
    decimals: 8
  - name: USDE
    decimals: 8
sources:
  - name: btc-a
    price_decimals: 1
    stale_after_ns: 10_000_000_000
  - name: btc-b
    price_decimals: 1
  - name: usde-own
    price_decimals: 4
indices:
  - name: BTC
    price_decimals: 1
    publish: {kind: interval, every_ns: 1000000000}
    sources_min: 1
    recipe:
      kind: weighted
      of:
        - {kind: source, name: btc-a}
        - {kind: source, name: btc-b}
      weights: [60000000, 40000000]
  - name: USDE
    price_decimals: 4
    publish: {kind: update}
    recipe: {kind: source, name: usde-own}
markets:
  - name: BTCUSDT
    settles_in: USDT
    index: BTC
    mark: {kind: median, basis_samples: 30}
    price_decimals: 1
    tick_size: 1
    lot: {size: 1, decimals: 3}
    fees: {taker_ppm: 500}
    brackets:
      - notional_max: 300000
        leverage_max: 150
        maintenance_ppm: 4000
      - notional_max: '800000'
        leverage_max: 100
        maintenance_ppm: 5000
        amount: 300
collateral:
  - asset: USDE
    index: USDE
    weight_ppm: 990000
grades:
  stale: {reduce: last_valid}
liquidation:
  stages:
    - kind: cancel
    - {kind: book, bound: {kind: bankruptcy}}
    - kind: write_off
effective_from: 2025-08-19T06:30:00Z
assumed:
  - path: collateral.USDE.weight_ppm
    why: not public
fund: {capital: '1000'}
"""

PLAN = """\
schema_version: 1
name: broken
faults:
  - id: dip
    kind: dislocation
    source: usde-own
    from: 2025-10-10T21:36:00Z
    to: '2025-10-10T22:16:00+00:00'
    magnitude_ppm: -350000
    hold_ns: 60000000000
  - id: freeze
    kind: seam
    at: collateral_price
    key: USDE
    from: 2025-10-10T21:36:00Z
    to: 2025-10-10T22:16:00Z
    does: hold
  - id: true-price
    enabled: false
    kind: repair
    source: usde-own
    from: 2025-10-10T21:36:00Z
    to: 2025-10-10T22:16:00Z
    by: {kind: constant, price: '1'}
"""

# class of bad input, what stands in the good file, what stands there instead, words of the message
VENUE_ROWS = [
    # keys
    ("unknown key", "    tick_size: 1", "    «tik_size: 1", "unknown key 'tik_size' (did you mean 'tick_size'?)"),
    ("unknown key, nothing near", "    sources_min: 1", "    «zzz: 1", "indices.BTC: unknown key 'zzz' (known: name, price_decimals, publish, sources_min, prices, recipe)"),
    ("unknown key in a kind", "{kind: median, basis_samples: 30}", "{kind: median, «basis_sample: 30}", "did you mean 'basis_samples'?"),
    ("unknown key of another kind", "{kind: update}", "{kind: update, «every: 1}", "did you mean 'every_ns'?"),
    ("unknown key at the top", "effective_from:", "«efective_from:", "did you mean 'effective_from'?"),
    ("misspelt key that must be there", "    settles_in: USDT", "    «setles_in: USDT", "BTCUSDT: unknown key 'setles_in' (did you mean 'settles_in'?)"),
    ("unknown action in a table", "{reduce: last_valid}", "{«reduse: last_valid}", "grades.stale: unknown key 'reduse' (did you mean 'reduce'?)"),
    ("duplicate key", "    tick_size: 1\n", "    tick_size: 1\n    «tick_size: 2\n", "'tick_size' stands twice, first in line 38 (keep one"),
    ("duplicate key, flow", "lot: {size: 1, decimals: 3}", "lot: {size: 1, «size: 1, decimals: 3}", "'size' stands twice, first in line 39"),
    ("missing key", "  - name: BTCUSDT\n    settles_in: USDT\n", "  - «name: BTCUSDT\n", "markets.BTCUSDT: 'settles_in' is missing (add 'settles_in: ...')"),
    ("empty value", "    tick_size: 1", "    «tick_size:", "nothing is written here (write a value, or leave the key out)"),
    ("null", "stale_after_ns: 10_000_000_000", "stale_after_ns: «null", "nothing is written here"),
    # units and numbers
    ("float for an integer", "maintenance_ppm: 4000", "maintenance_ppm: «0.004", "0.004 is a float, and floats are refused (an integer in ppm: 1 % is 10_000"),
    ("float that is whole", "leverage_max: 150", "leverage_max: «150.0", "150.0 is a float"),
    ("float with an exponent", "every_ns: 1000000000", "every_ns: «1e9", "1e9 is a float, and floats are refused (an integer of nanoseconds: 1 s is"),
    ("float for whole units", "amount: 300", "amount: «300.5", "a decimal in quotes: '300.5'"),
    ("infinity", "amount: 300", "amount: «.inf", ".inf is a float"),
    ("not a number", "amount: 300", "amount: «.nan", ".nan is a float"),
    ("octal-looking", "leverage_max: 150", "leverage_max: «012", "012 is not a plain integer (write 12; a leading zero is octal to some readers"),
    ("octal", "leverage_max: 150", "leverage_max: «0o14", "0o14 is not a plain integer (write 12"),
    ("hexadecimal", "leverage_max: 150", "leverage_max: «0x10", "0x10 is not a plain integer (write 16"),
    ("plus sign", "leverage_max: 150", "leverage_max: «+150", "+150 is not a plain integer (write 150"),
    ("odd underscores", "every_ns: 1000000000", "every_ns: «10_00", "10_00 is not a plain integer (write 1000"),
    ("True for 1", "leverage_max: 150", "leverage_max: «True", "leverage_max: True is not an integer (an integer; write 1 if that is meant)"),
    ("yes for 1", "leverage_max: 150", "leverage_max: «yes", "'yes' is not an integer (an integer; write 1 if that is meant)"),
    ("no for 0", "leverage_max: 150", "leverage_max: «no", "write 0 if that is meant"),
    ("True for the version", "schema_version: 1", "schema_version: «true", "schema_version: true is not an integer (write 1)"),
    ("True for whole units", "amount: 300", "amount: «true", "true is neither an integer nor text (write 1 if that is meant)"),
    ("yes for a switch", "basis_samples: 30}", "republish_on_fill: «yes}", "'yes' is not true or false (true or false)"),
    ("quoted integer", "leverage_max: 150", "leverage_max: «'150'", "'150' is not an integer (an integer: 150 without quotes)"),
    ("wrong unit, per cent", "maintenance_ppm: 4000", "maintenance_ppm: «0.4%", "'0.4%' is not an integer (an integer in ppm: 1 % is 10_000)"),
    ("wrong unit, seconds", "stale_after_ns: 10_000_000_000", "stale_after_ns: «10s", "'10s' is not an integer (an integer of nanoseconds: 1 s is 1_000_000_000)"),
    ("out of range", "leverage_max: 150", "leverage_max: «2000", "leverage_max: 2000 is out of range (at most 1000"),
    ("out of range in a unit", "weight_ppm: 990000", "weight_ppm: «1990000", "1990000 is out of range (at most 1000000, an integer in ppm"),
    ("negative", "amount: 300", "amount: «-300", "-300 is out of range (at least 0"),
    ("quoted, leading zero", "'800000'", "«'0800000'", "digits, such as '0.95'"),
    ("digits below the unit", "capital: '1000'", "capital: «'1000.000000001'", "fund.capital: '1000.000000001' has more than 8 decimals"),
    ("number for a name", "  - name: btc-b\n", "  - name: «1000\n", "1000 is not text (in quotes if it is text: '1000')"),
    ("a name that is no name", "  - name: btc-b\n", "  - name: «'btc b'\n", "(letters, digits and _"),
    ("list for a mapping", "lot: {size: 1, decimals: 3}", "lot: «[1, 3]", "BTCUSDT.lot: a list is not a mapping"),
    ("mapping for a list", "weights: [60000000, 40000000]", "weights: «{a: 1}", "weights: a mapping is not a list"),
    ("unknown version", "schema_version: 1", "schema_version: «2", "schema_version: 2 is not known here (known: 1)"),
    # times
    ("naive time", "effective_from: 2025-08-19T06:30:00Z", "effective_from: «2025-08-19T06:30:00", "has no time zone (2025-08-19T06:30:00Z if that is UTC"),
    ("naive time, quoted", "2025-08-19T06:30:00Z", "«'2025-08-19T06:30:00'", "has no time zone (write it with Z, or with its offset)"),
    ("date for a time", "2025-08-19T06:30:00Z", "«2025-08-19", "2025-08-19 is a date without a time (an ISO time with its zone, such as 2025"),
    ("unix seconds for a time", "2025-08-19T06:30:00Z", "«1755585000", "effective_from: 1755585000 is not a time (an ISO time with its zone"),
    ("quoted unix seconds", "2025-08-19T06:30:00Z", "«'1755585000'", "'1755585000' is not a time"),
    ("nanoseconds lost", "2025-08-19T06:30:00Z", "«2025-08-19T06:30:00.000000001Z", "is not a time with at most microseconds"),
    ("not a time", "2025-08-19T06:30:00Z", "«tomorrow", "'tomorrow' is not a time (an ISO time with its zone"),
    # a rule book that contradicts itself
    ("bracket gap", "notional_max: '800000'", "notional_max: «'300000'", "brackets.1.notional_max: 300000 does not exceed the bracket before it (ascending, without a gap)"),
    ("bracket discontinuity", "amount: 300", "amount: «200", "brackets.1.amount: maintenance jumps where this bracket begins: amount 200 (continuous with 300)"),
    ("bracket discontinuity, amount absent", "      - notional_max: '800000'\n        leverage_max: 100\n        maintenance_ppm: 5000\n        amount: 300\n", "      - «notional_max: '800000'\n        leverage_max: 100\n        maintenance_ppm: 5000\n", "brackets.1: maintenance jumps where this bracket begins: amount 0 (continuous with 300)"),
    ("tiers of no kind", "    fees: {taker_ppm: 500}\n", "    fees: {taker_ppm: 500}\n    margin: {tiers: «hole}\n", "margin.tiers: 'hole' is not known here (did you mean 'whole'?)"),
    ("amounts of whole tiers", "    fees: {taker_ppm: 500}\n    brackets:\n      - notional_max: 300000\n        leverage_max: 150\n        maintenance_ppm: 4000\n      - notional_max: '800000'\n        leverage_max: 100\n        maintenance_ppm: 5000\n        amount: 300\n", "    margin: {tiers: whole}\n    brackets:\n      - notional_max: 300000\n        leverage_max: 150\n        maintenance_ppm: 4000\n      - notional_max: '800000'\n        leverage_max: 100\n        maintenance_ppm: 5000\n        amount: «300\n", "brackets.1.amount: margin has tiers whole: they have no amount (no amount)"),
    ("two brackets that grow", "    fees: {taker_ppm: 500}\n", "    fees: {taker_ppm: 500}\n    margin: {size: «{initial_ppb_per_coin: 5}}\n", "margin.size: it scales one rate: there are 2 brackets (one bracket)"),
    ("maintenance outgrows initial margin", "    fees: {taker_ppm: 500}\n", "    fees: {taker_ppm: 500}\n    margin: {size: {initial_ppb_per_coin: 5, maintenance_ppb_per_coin: «6}}\n", "maintenance grows by 6 a coin, initial margin by 5"),
    ("a missing maintenance rate", "      - notional_max: 300000\n        leverage_max: 150\n        maintenance_ppm: 4000\n", "      - «notional_max: 300000\n        leverage_max: 150\n", "brackets.0: maintenance_ppm is missing"),
    ("leverage that divides nothing", "    fees: {taker_ppm: 500}\n    brackets:\n      - notional_max: 300000\n", "    margin: {leverage: divides}\n    brackets:\n      - «notional_max: 300000\n", "a leverage that divides needs an initial_ppm"),
    ("slippage that initial margin does not cover", "    fees: {taker_ppm: 500}\n    brackets:\n      - notional_max: 300000\n        leverage_max: 150\n", "    margin: {slippage_ppm: 2667}\n    brackets:\n      - notional_max: 300000\n        leverage_max: «150\n", "initial margin 1/150 is below maintenance 6667 ppm"),
    ("maintenance falls", "maintenance_ppm: 5000", "maintenance_ppm: «3000", "3000 is below the bracket before it (maintenance rates never fall)"),
    ("weights that do not sum", "[60000000, 40000000]", "«[60000000, 30000000]", "recipe.weights: weights sum to 90000000 (they are in 10^-8 and sum to 100000000"),
    ("weights, one too few", "[60000000, 40000000]", "«[100000000]", "1 weights for 2 parts (one weight a part)"),
    ("unknown asset", "settles_in: USDT", "settles_in: «USDX", "'USDX' is not one of the assets (known: USDT, USDE)"),
    ("unknown index", "    index: BTC\n", "    index: «BTX\n", "'BTX' is not one of the indices (known: BTC, USDE)"),
    ("unknown source", "recipe: {kind: source, name: usde-own}", "recipe: {kind: source, name: «usde-dex}", "'usde-dex' is not one of the sources (known: btc-a"),
    ("unknown collateral", "  - asset: USDE", "  - asset: «USDF", "'USDF' is not one of the assets"),
    ("defined twice", "  - name: btc-b\n", "  - name: «btc-a\n", "'btc-a' is defined twice"),
    ("unknown kind", "kind: median,", "kind: «meadian,", "mark.kind: 'meadian' is not known here (did you mean 'median'?)"),
    ("kind missing", "mark: {kind: median, basis_samples: 30}", "mark: «{basis_samples: 30}", "mark: 'kind' is missing (kind: index, median)"),
    ("kind of no row", "    publish: {kind: update}", "    publish: {kind: «upddate}", "'upddate' is not known here (did you mean 'update'?)"),
    ("interval without its length", "kind: interval, every_ns: 1000000000", "kind: «interval", "indices.BTC.publish.kind: publish 'interval' needs every_ns"),
    ("permit unknown", "{reduce: last_valid}", "{reduce: «last}", "grades.stale.reduce: 'last' is not known here (known: allow, last_valid"),
    ("permit that evaluates", "{reduce: last_valid}", "{reduce: «allow}", "no trusted price to allow it at (last_valid, defer or refuse)"),
    ("stage order", "    - kind: write_off", "    - «kind: cancel", "stage 'cancel' cannot stand after 'book' (order: cancel, transfer, book"),
    ("adl before the backstop", "    - kind: write_off", "    - {kind: adl}\n    - «kind: takeover\n    - kind: write_off", "stage 'takeover' cannot stand after 'adl' (order: cancel, transfer, book, takeover, adl, convert"),
    ("adl after the conversion", "    - kind: write_off", "    - kind: convert\n    - «kind: adl\n    - kind: write_off", "stage 'adl' cannot stand after 'convert' (order: cancel, transfer, book, takeover, adl, convert"),
    ("fund_min out of bounds", "    - kind: write_off", "    - {kind: takeover, fund_min: «'1000000000000000000000.00000001'}\n    - kind: write_off", "fund_min: 1000000000000000000000.00000001 is out of bounds (at most 1000000000000000000000.00000000)"),
    ("fund_max below the unit", "    - kind: write_off", "    - {kind: adl, fund_max: «'0.000000001'}\n    - kind: write_off", "fund_max: '0.000000001' has more than 8 decimals"),
    ("fund_max of a takeover", "    - kind: write_off", "    - {kind: takeover, «fund_max: 1}\n    - kind: write_off", "unknown key 'fund_max' (did you mean 'fund_min'?)"),
    ("score unknown", "    - kind: write_off", "    - {kind: adl, score: «bitmex}\n    - kind: write_off", "score: 'bitmex' is not known here (known: binance)"),
    ("measure of the fund unknown", "fund: {capital: '1000'}", "fund: {capital: '1000', measure: «gross}", "fund.measure: 'gross' is not known here (known: cash, net)"),
    ("funding cap above the bound", "    fees: {taker_ppm: 500}", "    fees: {taker_ppm: 500}\n    funding: {every_ns: 3600000000000, cap_ppb: «100000001}", "funding.cap_ppb: 100000001 is out of range (at most 100000000"),
    ("funding damp below 0", "    fees: {taker_ppm: 500}", "    fees: {taker_ppm: 500}\n    funding: {every_ns: 3600000000000, damp_ppb: «-1}", "funding.damp_ppb: -1 is out of range (at least 0"),
    ("funding interval too short", "    fees: {taker_ppm: 500}", "    fees: {taker_ppm: 500}\n    funding: {every_ns: «59999999999}", "funding.every_ns: 59999999999 is out of range (at least 60000000000"),
    ("funding without an interval", "    fees: {taker_ppm: 500}", "    fees: {taker_ppm: 500}\n    funding: «{cap_ppb: 1}", "funding: 'every_ns' is missing"),
    ("outlier of more than all", "      weights: [60000000, 40000000]", "      weights: [60000000, 40000000]\n      outlier: {policy: zero_weight, ppm: «1000001}", "outlier.ppm: 1000001 is out of range (at most 1000000, an integer in ppm"),
    ("outlier of more parts than there are", "      weights: [60000000, 40000000]", "      weights: [60000000, 40000000]\n      outlier: {policy: zero_weight, ppm: 1, parts_min: «3}", "outlier.parts_min: parts_min 3 of 2 parts: the outlier row could never act (parts_min: at most 2)"),
    ("outlier of three parts unless it says so", "      weights: [60000000, 40000000]", "      weights: [60000000, 40000000]\n      outlier: «{policy: zero_weight, ppm: 1}", "recipe.outlier: parts_min 3 of 2 parts"),
    ("quorum above what is read", "    sources_min: 1", "    sources_min: «3", "BTC.sources_min: the recipe reads 2 sources: 3 are never usable (at most 2)"),
    ("outlier policy unknown", "      weights: [60000000, 40000000]", "      weights: [60000000, 40000000]\n      outlier: {policy: «zero_wieght, ppm: 1}", "'zero_wieght' is not known here (did you mean 'zero_weight'?)"),
    ("outlier of no part", "      weights: [60000000, 40000000]", "      weights: [60000000, 40000000]\n      outlier: {policy: zero_weight, ppm: 1, parts_min: «0}", "outlier.parts_min: 0 is out of range (at least 1"),
    ("unknown state action", "grades:\n", "states:\n  halted: {«liquidat: defer}\ngrades:\n", "states.halted: unknown key 'liquidat' (did you mean 'liquidate'?)"),
    ("action that no state knows", "grades:\n", "states:\n  reduce_only: {«convert: defer}\ngrades:\n", "states.reduce_only: unknown key 'convert'"),
    ("unknown state", "grades:\n", "states:\n  «halt: {open: refuse}\ngrades:\n", "states: unknown key 'halt' (did you mean 'halted'?)"),
    ("price of a state", "grades:\n", "states:\n  halted: {liquidate: «last_valid}\ngrades:\n", "'last_valid' is not known here (known: allow, defer, refuse)"),
    ("assumed path", "path: collateral.USDE.weight_ppm", "path: «collateral.USDE.weight", "leads nowhere: no 'weight' (a dotted path of this file"),
    # YAML itself
    ("anchor", "lot: {size", "lot: «&lot {size", "anchor &lot (anchors and aliases are refused: write the value out)"),
    ("alias", "    tick_size: 1", "    tick_size: «*one", "alias *one (anchors and aliases are refused"),
    ("tag", "leverage_max: 150", "leverage_max: «!!int '150'", "tag tag:yaml.org,2002:int (tags are refused"),
    ("merge key", "lot: {size: 1, ", "lot: {«<<: {size: 1}, ", "merge key << (merge keys are refused"),
    ("complex key", "    tick_size: 1", "    ? «[tick_size]\n    : 1", "a key that is no word (keys are words)"),
    ("second document", "effective_from: 2025-08-19T06:30:00Z\n", "«---\neffective_from: 2025-08-19T06:30:00Z\n", "a second document begins here (one document a file)"),
    ("directive", "schema_version: 1\n", "%YAML 1.1\n«---\nschema_version: 1\n", "a directive stands above this (leave lines that begin with % out)"),
    ("not YAML", "    tick_size: 1", "    tick_size: 1«: 2", "not YAML: mapping values are not allowed here (look at its indentation"),
    ("tab", "    tick_size: 1", "«\ttick_size: 1", "not YAML: found character '\\t'"),
    ("control character", "    tick_size: 1", "    tick_size: «\x01", "character #x01 is not allowed (plain text"),
    ("too deep", "recipe: {kind: source, name: usde-own}", "recipe: " + "[" * 61 + "«[" + "]" * 62, "more than 64 levels deep (flatter)"),
]

PLAN_ROWS = [
    ("unknown key", "magnitude_ppm: -350000", "«magnitude: -350000", "dip: unknown key 'magnitude' (did you mean 'magnitude_ppm'?)"),
    ("key of another kind", "    hold_ns: 60000000000", "    «factor_ppm: 1", "dip: unknown key 'factor_ppm' (known: id, enabled, from, to, source"),
    ("duplicate key", "    source: usde-own\n    from: 2025-10-10T21:36:00Z\n    to: '", "    source: usde-own\n    «source: btc-a\n    from: 2025-10-10T21:36:00Z\n    to: '", "'source' stands twice, first in line 6"),
    ("float", "magnitude_ppm: -350000", "magnitude_ppm: «-0.35", "-0.35 is a float, and floats are refused (an integer in ppm"),
    ("octal-looking", "hold_ns: 60000000000", "hold_ns: «060", "060 is not a plain integer (write 60"),
    ("True for 1", "magnitude_ppm: -350000", "magnitude_ppm: «True", "True is not an integer (an integer in ppm: 1 % is 10_000; write 1"),
    ("1 for true", "enabled: false", "enabled: «0", "0 is not true or false (true or false)"),
    ("out of range", "magnitude_ppm: -350000", "magnitude_ppm: «-1000000000001", "out of range (at least -1000000000000"),
    ("wrong unit, a duration", "hold_ns: 60000000000", "hold_ns: «60s", "'60s' is not an integer (an integer of nanoseconds"),
    ("naive time", "    to: '2025-10-10T22:16:00+00:00'", "    to: «'2025-10-10T22:16:00'", "dip.to: '2025-10-10T22:16:00' has no time zone (write it with Z"),
    ("window ends first", "'2025-10-10T22:16:00+00:00'", "«2025-10-10T17:16:00Z", "dip.to: the window is empty: it does not end after it begins"),
    ("window of no length", "'2025-10-10T22:16:00+00:00'", "«'2025-10-10T21:36:00Z'", "dip.to: the window is empty"),
    ("time zone slip makes it empty", "'2025-10-10T22:16:00+00:00'", "«'2025-10-10T22:16:00+04:00'", "dip.to: the window is empty"),
    ("out of the range of times", "'2025-10-10T22:16:00+00:00'", "«'9025-10-10T22:16:00Z'", "the time is out of range (from 1970 to 2116)"),
    ("unix seconds", "'2025-10-10T22:16:00+00:00'", "«1760134560", "dip.to: 1760134560 is not a time (an ISO time with its zone"),
    ("nanoseconds lost", "'2025-10-10T22:16:00+00:00'", "«'2025-10-10T22:16:00.123456789Z'", "not a time with at most microseconds"),
    ("holds beyond its window", "hold_ns: 60000000000", "hold_ns: «2400000000001", "in a window of 2400000000000 ns (hold within the window)"),
    ("not recovered", "hold_ns: 60000000000", "recovery_ns: «2400000000001", "has not recovered when the window of 2400000000000 ns ends (at most 2400000000000, or"),
    ("unknown kind", "kind: dislocation", "kind: «dislocate", "dip.kind: 'dislocate' is not known here (did you mean 'dislocation'?)"),
    ("id twice", "id: freeze", "id: «dip", "fault 'dip' is defined twice"),
    ("force at a price", "does: hold", "does: «force_true", "'force_true' cannot act at collateral_price (hold, scale, const"),
    ("hold at a decision", "at: collateral_price\n    key: USDE\n    from: 2025-10-10T21:36:00Z\n    to: 2025-10-10T22:16:00Z\n    does: hold",
     "at: liquidation_trigger\n    key: any\n    from: 2025-10-10T21:36:00Z\n    to: 2025-10-10T22:16:00Z\n    does: «hold", "'hold' cannot act at liquidation_trigger (force_true or force_false)"),
    ("a name where an account stands", "at: collateral_price\n    key: USDE\n    from: 2025-10-10T21:36:00Z\n    to: 2025-10-10T22:16:00Z\n    does: hold",
     "at: liquidation_trigger\n    key: «USDE\n    from: 2025-10-10T21:36:00Z\n    to: 2025-10-10T22:16:00Z\n    does: force_true", "'USDE' is not an account (an account number from 16, or any)"),
    ("argument not taken", "    does: hold", "    does: hold\n    ppm: «5", "freeze.ppm: 'hold' takes no ppm (ppm goes with scale, ramp)"),
    ("argument missing", "  - id: freeze\n    kind: seam\n    at: collateral_price\n    key: USDE\n    from: 2025-10-10T21:36:00Z\n    to: 2025-10-10T22:16:00Z\n    does: hold",
     "  - id: freeze\n    kind: seam\n    at: collateral_price\n    key: USDE\n    from: 2025-10-10T21:36:00Z\n    to: 2025-10-10T22:16:00Z\n    does: «const",
     "freeze.does: 'const' needs price (price goes with const)"),
    ("wrong argument", "    does: hold", "    does: scale\n    ppm: 5\n    price: «'5'", "'scale' takes no price"),
    ("price that is a number", "    does: hold", "    does: const\n    price: «5", "5 is not a price; write whole units as a decimal in quotes, such as '0.65'"),
    ("price that is no decimal", "    does: hold", "    does: const\n    price: «'1e3'", "'1e3' is not written as it must be"),
    ("an account where a name stands", "key: USDE", "key: «100", "100 is not a name"),
    ("no such account", "at: collateral_price\n    key: USDE", "at: liquidation_trigger\n    key: «3", "3 is out of range (at least 16"),
    ("repaired by itself", "{kind: constant, price: '1'}", "{kind: source, name: «usde-own}", "'usde-own' would be repaired by itself (name the true series)"),
    # what only the venue can tell
    ("unknown source", "    source: usde-own\n    from: 2025-10-10T21:36:00Z\n    to: '", "    source: «usde-one\n    from: 2025-10-10T21:36:00Z\n    to: '", "dip.source: 'usde-one' is not one of the sources of small (did you mean 'usde-own'?)"),
    ("unknown asset", "key: USDE", "key: «USDF", "freeze.key: 'USDF' is not one of the collateral assets of small (did you mean 'USDE'?)"),
    ("asset that is no collateral", "key: USDE", "key: «USDT", "'USDT' is not one of the collateral assets of small"),
    ("unknown name in a fault that is off", "{kind: constant, price: '1'}", "{kind: source, name: «usde-dex}", "true-price.by.name: 'usde-dex' is not one of the sources"),
    ("price below the unit", "price: '1'", "price: «'1.00001'", "more than 4 decimals, the unit here is 10^-4"),
    ("price beyond an event", "price: '1'", "price: «'1000000000000000'", "does not fit an event"),
    ("one price for many units", "at: collateral_price\n    key: USDE\n    from: 2025-10-10T21:36:00Z\n    to: 2025-10-10T22:16:00Z\n    does: hold",
     "at: source_read\n    key: «any\n    from: 2025-10-10T21:36:00Z\n    to: 2025-10-10T22:16:00Z\n    does: const\n    price: '1'", "different price_decimals (a fault a key)"),
]


def broken(text: str, old: str, new: str) -> tuple[str, str]:
    """Return the text with `old` replaced by `new` and the marked place as line:column."""
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the good file"
    marked = text.replace(old, new)
    assert marked.count("«") == 1
    before = marked[: marked.index("«")]
    return marked.replace("«", ""), f"{before.count(chr(10)) + 1}:{len(before) - (before.rfind(chr(10)) + 1) + 1}"


@pytest.fixture(scope="module")
def venue() -> Venue:
    return load_text(VENUE, Venue)


def test_the_good_files_are_good(venue):
    assert venue.markets[0].brackets[1].amount == 300 and venue.sources[0].stale_after_ns == 10_000_000_000
    plan = load_text(PLAN, Plan, check=lambda plan: plan.check(venue))
    assert [fault.id for fault in plan.faults] == ["dip", "freeze", "true-price"]


@pytest.mark.parametrize("old, new, words", [pytest.param(*row[1:], id=row[0]) for row in VENUE_ROWS])
def test_venue(old, new, words):
    text, where = broken(VENUE, old, new)
    with pytest.raises(SpecError) as caught:
        load_text(text, Venue, "venue.yaml")
    assert str(caught.value).startswith(f"venue.yaml:{where}: "), str(caught.value)
    assert words in str(caught.value)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


@pytest.mark.parametrize("old, new, words", [pytest.param(*row[1:], id=row[0]) for row in PLAN_ROWS])
def test_plan(venue, old, new, words):
    text, where = broken(PLAN, old, new)
    with pytest.raises(SpecError) as caught:
        load_text(text, Plan, "plan.yaml", check=lambda plan: plan.check(venue))
    assert str(caught.value).startswith(f"plan.yaml:{where}: "), str(caught.value)
    assert words in str(caught.value)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text, where, words",
    [
        ("", "1:1", "the file is empty (write keys and values)"),
        ("# nothing but words\n", "1:1", "the file is empty"),
        ("---\n", "1:1", "the file is empty"),
        ("\n- a\n- b\n", "2:1", "the file is not a mapping (write 'key: value' lines)"),
        ("just words\n", "1:1", "the file is not a mapping"),
        ("a: [1\nb: 2\n", "2:2", "not YAML: expected ',' or ']', but got ':' (while parsing a flow sequence)"),
        (f"a: {'9' * 65}\n", "1:4", "an integer of 65 digits"),
    ],
    ids=["empty", "only a comment", "only a marker", "a list", "a word", "torn", "too many digits"],
)
def test_whole_file(text, where, words):
    with pytest.raises(SpecError) as caught:
        load_text(text, Venue, "venue.yaml")
    assert str(caught.value).startswith(f"venue.yaml:{where}: {words}"), str(caught.value)


def test_limits_of_positions_need_clearing():
    text = VENUE.replace("name: small\n", "name: small\nclearing: none\n").replace("    tick_size: 1\n", "    limits: {open_interest_max: 5}\n")
    with pytest.raises(SpecError, match=r"^venue\.yaml:39:33: markets\.BTCUSDT\.limits\.open_interest_max: without clearing nobody"):
        load_text(text, Venue, "venue.yaml")


def test_the_first_by_position_is_told_and_the_others_are_counted():
    text = VENUE.replace("weight_ppm: 990000\n", "weight_ppm: yes\n").replace("    tick_size: 1\n", "    tik_size: 1\n").replace("{kind: update}", "{kind: up}")
    with pytest.raises(SpecError, match=r"^venue\.yaml:30:21: indices\.USDE\.publish\.kind: 'up' .*; 2 more in this file\)$"):
        load_text(text, Venue, "venue.yaml")
    text = VENUE.replace("leverage_max: 150", "leverage_max: 1.5").replace("leverage_max: 100", "leverage_max: 012")
    with pytest.raises(SpecError, match=r"^venue\.yaml:43:23: 1\.5 is a float.*; 1 more in this file\)$"):
        load_text(text, Venue, "venue.yaml")
    text = VENUE.replace("leverage_max: 150", "leverage_max: yes")
    with pytest.raises(SpecError) as caught:
        load_text(text, Venue, "venue.yaml")
    assert "more in this file" not in str(caught.value)
