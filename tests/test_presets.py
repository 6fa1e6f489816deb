"""The packaged lists of stages: each is read, says its sources, and runs made tapes on both twins under the laws."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from fuzz.strategies import Case, small_sample
from fuzz.twin import Lockstep, start
from riskbed.venue import book, check, show
from specs import laws, load, rules
from specs.errors import SpecError
from specs.tape import OutcomeKind
from tests.test_venue_check import GOOD

NAMES = ["binance", "bitmex", "bybit", "deribit", "drift", "dydx", "hyperliquid", "okx", "paradex"]
CASES = 24


def test_nine_venues_are_packaged():
    assert sorted(load.names("preset")) == NAMES
    for name in NAMES:
        row = rules.preset(name)
        assert row.name == name and row.references and row.not_modelled and row.liquidation.stages[-1].kind == "write_off"


def with_preset(case: Case, name: str) -> Case | None:
    """Return the case under the stages of a preset; None where one of its markets has no tiers to reduce by."""
    tree = case.venue.model_dump(mode="json", exclude_unset=True) | {"liquidation": {"preset": name}}
    try:
        return Case(rules.Venue.model_validate(tree), case.events, case.seams, case.start_ns)
    except ValidationError as refused:
        assert "there are no tiers" in str(refused)
        return None


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_runs_in_lockstep_under_the_laws(name):
    kinds: set[int] = set()
    for case in filter(None, (with_preset(case, name) for case in small_sample(CASES, seed=7))):
        Lockstep(case.venue, case.start_ns, seams=case.seams).run(case.events, state_every=5)
        exchange, armed = start("model", case.venue, case.start_ns, case.seams, 0), {row[0] for row in case.seams}
        before = exchange.state()
        for event in case.events:
            outcomes = exchange.apply(event)
            after = exchange.state()
            laws.check(case.venue, before, event.tobytes(), outcomes, after, armed)
            before = after
        kinds |= set(exchange.outcomes()["kind"].tolist())
    assert {OutcomeKind.LIQUIDATION, OutcomeKind.FILL} <= kinds
    closes = {row.kind for row in rules.preset(name).liquidation.stages}
    assert OutcomeKind.TAKEOVER in kinds or "takeover" not in closes or name in ("drift", "hyperliquid")


def test_a_rule_book_names_a_preset_and_overrides_its_rows():
    text = (
        GOOD[: GOOD.index("liquidation:")]
        + "liquidation:\n  preset: hyperliquid\n  trigger: maintenance_ge_equity\nfund: {capital: 5}\n"
    )
    venue = book.of_text(text).venue
    assert venue.liquidation.stages == rules.preset("hyperliquid").liquidation.stages
    assert (venue.liquidation.trigger, venue.liquidation.order) == ("maintenance_ge_equity", "ratio")
    again = rules.Venue.model_validate(venue.model_dump(mode="json", exclude_unset=True))
    assert again.liquidation.stages == venue.liquidation.stages and again.liquidation.trigger == venue.liquidation.trigger
    rows = {row.row: row.value for row in show.resolve(book.of_text(text)).rows}
    assert rows["liquidation.preset"] == "hyperliquid" and "book" in rows.values()
    assert check.judge(book.of_text(text)).venue == "good"


def test_an_unknown_preset_is_refused_where_it_stands():
    text = GOOD[: GOOD.index("liquidation:")] + "liquidation:\n  preset: binanse\n"
    with pytest.raises(
        SpecError, match=r"<text>:\d+:11: liquidation.preset: there is no preset 'binanse' \(did you mean 'binance'"
    ):
        book.of_text(text)


def test_the_list_and_the_file_of_a_preset_are_shown(capsys):
    assert [row.name for row in show.listed().presets] == NAMES
    show.show_preset("okx", json=False)
    assert capsys.readouterr().out.startswith("# OKX.")
    show.show_preset("okx", json=True)
    assert json.loads(capsys.readouterr().out)["liquidation"]["stages"][1]["quantity"] == {"kind": "tiers", "down": 2}


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_has_no_row_that_never_acts(name):
    text = GOOD[: GOOD.index("liquidation:")] + f"liquidation:\n  preset: {name}\nfund: {{capital: 1_000_000}}\n"
    found = [row for row in check.findings(book.of_text(text), "contradictions") if "stages" in row.place]
    assert not [row for row in found if row.severity == "warns"]
