"""`riskbed vectors`: what venues and engines print of a rule, given -> expect, run on both twins.

vector.py             a file of vectors, its rows, and how a result is compared with what is expected
scripts.py            orders in turn: matching_script, stop_script
pre_trade.py          orders against free funds: pre_trade_script
positions.py          one position at a mark: unrealised_pnl, initial_margin, maintenance_margin, margin_tier_deduction
fills.py              fills and marks in turn: position_script, realised_pnl
liquidation_price.py  positions and a wallet: liquidation_price, bankruptcy_price
desk.py               a client who holds positions on exact collateral, for the kinds of liquidation below
trigger.py            liquidated or not, and by what: liquidation_trigger
bankruptcy.py         an account under water: liquidation_limit_price, bankruptcy_value, insurance_delta, insurance_delta_allowed
slices.py             what a slice closes and pays: partial_liquidation_size, liquidation_cap, both kinds of fee rates
run.py                which kind is run by what; the answer, its table
"""
