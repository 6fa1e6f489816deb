"""`riskbed vectors`: every vector passes, fails or is named as not run; the files of ../shared, and files that the tests make."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from fuzz import twin
from riskbed.vectors import liquidation_price
from riskbed.vectors import run as running
from riskbed.vectors.vector import Unmodelled, Vector, matches, plain, read
from specs.errors import SpecError

MATCH = {
    "id": "match",
    "kind": "matching_script",
    "rules": "mine",
    "core": True,
    "status": "derived",
    "given": {
        "events": [
            {"op": "limit", "order": "a", "side": "sell", "price": "10.5", "qty": "2.25", "tif": "gtc", "owner": "x"},
            {"op": "limit", "order": "b", "side": "sell", "price": "10.5", "qty": "1", "tif": "gtc", "owner": "y"},
            {"op": "reduce", "order": "a", "owner": "x", "qty": "0.25"},
            {"op": "limit", "order": "t", "side": "buy", "price": "10.5", "qty": "2.5", "tif": "ioc"},
            {"op": "limit", "order": "k", "side": "buy", "price": "11", "qty": "1", "tif": "fok"},
            {"op": "move", "order": "b", "owner": "y", "price": "9"},
            {"op": "cancel", "order": "b", "owner": "x"},
        ]
    },
    "expect": {
        "fills": [
            {"maker": "a", "taker": "t", "price": "10.5", "qty": "2"},
            {"maker": "b", "taker": "t", "price": "10.50", "qty": "0.5"},
        ],
        "cancelled": [{"order": "a", "qty": "0.25"}, {"order": "k", "qty": "1"}],
        "rejected": [{"order": "b", "reason": "unknown_order"}],
        "levels": [{"side": "sell", "price": "9", "qty": "0.5", "orders": "1"}],
        "checkpoints": [{"after": "2", "ask_qty": "3.25", "ask_orders": "2", "ask_display_qty": "3.25"}],
        "printed_anything": "1",
    },
    "tolerance": "0",
    "source": "made here",
}


def write(folder: Path, *vectors: dict, name: str = "made.yaml") -> Path:
    """Write a file of vectors, every leaf quoted."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.representer.add_representer(str, lambda self, text: self.represent_scalar("tag:yaml.org,2002:str", text, style="'"))
    path = folder / name
    with path.open("w") as file:
        yaml.dump({"vectors": list(vectors)}, file)
    return path


def test_a_script_runs_in_the_vectors_own_words(tmp_path):
    answer = running.run(write(tmp_path, MATCH))
    assert (answer.passed, answer.failed, answer.unmodelled) == (["match"], [], [])


@pytest.mark.parametrize(
    "key, wrong",
    [
        ("fills", MATCH["expect"]["fills"][:1]),
        ("cancelled", []),
        ("rejected", []),
        ("levels", [{"side": "sell", "price": "9", "qty": "0.5", "orders": "2"}]),
        ("checkpoints", [{"after": "2", "ask_qty": "3.26"}]),
    ],
)
def test_a_wrong_expectation_fails_on_both_twins(tmp_path, key, wrong):
    answer = running.run(write(tmp_path, MATCH | {"expect": MATCH["expect"] | {key: wrong}}))
    assert [(row.id, row.twin) for row in answer.failed] == [("match", "model"), ("match", "engine")]
    assert answer.failed[0].expected[key] == wrong and answer.failed[0].got[key] == answer.failed[1].got[key] != wrong


