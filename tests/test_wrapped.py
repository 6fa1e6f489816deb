"""WBETH and BNSOL before and after the change of their index: the formulas at the day's lows, and the loop of the incident."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import typer

from fuzz.overlay import overlay
from riskbed import cli, jobs, replay
from riskbed.facts import fact_rows
from specs import load, units
from specs.errors import SpecError
from specs.incident import Incident
from specs.rules import Venue
from specs.tape import EVENT, EventKind, Grade, OutcomeKind, Side, Tif
from tests.test_pair_report import named, shown
from tests.test_report import words
from tests.twins import twin  # noqa: F401  # a fixture

BEFORE, AFTER = "binance-um-2025-10-10-wrapped", "binance-um-2025-10-10-wrapped-after"
INCIDENT = "2025-10-10-B-wrapped"
LOWS = "data/oct10_spot_lows/oct10_binance_spot_day_high_low.csv"
TOKENS = {"WBETH": "ETH", "BNSOL": "SOL"}
START_NS = units.instant_to_ns("2025-10-10T21:20:00Z")


def book(name: str) -> Venue:
    return load.load(load.find("venue", name), Venue)


@pytest.fixture(scope="module")
def incident() -> Incident:
    venue = book(BEFORE)
    return load.load(load.find("incident", INCIDENT), Incident, check=lambda row: row.check(venue))


def quoted(incident: Incident) -> dict[str, str]:
    """Return the figures of the day as the incident file quotes them, by fact."""
    return {fact.id: fact.observed for fact in incident.facts if fact.kind == "recorded_exact"}


def recorded(shared) -> dict[str, str]:
    """Return the same figures from the table of highs and lows of the day."""
    with open(shared / LOWS, newline="") as file:
        rows = {row["market"].replace("_", ""): row for row in csv.DictReader(file)}
    lows = {f"{name}-low": rows[name]["day_low"] for name in rows if name in MARKETS}
    return lows | {f"{name}-high": rows[name]["day_high"] for name in ("wbetheth", "bnsolsol")}


MARKETS = ("wbethusdt", "wbetheth", "ethusdt", "bnsolusdt", "bnsolsol", "solusdt")


# ---- the index at the lows


def event(kind: EventKind, **fields) -> np.ndarray:
    row = np.zeros(1, EVENT)
    row["kind"], row["time_ns"] = kind, START_NS
    for name, value in fields.items():
        row[name] = value
    return row


def lows_tape(venue: Venue, figures: dict[str, str]) -> np.ndarray:
    """Return a tape on which each own book trades once, at the day's low of its market, while ETH and SOL stand at theirs."""
    said = {"synthetic:BTCUSDT": "102000"}
    for token, base in TOKENS.items():
        ratio = figures[f"{token}{base}-high".lower()]
        said |= {f"binance-spot:{base}USDT": figures[f"{base}USDT-low".lower()], f"issuer:{token}{base}": ratio}
    rows = []
    for name, figure in said.items():
        number = venue.number("sources", name)
        price = units.decimal_to_int(figure, venue.sources[number].price_decimals)
        rows.append(event(EventKind.SOURCE, source=number, price=price))
    for account in (100, 101):
        rows.append(event(EventKind.ACCOUNT, account=account, ref_id=account))
        for number, asset in enumerate(venue.assets):
            rows.append(event(EventKind.DEPOSIT, account=account, asset=number, amount_lo=10_000 * 10**asset.decimals))
    for number, market in enumerate(venue.markets):
        if not market.spot:
            continue
        low = units.decimal_to_int(figures[f"{market.name}-low".lower()], market.price_decimals)
        for account, side, tif in ((100, Side.BUY, Tif.GTC), (101, Side.SELL, Tif.IOC)):
            order = {"market": number, "side": side, "price": low, "qty": 10_000, "tif": tif}
            rows.append(event(EventKind.ORDER, account=account, ref_id=account * 10 + number, **order))
    rows.append(event(EventKind.CLOCK))
    return np.concatenate(rows)


