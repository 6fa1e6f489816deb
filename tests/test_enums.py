"""Every member of every enum is reached by the sampled tapes, and the twins agree there; every flow goes where its row says.

A member that no tape reaches is a rule that no lockstep test has seen: this test names it.
"""

from collections import Counter

import pytest

from engine.exchange import Exchange as Engine
from fuzz.strategies import sample
from specs import rules
from specs.model.exchange import Exchange as Model
from specs.tape import (
    FLOWS,
    HOLDER,
    USER,
    USERS_FROM,
    Chart,
    EventKind,
    Flow,
    Grade,
    MarketState,
    OutcomeKind,
    Reason,
    Seam,
    SeamKind,
    Stage,
)

CASES = 500
OF_FILLS = {OutcomeKind.FILL, OutcomeKind.BUSTED, OutcomeKind.TAKEOVER, OutcomeKind.CONVERT, OutcomeKind.MOVED, OutcomeKind.ADL}
OF_FILLS |= {OutcomeKind.SETTLED}
IN_OUTCOMES_OF_THEIR_OWN = {Flow.TRADE, Flow.TAKEOVER, Flow.CONVERT_ASSET, Flow.MODE, Flow.ADL, Flow.SETTLEMENT}
HOLDERS = {USER, "BACKSTOP"}
UNREACHABLE = {
    Reason.BOOK_FULL: "asked of a small order pool in tests/test_model_tables.py",
    Reason.POSITION_LIMIT: "asked of 10^12 lots in tests/test_model_tables.py",
    Reason.FUNDING_LIMIT: "asked of 5,000 intervals at the cap in tests/test_funding.py",
    Reason.UNFUNDED: "asked of a bid whose cover a loss took in tests/test_model_tables.py",
}


@pytest.fixture(scope="module")
def reached():
    """Run the sample on both twins; return what was seen, by enum."""
    seen = Counter()
    for case in sample(CASES, seed=3):
        engine, model = (twin(case.venue, case.start_ns, case.seams) for twin in (Engine, Model))
        engine.run(case.events)
        model.run(case.events)
        assert engine.digest() == model.digest(), case
        assert engine.state() == model.state(), case
        outcomes = engine.outcomes()
        seen.update(EventKind(k) for k in case.events["kind"].tolist() if k in EventKind._value2member_map_)
        for name, enum in (("kind", OutcomeKind), ("reason", Reason), ("stage", Stage), ("grade", Grade), ("flow", Flow)):
            seen.update(enum(value) for value in set(outcomes[name].tolist()))
        seen.update(MarketState(qty) for qty in outcomes["qty"][outcomes["kind"] == OutcomeKind.STATE_SET].tolist())
        for row, fired in zip(case.seams, (row[-1] for row in engine.state()["seams"]), strict=True):
            if fired:
                seen.update([Seam(row[0]), SeamKind(row[4])])
        seen.update(node.kind for index in case.venue.indices for node in rules.walk(index.recipe))
        for row in outcomes[outcomes["flow"] != 0]:
            seen[Flow(row["flow"]), OutcomeKind(row["kind"]), role(row["account"]), role(row["other"])] += 1
    return seen


def role(account) -> str:
    return USER if account >= USERS_FROM else Chart(account).name


@pytest.mark.parametrize("enum", [EventKind, OutcomeKind, Reason, Stage, Grade, MarketState, Flow, Seam, SeamKind])
def test_every_member_is_reached(reached, enum):
    missing = [member for member in enum if not reached[member] and member not in UNREACHABLE]
    assert not missing


def test_every_kind_of_recipe_is_reached(reached):
    kinds = {"source", "book", "index", "redemption", "product", "weighted", "mean", "median", "floor", "twap"}
    assert kinds == {kind for kind in reached if isinstance(kind, str)}


def _paid(flow, kind, account, other):
    """A takeover is told from the account's side: positive money is what the other pays."""
    return (flow, kind, other, account) if flow == Flow.TAKEOVER else (flow, kind, account, other)


def test_flows_go_where_their_row_says(reached):
    """The closed chart in one table: kind, from, to. The cash of what moves positions stands in its own outcomes."""
    seen = {_paid(*key) for key in reached if isinstance(key, tuple)}
    assert {flow for flow, *_ in seen} == set(FLOWS) == set(Flow) - {Flow.NONE}
    for flow, kind, source, target in seen:
        for want, got in zip(FLOWS[flow], (source, target), strict=True):
            assert got in (HOLDERS if want == HOLDER else {want}), (flow, kind)
        assert (kind in OF_FILLS) == (flow in IN_OUTCOMES_OF_THEIR_OWN), (flow, kind)
    for flow, row in FLOWS.items():  # who may be a holder is: a row that only users reach says so
        for end, want in enumerate(row):
            assert want != HOLDER or {key[2 + end] for key in seen if key[0] == flow} == HOLDERS, flow