def test_an_engine_with_a_bug_fails_alone(tmp_path, monkeypatch):
    """The model with planted bug 4, who comes second trades first, in the engine's place."""
    from fuzz.mutants import plant
    from specs.model.exchange import Exchange

    monkeypatch.setattr(twin, "twin_class", lambda which: plant(Exchange, 4 if which == "engine" else 0))
    assert [row.twin for row in running.run(write(tmp_path, MATCH)).failed] == ["engine"]


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"core": False}, "not core: kept for reference"),
        ({"core": False, "note": "a reason"}, "a reason"),
        ({"kind": "moon_phase"}, "kind moon_phase is not modelled"),
        ({"expect": {"colour": "red"}}, "results of kind colour"),
        ({"given": {"events": [MATCH["given"]["events"][0] | {"all_or_none": "yes"}]}}, "refused feature: all or none"),
        ({"given": {"events": [MATCH["given"]["events"][0] | {"budget": "7"}]}}, "refused feature: fill or kill by budget"),
        ({"given": {"events": [{"op": "dance"}]}}, "op 'dance'"),
        ({"given": {"events": [MATCH["given"]["events"][0] | {"peg": "mid"}]}}, "limit with peg"),
        ({"given": {"events": [MATCH["given"]["events"][0] | {"price": "ten"}]}}, "'ten' is no decimal number"),
    ],
)
def test_what_is_not_modelled_is_named(tmp_path, change, reason):
    answer = running.run(write(tmp_path, MATCH | change))
    assert [(row.id, row.reason) for row in answer.unmodelled] == [("match", reason)] and not answer.passed + answer.failed


def test_wrong_files_say_where(tmp_path):
    with pytest.raises(SpecError, match="no such file or folder"):
        running.run(tmp_path / "nowhere")
    with pytest.raises(SpecError, match="no vectors here"):
        running.run(tmp_path)
    path = write(tmp_path, MATCH)
    with pytest.raises(SpecError, match="no vector of kind 'twap'.*kinds there: matching_script"):
        running.run(path, "twap")
    write(tmp_path, MATCH, name="twice.yaml")
    with pytest.raises(SpecError, match="'match' stands twice"):
        running.run(tmp_path)
    lacks = write(tmp_path, MATCH | {"given": {"orders": "none"}}, name="lacks.yaml")
    with pytest.raises(SpecError, match="vector 'match' lacks 'events'"):
        running.run(lacks)
    wrong = write(tmp_path, MATCH | {"core": "perhaps"}, name="wrong.yaml")
    with pytest.raises(SpecError, match=r"wrong.yaml:\d+:\d+"):
        running.run(wrong)


def test_the_command_exits_with_what_it_found(tmp_path):
    run = lambda *words: subprocess.run(  # noqa: E731
        [sys.executable, "-m", "riskbed.cli", "vectors", *map(str, words)], capture_output=True, text=True
    )
    good = run(write(tmp_path, MATCH), "--json")
    assert good.returncode == 0 and json.loads(good.stdout)["passed"] == ["match"]
    bad = run(write(tmp_path, MATCH | {"expect": {"fills": []}}))
    assert bad.returncode == 1 and "match on the engine" in bad.stdout and "1 failed" in bad.stdout
    assert run(tmp_path / "nowhere").returncode == 2


def test_numbers_are_compared_exactly():
    assert matches("0.10", "0.1", "0") and not matches("0.1", "0.1000001", "0")
    assert matches({"a": "1.4", "b": "2"}, {"a": "1.5", "b": "2", "c": "3"}, {"a": "0.1"})
    assert not matches({"a": "1.4", "b": "2"}, {"a": "1.5", "b": "2.1"}, {"a": "0.1"})
    assert not matches(["1"], ["1", "2"], "0") and not matches({"a": "1"}, {}, "0") and matches("yes", "yes", "0")
    assert [plain(Fraction(*pair)) for pair in ((5, 2), (-1, 8), (3, 1), (1, 3))] == ["2.5", "-0.125", "3", "1/3"]


def test_the_schema_is_current():
    assert running.SCHEMA.read_text() == running.schema()


PASSED = {
    "collateral_value": 5,
    "collateral_weight": 5,
    "collateral_needed": 2,
    "borrow_health": 2,
    "liability_transfer": 4,
    "bankruptcy_price": 4,
    "bankruptcy_value": 10,
    "insurance_delta": 9,
    "insurance_delta_allowed": 5,
    "liquidation_limit_price": 10,
    "liquidation_price": 20,  # an inverse one of OKX wants more digits than a price and its worth have together
    "liquidation_trigger": 10,
    "partial_liquidation_size": 7,  # not a share of every position at once
    "liquidation_cap": 3,
    "liquidation_fee_rate": 2,
    "insurance_fee_rate": 2,
    "initial_margin": 14,
    "margin_tier_deduction": 5,
    "maintenance_margin": 10,  # and three without their tier table
    "matching_script": 10,
    "position_script": 3,
    "pre_trade_script": 2,
    "realised_pnl": 2,
    "stop_script": 3,
    "unrealised_pnl": 6,
}