def index_at_lows(cls, venue: Venue, figures: dict[str, str]) -> dict[str, Fraction]:
    """Return by token the published index over its redemption value, less 1, in percent: what the exchange itself says."""
    exchange = cls(venue, START_NS)
    exchange.run(lows_tape(venue, figures))
    outcomes = exchange.outcomes()
    spots = [market for market in venue.markets if market.spot]
    assert np.count_nonzero(outcomes["kind"] == OutcomeKind.FILL) == len(spots) == 4
    assert not np.any(outcomes["kind"] == OutcomeKind.REJECT)
    found = {}
    for token, base in TOKENS.items():
        index = venue.indices[venue.number("indices", f"{token}USDT")]
        told = outcomes[(outcomes["kind"] == OutcomeKind.COLLATERAL) & (outcomes["asset"] == venue.number("assets", token))]
        assert told["grade"][-1] == Grade.VALID
        worth = Fraction(figures[f"{token}{base}-high".lower()]) * Fraction(figures[f"{base}USDT-low".lower()])
        found[token] = (Fraction(int(told["price"][-1]), 10**index.price_decimals) / worth - 1) * 100
    return found


def check_lows(cls, figures: dict[str, str], facts: dict[str, tuple[Fraction, Fraction]]) -> None:
    old, new = (index_at_lows(cls, book(name), figures) for name in (BEFORE, AFTER))
    for token in TOKENS:
        observed, tolerance = facts[f"{token.lower()}-old-formula"]
        assert abs(old[token] + observed) <= tolerance, (token, float(old[token]))
        assert new[token] == facts[f"{token.lower()}-new-formula"][0] == 0


@pytest.fixture(scope="module")
def facts(incident: Incident) -> dict[str, tuple[Fraction, Fraction]]:
    return {f.id: (Fraction(f.observed), Fraction(f.tolerance)) for f in incident.facts if f.kind == "replay_exact"}


def test_both_formulas_at_the_lows_that_the_incident_quotes(twin, incident, facts):  # noqa: F811
    """Old -82.8 % and -85.9 % against redemption value, within 0.1 percentage point; new 0."""
    assert (facts["wbeth-old-formula"], facts["bnsol-old-formula"]) == (
        (Fraction("82.8"), Fraction("0.1")),
        (Fraction("85.9"), Fraction("0.1")),
    )
    check_lows(twin, quoted(incident), facts)


@pytest.mark.needs_shared(LOWS)
def test_both_formulas_at_the_lows_of_the_recorded_day(twin, shared, incident, facts):  # noqa: F811
    figures = recorded(shared)
    check_lows(twin, figures, facts)
    assert {name: Fraction(figure) for name, figure in figures.items()} == {
        name: Fraction(figure) for name, figure in quoted(incident).items()
    }


def test_the_rule_book_after_differs_in_the_two_recipes_alone():
    before, after = (book(name).model_dump() for name in (BEFORE, AFTER))
    for tree in (before, after):
        for name in ("name", "title", "effective_from", "references", "assumed"):
            del tree[name]
    changed = [row["name"] for row, other in zip(before["indices"], after["indices"], strict=True) if row != other]
    assert changed == ["WBETHUSDT", "BNSOLUSDT"]
    for row, other in zip(before["indices"], after["indices"], strict=True):
        row["recipe"] = other["recipe"] = None
    assert before == after
    nodes = {row.name: row.recipe for row in book(BEFORE).indices}
    assert (nodes["WBETHUSDT"].weights, nodes["BNSOLUSDT"].weights) == ([20_000_000, 80_000_000], [30_000_000, 70_000_000])


# ---- the incident


def test_the_rules_of_the_incident_are_its_rule_books(incident):
    """The redemption rule is the rule book after the change; the first rule is the one before; the second cuts the loop."""
    venue, after = book(BEFORE), book(AFTER)
    assert incident.with_rule(venue, "old-to-book") == venue
    assert incident.with_rule(venue, "redemption-to-book").indices == after.indices
    cut = incident.with_rule(venue, "old-to-treasury").model_dump()
    stage = next(row for row in cut["liquidation"]["stages"] if row["kind"] == "convert")
    assert stage["to"] == "treasury"
    stage["to"] = "book"
    assert cut == venue.model_dump()


