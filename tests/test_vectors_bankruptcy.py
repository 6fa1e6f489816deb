"""Published limit prices, bankruptcy values, insurance deltas: every input counts, and the account is where it is said to be."""
# ruff: noqa: F811  (a fixture has its name)

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from fuzz import twin as twins
from riskbed.vectors import bankruptcy
from riskbed.vectors import run as running
from riskbed.vectors.vector import Unmodelled, Vector, plain, read
from specs.model.exchange import Exchange as Model
from specs.tape import USERS_FROM
from tests.twins import twin  # noqa: F401


def ratio_of(given: dict) -> tuple[Fraction, Fraction, dict]:
    """Return (N, R, the position that is asked for)."""
    rows = [{key: row[key] if key == "market" else Fraction(row[key]) for key in row} for row in given["positions"]]
    net = Fraction(given["quote_balance_usd"]) + sum(row["position_qty"] * row["oracle_price"] for row in rows)
    need = sum(abs(row["position_qty"]) * row["oracle_price"] * row["maintenance_rate"] for row in rows)
    return net, need, next(row for row in rows if row["market"] == given["market"])


def limit_by_formula(rule: str, given: dict) -> dict:
    if rule == "bitmex":
        return {"limit_price": Fraction(given["bankruptcy_price"])}
    if rule == "injective":
        qty, price, oracle = (Fraction(given[key]) for key in ("position_qty", "bankruptcy_price", "oracle_price"))
        return {"limit_price": price if qty * (oracle - price) >= 0 else oracle}
    net, need, row = ratio_of(given)
    a = max(Fraction(0), min(Fraction(1), Fraction(given["bankruptcy_adjustment"]) * (1 - net / need)))
    spread = (
        a * Fraction(given["spread_to_maintenance"]) * abs(row["position_qty"]) * row["oracle_price"] * row["maintenance_rate"]
    )
    return {"limit_price": (row["position_qty"] * row["oracle_price"] - spread) / row["position_qty"]}


def value_by_formula(rule: str, given: dict) -> dict:
    (net, need, row), delta = ratio_of(given), Fraction(given["delta_qty"])
    if delta == 0 or delta * row["position_qty"] > 0 or abs(delta) > abs(row["position_qty"]):
        return {"error": "invalid_delta"}
    exact = -delta * row["oracle_price"] - net * abs(delta) * row["oracle_price"] * row["maintenance_rate"] / need
    unit = Fraction(given["quote_unit_usd"])
    return {"quote_delta_usd": math.ceil(exact / unit) * unit, "unrounded_usd": exact}


def delta_by_formula(rule: str, given: dict) -> dict:
    number = {key: Fraction(text) for key, text in given.items()}
    got = number["position_qty"] * number["fill_price"]
    owed = number.get("bankruptcy_value_usd")
    if owed is None:
        owed = number["position_qty"] * number["entry_price"] - number["collateral_usd"]
    x = got - owed
    delta = x if x <= 0 else min(x, abs(got) * number["max_liquidation_fee_rate"])
    return {"insurance_delta_usd": delta, "fund_after_usd": number.get("fund_balance_usd", Fraction(0)) + delta}


def allowed_by_formula(rule: str, given: dict) -> dict:
    fund, delta = Fraction(given["fund_balance_usd"]), Fraction(given["insurance_delta_usd"])
    return {"allowed": "yes" if delta >= 0 or fund + delta >= 0 else "no"}


FORMULAS = {
    "liquidation_limit_price": (10, limit_by_formula),
    "bankruptcy_value": (10, value_by_formula),
    "insurance_delta": (9, delta_by_formula),
    "insurance_delta_allowed": (5, allowed_by_formula),
}


def changed(given: dict) -> list[dict]:
    """Return the given with each figure in turn a little larger, a little smaller, and with its sign turned."""
    found = []
    for factor in (Fraction(101, 100), Fraction(3, 4), Fraction(-1)):
        for key, value in given.items():
            if key == "positions":
                for i, row in enumerate(value):
                    for name in row.keys() - {"market"}:
                        other = row | {name: plain(Fraction(row[name]) * factor)}
                        found.append(given | {key: [*value[:i], other, *value[i + 1 :]]})
            elif key != "market":
                found.append(given | {key: plain(Fraction(value) * factor)})
    return found


def _same(got: dict, want: dict, near: Fraction) -> bool:
    return all(
        abs(Fraction(got[key]) - want[key]) <= near if isinstance(want[key], Fraction) else got[key] == want[key] for key in got
    )


@pytest.mark.needs_shared
@pytest.mark.parametrize("kind", sorted(FORMULAS))
def test_every_input_of_a_vector_counts(shared, kind):
    """Each figure changed: both twins give what the formula of the kind gives; a price without an end nearly."""
    core, formula = FORMULAS[kind]
    judged = unfit = 0
    vectors = [vector for vector, _ in read(shared / "vectors" / f"{kind}.yaml")]
    assert len(vectors) == core
    for vector in vectors:
        for given in [vector.given, *changed(vector.given)]:
            case = Vector(**vector.model_dump() | {"given": given})
            for which in running.TWINS:
                try:
                    found = running.KINDS[kind](case, twins.twin_class(which))
                except Unmodelled:
                    unfit += 1
                    continue
                want = formula(vector.rules, given)
                near = Fraction(1, 10**7) if kind == "liquidation_limit_price" else Fraction(0)
                assert found.keys() <= want.keys() and _same(found, want, near), (vector.id, given, found, want)
                judged += 1
    assert judged > 6 * core and unfit < judged / 3, (judged, unfit)


@pytest.mark.parametrize(
    ("kind", "given", "reason"),
    [
        ("insurance_delta", {"fund_balance_usd": "-1"}, "a fund below 0"),
        ("insurance_delta", {"fund_balance_usd": "1", "fill_price": "1"}, "a fund that pays more than it has"),
        ("insurance_delta", {"max_liquidation_fee_rate": "0.0000001"}, "rates are whole ppm"),
        ("insurance_delta", {"colour": "1"}, "given colour"),
        ("insurance_delta", {"fill_price": "-1"}, "a price that is not above 0"),
    ],
)
def test_what_is_no_slice_of_ours_is_named(kind, given, reason):
    plain_one = {
        "position_qty": "10",
        "fill_price": "40",
        "entry_price": "100",
        "collateral_usd": "50",
        "max_liquidation_fee_rate": "0",
    }
    fields = {"id": "x", "kind": kind, "rules": "flox", "core": True, "status": "derived", "tolerance": "0", "source": "here"}
    vector = Vector(**fields, given=plain_one | {"fund_balance_usd": "1000"} | given, expect={"fund_after_usd": "1"})
    with pytest.raises(Unmodelled, match=reason):
        running.KINDS[kind](vector, Model)


def test_the_account_of_a_vector_is_where_it_is_said_to_be(twin):
    """Cash of -4,501 with 0.1 at 50,000: no gate lets an account go there."""
    row = {"market": "BTC", "position_qty": "0.1", "oracle_price": "50000", "maintenance_rate": "0.1"}
    account = bankruptcy.Account(twin, Fraction(-4_501), [bankruptcy.held(row)], {"bound": {"kind": "bankruptcy"}})
    state = account.exchange.state()
    assert account.balance(USERS_FROM) == -4_501 and [row[3] for row in state["positions"] if row[0] == USERS_FROM] == [1]
    assert not any(row for row in state["orders"])