def amounts_of(tiers: list[dict]) -> list[tuple[Fraction, Fraction, Fraction]]:
    """Return (floor, rate, amount) of each tier: amount_i = amount_{i-1} + floor_i (rate_i - rate_{i-1})."""
    rows: list[tuple[Fraction, Fraction, Fraction]] = []
    for tier in tiers:
        rate = 1 / (2 * Fraction(tier["max_leverage"])) if "max_leverage" in tier else Fraction(tier["maintenance_rate"])
        floor = Fraction(tier["floor_notional"])
        amount = rows[-1][2] + floor * (rate - rows[-1][1]) if rows else Fraction(0)
        rows.append((floor, rate, amount))
    return rows


def initial_by_formula(given: dict) -> dict:
    """Return a rate over a leverage, of one position: what grows with it, or with open interest, in it; or of the worse side."""
    of = lambda key, otherwise: Fraction(given.get(key, otherwise))  # noqa: E731
    qty, price = of("position_qty", given.get("notional", "1")), of("price", "1")
    rate = of("initial_rate", given.get("base_rate", "1")) / of("leverage", "1") + of("rate_per_coin", "0") * abs(qty)
    if "open_interest_usd" in given:
        low, high = of("lower_cap_usd", "0"), of("upper_cap_usd", "0")
        rate += (min(max((of("open_interest_usd", "0") - low) / (high - low), 0), 1) if high > low else 0) * (1 - rate)
    if "open_buy_qty" in given:
        buy, sell = max(0, of("open_buy_qty", "0") + qty), max(0, of("open_sell_qty", "0") - qty)
        return {"buy_open_qty": buy, "sell_open_qty": sell, "initial_margin": max(buy, sell) * rate * price}
    margin = abs(qty) * rate * (1 / price if given["payoff"] == "inverse" else price)
    unit = of("quote_unit_usd", "1")
    margin = math.ceil(margin / unit) * unit if "quote_unit_usd" in given else margin
    return {"initial_margin": margin, "initial_rate": rate, "initial_margin_coin": abs(qty) * rate}


def by_formula(kind: str, given: dict, rules: str = "") -> dict:
    """Return what the formulas of ../shared/vectors/README.md give, in exact fractions."""
    if kind == "unrealised_pnl":
        q, entry, mark = (Fraction(given[key]) for key in ("position_qty", "entry_price", "mark_price"))
        inverse = given["payoff"] == "inverse"
        profit = q / entry - q / mark if inverse else q * (mark - entry)
        return {"unrealised_pnl": profit, "notional": abs(q) / mark if inverse else abs(q) * mark}
    if kind == "initial_margin":
        return initial_by_formula(given)
    rows = amounts_of(given["tiers"]) if "tiers" in given else []
    if kind == "margin_tier_deduction":
        return {"maintenance_amounts": [row[2] for row in rows], "maintenance_rates": [row[1] for row in rows]}
    if "notional" in given:
        notional = Fraction(given["notional"])
    else:
        qty, price = abs(Fraction(given["position_qty"])), Fraction(given["price"])
        notional = qty / price if given.get("payoff") == "inverse" else qty * price
    if not rows:
        names = ("maintenance_rate", "base_rate", "slippage_rate", "risk_factor")
        rate = sum(Fraction(given.get(name, "0")) for name in names)
        rate += Fraction(given.get("rate_per_coin", "0")) * abs(Fraction(given.get("position_qty", "0")))
        coin = {"maintenance_margin_coin": abs(Fraction(given.get("position_qty", "0"))) * rate}
        return {"notional": notional, "maintenance_margin": notional * rate, "maintenance_rate": rate} | coin
    _, rate, amount = max(row for row in rows if row[0] < notional)
    if rules == "flox":
        amount = Fraction(0)
    margin = {"maintenance_margin": notional * rate - amount, "maintenance_rate": rate, "maintenance_amount": amount}
    return margin | {"notional": notional}