def test_what_is_derived_follows_what_it_is_derived_from(incident):
    venue = book(BEFORE)
    paths = incident.prices(venue)
    ratio, eth, worth, makers, inverse = (
        paths.seconds[venue.number("sources", name)]
        for name in ("issuer:WBETHETH", "binance-spot:ETHUSDT", "derived:WBETHUSDT", "makers:WBETHUSDT", "derived:USDTETH")
    )
    assert set(ratio) == {107_970_000} and min(eth) == 343_500
    assert worth == makers == [price * 10_797 * 100 for price in eth]
    assert inverse == [10**10 // price for price in eth]
    assert paths.make_whole[venue.number("sources", "derived:WBETHUSDT")] == 390_000 * 10_797 * 100


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("liquidation.stages.convert.to: treasury", "liquidation.stages.sell.to: treasury", "no 'sell'"),
        ("liquidation.stages.convert.to: treasury", "liquidation.stages.convert.where: treasury", "no 'where'"),
        ("liquidation.stages.convert.to: treasury", "liquidation.stages.convert.to: nobody", "treasury"),
        ("    changes: {}\n", "", "needs a recipe or changes"),
        ('of: ["binance-spot:ETHUSDT"], inverse', 'of: ["binance-spot:ETHUSD"], inverse', "no series above"),
        ("account: 30, market: WBETHUSDT", "account: 30, market: BTCUSDT", "not one of"),
        ('at: "2025-10-10T21:35:50Z"', 'at: "2025-10-10T21:35:50.5Z"', "not on the clock grid"),
        ("more: [{collateral: BNSOL,", "more: [{collateral: USDE,", "'USDE' is not one of"),
        ('worth: "derived:WBETHUSDT"', 'worth: "derived:WBETH"', "'derived:WBETH' has no series"),
        ('broken: "makers:WBETHUSDT"', 'broken: "binance-spot:ETHUSDT"', "no minute series and is not derived"),
    ],
)
def test_a_wrong_file_is_refused_where_it_is_wrong(old, new, problem):
    text = load.find("incident", INCIDENT).read_text()
    assert old in text
    with pytest.raises(SpecError, match=problem) as caught:
        load.load_text(text.replace(old, new, 1), Incident, "i.yaml", check=lambda row: row.check(book(BEFORE)))
    assert caught.value.where.startswith("i.yaml:") and caught.value.exit_code == 2


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sales_empty_the_book_and_the_loop_closes_accounts_by_mistake(seed):
    """Under the old formula the loop runs and liquidates whom the new one spares, and whom a treasury would have spared too."""
    options = replay.Options(incident=INCIDENT, seed=seed, lockstep=0, report=False)
    inputs = replay.read_inputs(options)
    ran, _, _ = replay.execute(inputs, lambda done, total, what: None)
    decimals = inputs.venue.decimals("USDT")
    rows = {rule.name: rule.fault for rule in replay.rule_rows(inputs, ran, decimals)}
    assert list(rows) == ["old-to-book", "old-to-treasury", "redemption-to-book"]
    loop, cut, new = rows.values()
    assert Fraction(loop.labels.erroneous.notional) > 0 and loop.labels.erroneous.accounts > 0
    assert new.labels.erroneous.lots == new.labels.premature.lots == cut.labels.erroneous.lots == 0
    worst = {
        "WBETH": Fraction("3700"),
        "BNSOL": Fraction("180"),
    }  # redemption value at the lows of ETH and SOL: no rule but the old
    assert any(Fraction(loop.lows[token]) < worst[token] / 2 for token in worst)
    assert all(Fraction(new.lows[token]) > worst[token] for token in worst)
    assert loop.cascades.rounds_max >= 2 and sum(loop.cascades.histogram.values()) == loop.cascades.cascades
    assert Fraction(new.treasury_loss) <= 0 and Fraction(cut.treasury_loss) <= 0


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> replay.Replay:
    return replay.replay(replay.Options(incident=INCIDENT, lockstep=0, out=tmp_path_factory.mktemp("runs")))


FACTS = {"wbeth-old-formula": "82.769822", "bnsol-old-formula": "85.868983", "wbeth-new-formula": "0", "bnsol-new-formula": "0"}


def test_the_expected_facts_are_measured_and_told(done, incident, capsys):
    """The old formula at the lows, and the new one, as this run's exchange publishes them: JSON, run.json, text and page."""
    rows = {fact.id: fact for fact in done.answer.facts}
    assert list(rows) == [fact.id for fact in incident.facts]
    judged = {name: fact for name, fact in rows.items() if fact.verdict != "context"}
    assert {name: fact.observed for name, fact in judged.items()} == FACTS
    assert {fact.verdict for fact in judged.values()} == {"holds"}
    assert (rows["wbeth-old-formula"].expected, rows["wbeth-old-formula"].tolerance) == ("82.8", "0.1")
    written = json.loads((Path(done.answer.run_folder) / "run.json").read_text(encoding="utf-8"))
    assert written["facts"] == [fact.model_dump() for fact in done.answer.facts]
    cli.show(done)
    text = capsys.readouterr().out
    page = named((Path(done.answer.run_folder) / "report.html").read_text(encoding="utf-8"), "fact")
    assert [row[0] for row in page[1:]] == [fact.what for fact in rows.values()]
    for fact in judged.values():
        (line,) = [line for line in text.splitlines() if fact.what in line]
        assert line.split()[-5:] == ["holds", fact.expected, fact.observed, fact.tolerance, "percent"]
        (row,) = [row for row in page if row[0] == fact.what]
        assert row[1:5] == [f"{fact.expected} percent", fact.observed, fact.tolerance, "holds"]


def test_a_fact_that_does_not_come_out_fails_the_replay(incident, done, monkeypatch):
    fact = next(fact for fact in incident.facts if fact.id == "wbeth-old-formula")
    for observed, tolerance, verdict in (("82.67", "0.1", "holds"), ("82.66", "0.1", "fails"), ("82.87", "0.1", "fails")):
        other = fact.model_copy(update={"observed": observed, "tolerance": tolerance})
        facts = [other if row.id == fact.id else row for row in incident.facts]
        inputs = replace(done.inputs, incident=incident.model_copy(update={"facts": facts}))
        assert {row.id: row.verdict for row in fact_rows(inputs)}[fact.id] == verdict
    failed = done.answer.model_copy(update={"facts": [done.answer.facts[0].model_copy(update={"verdict": "fails"})]})
    monkeypatch.setattr(replay, "replay", lambda *_: replace(done, answer=failed))
    with pytest.raises(typer.Exit) as left:
        cli.replay(incident=INCIDENT, json=True)
    assert left.value.exit_code == 1


WRONG_FACTS = [
    ("rule: redemption-to-book", "rule: redemption", "'redemption' is not a rule"),
    ("against: [bnsolsol-high, solusdt-low]", "against: [bnsolsol]", "'bnsolsol' is not a fact"),
    ("index: BNSOLUSDT", "index: BNSOL", "'BNSOL' is not one of binance-um-2025-10-10-wrapped"),
    ("{id: volume-wbeth, kind: published", "{id: volume-wbeth, kind: replay_exact", "nothing says how it is computed"),
]


@pytest.mark.parametrize(("old", "new", "said"), WRONG_FACTS)
def test_a_fact_measured_by_what_is_not_there_is_refused(old, new, said):
    text = load.read_text(load.find("incident", INCIDENT))
    with pytest.raises(SpecError, match=said) as caught:
        load.load_text(text.replace(old, new, 1), Incident, "i.yaml", check=lambda row: row.check(book(BEFORE)))
    assert caught.value.where.startswith("i.yaml:")


def test_bad_debt_is_one_thing_on_the_whole_page(done):
    """Bad debt is what nobody paid, the fund draw what the fund paid, the shortfall both: in JSON and in every table."""
    answer = done.answer
    losses = next(rule for rule in answer.rules if rule.name == "old-to-book").fault.losses
    inside = {row.cause: Fraction(row.money) for row in answer.waterfall[0].inside}
    assert (inside["fund_draw"], inside.get("bad_debt", 0)) == (Fraction(losses.fund_draw), Fraction(losses.bad_debt))
    assert Fraction(losses.fund_draw) > 0
    text = (Path(answer.run_folder) / "report.html").read_text(encoding="utf-8")
    by_rule = named(text, "rule")
    assert by_rule[0][5] == "shortfall (fund draw and bad debt)"
    assert by_rule[1][5] == shown(str(sum(map(Decimal, (losses.fund_draw, losses.bad_debt)))))
    whole = words(text)
    assert "fund draw, paid by the fund" in whole and "bad debt, paid by nobody" in whole
    assert whole.count("bad debt") == whole.count("bad debt, paid by nobody") + whole.count("fund draw and bad debt")


def test_twins_are_equal_on_the_loop():
    """Sixty accounts, books a tenth as deep so that they can be emptied, makers who refill every twenty seconds: to 21:52."""
    inputs = replay.read_inputs(replay.Options(incident=INCIDENT, accounts=60, lockstep=0))
    book_of = inputs.venue.model_dump()
    for row in book_of["quoters"]:
        row["refill_ns"] = 20 * units.NS
    venue, plan = Venue.model_validate(book_of), inputs.plans["broken"]
    events = inputs.tape.events[inputs.tape.events["time_ns"] < units.instant_to_ns("2025-10-10T21:52:00Z")].copy()
    events["qty"][(events["kind"] == EventKind.ORDER) & (events["tif"] == Tif.POST_ONLY)] //= 10
    rows = plan.seam_rows(venue)
    job = jobs.Job("loop", venue, inputs.tape.meta.start_ns, overlay(events, plan, venue), rows, inputs.horizon_ns, True, {})
    assert jobs.compare_twins(job).difference is None
    assert int(jobs.run_job("engine", job).forced.lots.sum()) > 0