def perturbed(value, path=()):
    """Yield a copy of `given` for each of its numbers, that one made a little larger."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from (value | {key: other} for other in perturbed(part, (*path, key)))
    elif isinstance(value, list):
        for i, part in enumerate(value):
            yield from ([*value[:i], other, *value[i + 1 :]] for other in perturbed(part, path))
    elif path[-1] != "payoff" and Fraction(value):
        yield plain(Fraction(value) + (Fraction(2) if Fraction(value).denominator == 1 else Fraction(value) / 8))


@pytest.mark.needs_shared
@pytest.mark.parametrize("kind", ["initial_margin", "margin_tier_deduction", "maintenance_margin", "unrealised_pnl"])
def test_no_answer_is_stored(shared, kind):
    """Each input of each passing vector, changed: both twins give what the kind's formula gives of it, to a unit of money."""
    near = Fraction(1, 10**6 if kind == "initial_margin" else 10**8)
    passed, asked = set(running.run(shared / "vectors", kind).passed), 0
    for vector in YAML(typ="safe").load((shared / "vectors" / f"{kind}.yaml").read_text())["vectors"]:
        changed = list(perturbed(vector["given"])) if vector["id"] in passed else []
        for given in changed[:: max(1, len(changed) // 4)]:
            wanted = by_formula(kind, given, vector["rules"])
            for which in running.TWINS:
                case = Vector(**vector | {"given": given})
                try:
                    found = running.KINDS[kind](case, twin.twin_class(which))
                except Unmodelled:
                    continue  # a tier above the next one, a rate of no whole ppm
                asked += 1
                if any("max_leverage" in tier for tier in given.get("tiers", [])):
                    near = Fraction(1, 10**5)  # rates such as 1/84, which no decimal number is
                for key in vector["expect"]:
                    ours = found[key] if isinstance(found[key], list) else [found[key]]
                    theirs = wanted[key] if isinstance(wanted[key], list) else [wanted[key]]
                    assert all(abs(Fraction(a) - b) <= near for a, b in zip(ours, theirs, strict=True)), (given, key)
    assert asked >= 2 * len(passed)


@pytest.mark.needs_shared
@pytest.mark.parametrize("kind", sorted(running.KINDS))
def test_published_vectors_pass_on_both_twins(shared, kind):
    answer = running.run(shared / "vectors", kind)
    assert not answer.failed and len(answer.passed) == PASSED[kind]


@pytest.mark.needs_shared
def test_every_vector_stands_in_one_list(shared):
    answer = running.run(shared / "vectors")
    ids = answer.passed + [row.id for row in answer.failed] + [row.id for row in answer.unmodelled]
    assert len(ids) == len(set(ids)) == sum(sum(count.values()) for count in answer.kinds.values())
    refused = [row.reason for row in answer.unmodelled if row.reason.startswith("refused feature")]
    assert len(refused) == 4


# ---- liquidation_price


AS_BINANCE = ("binance", "drift", "injective")


def price_by_formula(rules: str, given: dict) -> Fraction:
    """Return the kind's formula of the other rules, in exact fractions, without its rounding to a tick."""
    of = lambda key, otherwise="0": Fraction(given.get(key, otherwise))  # noqa: E731
    qty, entry, wallet, rate, leverage = (
        of(key) for key in ("position_qty", "entry_price", "wallet_balance", "maintenance_rate", "leverage")
    )
    n, s = abs(qty), 1 if qty > 0 else -1
    if rules == "dydx":
        return (of("equity") - qty * of("mark_price") - of("other_maintenance_margin")) / (n * rate - qty)
    if rules == "hyperliquid":
        rate = 1 / (2 * of("max_leverage"))
        return entry - s * (wallet - n * entry * rate) / n / (1 - rate * s)
    if rules == "okx":
        rate += of("liquidation_fee_rate")
        if given["payoff"] == "linear":
            return (entry - s * entry / leverage) / (1 - s * rate)
        return (1 + s * rate) / (1 / entry + s * wallet / (n * of("contract_size", "1")))
    if given["payoff"] == "linear":
        margin = n * entry / leverage - (n * entry * rate - of("maintenance_amount"))
        return entry - s * margin / n - s * of("extra_margin") / n
    value = n / entry
    if given["margin_mode"] == "isolated":
        return n / (value + s * (value / leverage - value * rate + of("maintenance_amount")))
    free = wallet - of("order_margin") - value * rate - n * of("taker_fee_rate") / of("bankruptcy_price")
    return n / (value + s * free)


def bankruptcy_by_formula(given: dict) -> Fraction:
    """Return Bybit's bankruptcy price, in exact fractions, without its rounding to a tick."""
    of = lambda key, otherwise="0": Fraction(given.get(key, otherwise))  # noqa: E731
    qty, entry, leverage = of("position_qty"), of("entry_price"), of("leverage", "1")
    n, s = abs(qty), 1 if qty > 0 else -1
    if given["margin_mode"] == "isolated":
        return entry * (1 - s / leverage) if given["payoff"] == "linear" else entry * leverage / (leverage + s)
    if given["payoff"] == "linear":
        return entry - s * (of("position_margin") + of("wallet_balance")) / n
    return (1 + s * of("taker_fee_rate")) * n / (n / entry + s * (of("wallet_balance") - of("order_margin")))


def otherwise(given: dict) -> list[dict]:
    """Return the given with each figure in turn a little larger, whole numbers by one; and with the other side."""
    found = [given | {"position_qty": plain(-Fraction(given["position_qty"]))}]
    for key, value in given.items():
        if key not in ("payoff", "margin_mode", "tick_size", "bankruptcy_price") and Fraction(value):
            whole = key in ("leverage", "max_leverage", "contract_size")
            found.append(given | {key: plain(Fraction(value) + 1 if whole else Fraction(value) * Fraction(101, 100))})
    for row in found:
        if "bankruptcy_price" in row:  # what the others give is given too
            row["bankruptcy_price"] = plain(Fraction(round(100 * bankruptcy_by_formula(row)), 100))
    return found


@pytest.mark.needs_shared
@pytest.mark.parametrize("kind", ["liquidation_price", "bankruptcy_price"])
def test_every_input_of_the_other_rules_counts(shared, kind):
    """Each figure of each vector that passes, changed, and long made short: both twins give what the kind's formula gives."""
    passed, judged = set(running.run(shared / "vectors", kind).passed), 0
    for vector, _ in read(shared / "vectors" / f"{kind}.yaml"):
        if vector.id not in passed or (kind == "liquidation_price" and vector.rules in AS_BINANCE):
            continue
        for given in otherwise(vector.given):
            asked = {key: value for key, value in given.items() if key != "tick_size"}
            want = price_by_formula(vector.rules, given) if kind == "liquidation_price" else bankruptcy_by_formula(given)
            for which in running.TWINS:
                try:
                    found = running.KINDS[kind](
                        vector.model_copy(update={"given": asked, "tolerance": "1"}), twin.twin_class(which)
                    )
                except Unmodelled as reason:
                    words = ("triggered", "no price", "whole ppm", "rates are ppm")
                    assert want <= 0 or any(word in str(reason) for word in words), (vector.id, given, str(reason))
                    continue
                near = Fraction(1, 10**6) if given["payoff"] == "linear" else want / 10**8
                assert abs(Fraction(found[kind]) - want) <= near, (vector.id, given, which, want)
                judged += 1
    assert judged >= 2 * 4 * len(passed) // 2


def liquidation_price_by_formula(given: dict) -> Fraction:
    """Return (W - MMo + Uo + A - q E) / (n m - q): the kind's formula for binance, linear, in exact fractions."""
    of = lambda row, *keys: [Fraction(row.get(key, "0")) for key in keys]  # noqa: E731
    wallet, qty, entry, rate, amount = of(
        given, "wallet_balance", "position_qty", "entry_price", "maintenance_rate", "maintenance_amount"
    )
    top = wallet + amount - qty * entry
    for row in given.get("other_positions", []):
        held, paid, mark, other_rate, other_amount = of(
            row, "position_qty", "entry_price", "mark_price", "maintenance_rate", "maintenance_amount"
        )
        top += held * (mark - paid) - (abs(held) * mark * other_rate - other_amount)
    return top / (abs(qty) * rate - qty)


def figures_changed(given: dict) -> list[tuple[str, dict]]:
    """Return the given with each figure in turn 1 % larger, and 2 % smaller, and where."""
    found = []
    for factor in (Fraction(101, 100), Fraction(98, 100)):
        change = lambda text: plain(Fraction(text) * factor)  # noqa: B023, E731
        for key, value in given.items():
            if key == "other_positions":
                for i, row in enumerate(value):
                    for name in row.keys() - {"market"}:
                        rows = [*value[:i], row | {name: change(row[name])}, *value[i + 1 :]]
                        found.append((f"{key} {i} {name} x {float(factor)}", given | {key: rows}))
            elif key not in ("payoff", "margin_mode"):
                found.append((f"{key} x {float(factor)}", given | {key: change(value)}))
    return found


@pytest.mark.needs_shared("vectors/liquidation_price.yaml")
def test_every_input_of_a_liquidation_price_counts(shared):
    """Each figure of each vector that passes, changed: both twins give what the formula gives for it, and it is another price."""
    passed = set(running.run(shared / "vectors", "liquidation_price").passed)
    judged = 0
    for vector, _ in read(shared / "vectors" / "liquidation_price.yaml"):
        if vector.id not in passed or vector.rules not in AS_BINANCE:
            continue
        before = liquidation_price_by_formula(vector.given)
        for what, given in figures_changed(vector.given):
            want = liquidation_price_by_formula(given)
            assert abs(want - before) > Fraction(1, 10**5), (vector.id, what)
            for which in running.TWINS:
                found = liquidation_price.run(vector.model_copy(update={"given": given}), twin.twin_class(which))
                assert abs(Fraction(found["liquidation_price"]) - want) < Fraction(1, 10**6), (vector.id, what, which)
                judged += 1
    assert judged == 2 * 2 * (5 * 5 + 2 * 10 + 2 * 4)  # twins, factors; five figures, some beside another, or no amount


AT_ENTRY = "an account that is triggered at the entry price already"
POSITION = {
    "payoff": "linear",
    "margin_mode": "cross",
    "position_qty": "2",
    "entry_price": "100",
    "wallet_balance": "30",
    "maintenance_rate": "0.05",
    "maintenance_amount": "1",
}
OTHER = {"market": "B", "position_qty": "-1", "entry_price": "10", "mark_price": "12", "maintenance_rate": "0.1"}


def position(**changes) -> dict:
    """Return a vector of one position: 30 + 1 + 2 p - 200 = 0.1 p at p = 169 / 1.9, or with fields changed, None: left out."""
    given = {key: value for key, value in (POSITION | changes).items() if value is not None}
    head = {"id": "asked", "kind": "liquidation_price", "rules": "binance", "core": True, "status": "derived"}
    expect = {"liquidation_price": "88.947368421"}
    return head | {"given": given, "expect": expect, "tolerance": "0.000001", "source": "made here"}


def test_a_position_is_asked_for_its_liquidation_price(tmp_path):
    """With the other: 30 - 2 + 1 + 2 p - 200 = 0.1 p + 1.2 at p = 172.2 / 1.9; it has lost 2 and needs 1.2."""
    assert running.run(write(tmp_path, position())).passed == ["asked"]
    beside = position(other_positions=[OTHER])
    beside["expect"] = {
        "liquidation_price": "90.631578947",
        "other_maintenance_margin": "1.2",
        "other_unrealised_pnl": "-2",
    }
    beside["tolerance"] = {"liquidation_price": "0.000001"}
    assert running.run(write(tmp_path, beside)).passed == ["asked"]
    wrong = running.run(write(tmp_path, position() | {"expect": {"liquidation_price": "88.9474"}}))
    assert [row.twin for row in wrong.failed] == ["model", "engine"]


@pytest.mark.parametrize(
    "vector, reason",
    [
        (position() | {"rules": "okx"}, "the liquidation price of okx, linear, cross"),
        (position(payoff="inverse"), "the liquidation price of binance, inverse, cross"),
        (position(extra_margin="1", tick_size="1"), "given extra_margin, tick_size"),
        (position(other_positions=[OTHER | {"colour": "red"}]), "given colour"),
        (position(margin_mode="isolated", other_positions=[OTHER]), "other positions beside an isolated one"),
        (position(maintenance_rate="0.0000005"), "a maintenance rate of 0.0000005: rates are ppm, above 0 and below 1"),
        (position(maintenance_amount="-1"), "a negative maintenance amount"),
        (position(entry_price="100.0000000000000001"), "more decimals than the 15 of money, or too large a price for them"),
        (position(wallet_balance="5"), "the position cannot be opened: INSUFFICIENT_MARGIN"),
        (position(wallet_balance="0"), "the position cannot be opened: BAD_AMOUNT"),
        (position(wallet_balance="15", other_positions=[OTHER | {"mark_price": "20"}]), AT_ENTRY),
        (position(wallet_balance="500"), "no price triggers it"),
        (position(maintenance_amount="9"), "a maintenance amount of a bracket that the notional is not in"),
        (position() | {"expect": {"colour": "1"}}, "results of kind colour"),
    ],
)
def test_what_is_no_position_of_ours_is_named(tmp_path, vector, reason):
    answer = running.run(write(tmp_path, vector))
    assert [(row.id, row.reason) for row in answer.unmodelled] == [("asked", reason)] and not answer.passed + answer.failed


# ---- position_script, realised_pnl


def position_script_by_formula(given: dict) -> list[dict[str, Fraction]]:
    """Return the state after each event: average cost; reducing realises, keeps the price and cuts the margin in proportion."""
    of = lambda row, key: Fraction(row.get(key, "0"))  # noqa: E731
    held, entry, margin, realised = of(given, "position_qty"), of(given, "entry_price"), of(given, "margin"), Fraction(0)
    found = []
    for row in given["events"]:
        price, lots = of(row, "price"), of(row, "qty") * (1 if row.get("side") == "buy" else -1)
        if row["op"] == "fill":
            realised -= abs(lots) * price * Fraction(given["fee_rate"])
        if held * lots < 0:
            closed = min(abs(held), abs(lots))
            realised += closed * (price - entry) * (1 if held > 0 else -1)
            margin *= 1 - closed / abs(held)
            entry = price if abs(lots) > abs(held) else entry
        elif lots:
            entry = (entry * abs(held) + price * abs(lots)) / abs(held + lots)
        held += lots
        left = entry if held else Fraction(0)
        found.append({"position_qty": held, "entry_price": left, "realised_pnl": realised, "margin": margin})
        found[-1]["unrealised_pnl"] = held * (price - entry)
    return found


def realised_pnl_by_formula(given: dict) -> dict[str, Fraction]:
    of = lambda key: Fraction(given.get(key, "0"))  # noqa: E731
    qty, entry, out = of("position_qty"), of("entry_price"), of("exit_price")
    inverse = given["payoff"] == "inverse"
    worth, realised = (abs(qty) / entry, qty / entry - qty / out) if inverse else (abs(qty) * entry, qty * (out - entry))
    found = {"realised_pnl": realised, "net_pnl": realised - of("funding_paid") - 2 * of("fee_rate") * worth}
    if "leverage" in given:
        found["initial_margin"] = worth / of("leverage")
        found["return_rate"] = found["net_pnl"] / found["initial_margin"]
    return found


def asked_of_both(vector: Vector, given: dict, expect: dict) -> list[dict]:
    case = vector.model_copy(update={"given": given, "expect": expect})
    return [running.KINDS[vector.kind](case, twin.twin_class(which)) for which in running.TWINS]


SCRIPT_KEYS = ("position_qty", "entry_price", "realised_pnl", "unrealised_pnl", "margin")


def judge_script(vector: Vector, given: dict) -> None:
    want = position_script_by_formula(given)
    rows = [{"after": str(i)} | dict.fromkeys(SCRIPT_KEYS, "0") for i in range(1, len(want) + 1)]
    for found in asked_of_both(vector, given, {"checkpoints": rows}):
        for row, figures in zip(found["checkpoints"], want, strict=True):
            for key, figure in figures.items():
                assert abs(Fraction(row[key]) - figure) < Fraction(1, 10**9), (given, row["after"], key, figure)


def figures_of(value, path=()):
    """Yield a copy of `given` for each of its figures, that one changed twice: larger, and smaller."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from (value | {key: other} for other in figures_of(part, (*path, key)))
    elif isinstance(value, list):
        for i, part in enumerate(value):
            yield from ([*value[:i], other, *value[i + 1 :]] for other in figures_of(part, path))
    elif path[-1] in ("side",):
        yield {"buy": "sell", "sell": "buy"}[value]
    elif path[-1] not in ("payoff", "op"):
        yield from (plain(Fraction(value) * factor) for factor in (Fraction(5, 4), Fraction(1, 2)) if Fraction(value))


@pytest.mark.needs_shared("vectors/position_script.yaml")
def test_every_input_of_a_position_script_counts(shared):
    """Fees are whole ppm: a rate that is not is refused by name. A mark that moves, a side that turns: every checkpoint."""
    asked = 0
    for vector, _ in read(shared / "vectors" / "position_script.yaml"):
        for given in [vector.given, *figures_of(vector.given)]:
            judge_script(vector, given)
            asked += 1
    assert asked > 50


@pytest.mark.needs_shared("vectors/realised_pnl.yaml")
def test_every_input_of_a_realised_profit_counts(shared):
    asked = 0
    for vector, _ in read(shared / "vectors" / "realised_pnl.yaml"):
        for given in [vector.given, *figures_of(vector.given), *({**x, "payoff": "linear"} for x in figures_of(vector.given))]:
            if "leverage" in given and Fraction(given["leverage"]).denominator != 1:
                continue
            if (Fraction(given.get("fee_rate", "0")) * 10**6).denominator != 1:
                continue
            want = realised_pnl_by_formula(given)
            for found in asked_of_both(vector, given, dict.fromkeys(want, "0")):
                assert found.keys() == want.keys()
                for key, figure in want.items():
                    assert abs(Fraction(found[key]) - figure) < Fraction(1, 10**8), (given, key, found[key], figure)
            asked += 1
    assert asked > 20


def fills_vector(kind: str, **given) -> Vector:
    head = {"id": "made", "kind": kind, "rules": "mine", "core": True, "status": "derived", "tolerance": "0", "source": "made"}
    return Vector(**head, given=given, expect={"checkpoints": [{"after": "1"}]})


FILL = {"op": "fill", "side": "buy", "qty": "2", "price": "10"}


@pytest.mark.parametrize("turn", [1, -1])
def test_a_position_flips_and_its_margin_goes_with_it(turn):
    """Held 3 for 12 with a margin of 9: sell 1 at 15, 4 at 11 through zero, buy back; and the mirror of it."""
    side = lambda buys: "buy" if buys == (turn > 0) else "sell"  # noqa: E731
    events = [
        FILL | {"side": side(False), "qty": "1", "price": "15"},
        FILL | {"side": side(False), "qty": "4", "price": "11"},
        {"op": "mark", "price": "13"},
        FILL | {"side": side(True), "qty": "2.5", "price": "7"},
    ]
    given = {"fee_rate": "0.001", "position_qty": str(3 * turn), "entry_price": "12", "margin": "9", "events": events}
    judge_script(fills_vector("position_script", **given), given)


@pytest.mark.parametrize(
    "kind, given, reason",
    [
        ("position_script", {"fee_rate": "0", "events": [{"op": "dance", "price": "1"}]}, "op 'dance'"),
        ("position_script", {"fee_rate": "0", "events": [FILL | {"colour": "red"}]}, "fill with colour"),
        ("position_script", {"fee_rate": "0.0000001", "events": [FILL]}, "a fee rate of 0.0000001"),
        ("position_script", {"fee_rate": "0", "tick": "1", "events": [FILL]}, "given tick"),
        ("realised_pnl", {"payoff": "spot", "position_qty": "1", "entry_price": "2", "exit_price": "3"}, "payoff 'spot'"),
        (
            "realised_pnl",
            {"payoff": "linear", "position_qty": "1", "entry_price": "2", "exit_price": "3", "leverage": "2.5"},
            "a leverage of 2.5",
        ),
    ],
)
def test_what_no_fill_can_say_is_named(kind, given, reason):
    with pytest.raises(Unmodelled, match=reason):
        asked_of_both(fills_vector(kind, **given), given, {"checkpoints": [{"after": "1"}]})
