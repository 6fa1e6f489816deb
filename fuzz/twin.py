"""Lockstep: two exchanges run one tape, and after every event their outcomes are the same bytes; or two whole runs are compared.

The twins are the model and the engine; any two classes with the same facade will do (a model against a broken model, say).
The per-event path is the fast path: a slice of bytes against a slice of bytes costs well under a microsecond, so nothing is
gained by larger steps and the first event that differs is known at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from specs import laws as the_laws
from specs import rules
from specs.errors import TwinsDiffer
from specs.model.exchange import Exchange as Model
from specs.tape import EVENT, OUTCOME, OUTCOME_STRUCT

# Every table of state(): its columns in order, and how many of the first ones name a row.
COLUMNS: dict[str, tuple[tuple[str, ...], int]] = {
    "clock": (("now", "events", "engine_orders", "fills"), 0),
    "accounts": (("account", "owner", "has_parent", "parent", "status", "auto_add"), 1),
    "leverage": (("account", "market", "leverage"), 2),
    "balances": (("account", "asset", "balance"), 2),
    "positions": (("account", "market", "leg", "qty", "entry"), 3),
    "orders": (
        ("market", "side", "price", "place", "order_id", "account", "qty", "reduce_only")
        + ("shown", "display", "tif", "expiry_ns", "self_trade"),
        4,
    ),
    "waiting": (
        ("sequence", "order_id", "account", "market", "side", "kind", "by", "trigger", "best", "distance", "in_ppm")
        + ("price", "qty", "tif", "expiry_ns", "self_trade", "reduce_only", "close_only", "protect"),
        1,
    ),
    "reserved": (("account", "market", "buy_lots", "buy_value", "sell_lots", "sell_value"), 2),
    "sources": (("source", "there", "price", "time_ns"), 1),
    "indices": (("index", "grade", "price", "time_ns", "valid", "last_valid"), 1),
    "samples": (("index", "node", "place", "price"), 3),
    "marks": (("market", "grade", "price", "time_ns", "valid", "last_valid", "has_last_price", "last_price"), 1),
    "basis": (("market", "place", "basis"), 2),
    "premiums": (("market", "place", "premium"), 2),
    "settlements": (("market", "place", "price"), 2),
    "collateral": (("asset", "grade", "price", "time_ns", "valid", "last_valid"), 1),
    "weights": (("asset", "initial_weight_ppm"), 1),
    "episodes": (("account", "since_ns"), 1),
    "states": (("market", "state"), 1),
    "funding": (("market", "index", "premium", "samples"), 1),
    "timers": (("kind", "number", "time_ns"), 2),
    "quoters": (("quoter", "has_reference", "reference", "away", "return_ns"), 1),
    "seams": (("row", "held", "held_there", "held_price", "fired"), 1),
    "touched": (("account",), 1),
    "due": (("kind", "number"), 2),
    "fills": (("number", "taker", "maker", "market", "side", "price", "qty", "fee", "maker_fee", "busted"), 1),
    "levels": (("account", "level"), 1),
    "blocks": (("account", "window", "notional", "insurance"), 1),
    "changes": (("change", "announced", "effective_ns", "in_force", "in_force_ns"), 1),
    "brackets": (("market", "kept", "bracket", "notional_max", "leverage_max", "initial_ppm", "rate", "of", "amount"), 3),
    "haircuts": (("asset", "weight_ppm", "liability_weight_ppm", "convert_buffer_ppm"), 1),
    "grandfathered": (("account", "market"), 2),
    "stages": (("stage", "visits"), 1),
}
State = dict[str, list[tuple[int, ...]]]
ABSENT = "absent"


def outcome_difference(model: bytes, engine: bytes) -> tuple[str, Any, Any]:
    """Return (name, model's value, engine's value) of the first outcome field that differs: 'outcome[2].price'."""
    size = OUTCOME.itemsize
    for i in range(max(len(model), len(engine)) // size):
        left, right = model[i * size : (i + 1) * size], engine[i * size : (i + 1) * size]
        if not left or not right:
            kinds = [OUTCOME_STRUCT.unpack(side)[OUTCOME.names.index("kind")] if side else ABSENT for side in (left, right)]
            return f"outcome[{i}]", *kinds
        for name, x, y in zip(OUTCOME.names, OUTCOME_STRUCT.unpack(left), OUTCOME_STRUCT.unpack(right)):
            if x != y:
                return f"outcome[{i}].{name}", x, y
    raise AssertionError("the outcomes are equal")


def state_difference(model: State, engine: State) -> tuple[str, Any, Any]:
    """Return (name, model's value, engine's value) of the first state cell that differs: 'positions[(16, 0, 0)].qty'.

    A row that only one twin has is 'table[key]'. Rows are compared in order: where as many rows stand on both sides, a
    differing key is a differing cell like any other.
    """
    for table in [*model, *(t for t in engine if t not in model)]:
        if table not in model or table not in engine:
            return table, *(ABSENT if table not in side else "there" for side in (model, engine))
        left, right = model[table], engine[table]
        if left == right:
            continue
        names, keys = COLUMNS[table]
        if len(left) != len(right):
            have = [{row[:keys]: row for row in rows} for rows in (left, right)]
            for key in [*have[0], *have[1]]:
                if key not in have[0] or key not in have[1]:
                    return f"{table}[{key}]", *(side.get(key, ABSENT) for side in have)
            return f"{table}.rows", len(left), len(right)
        for row, other in zip(left, right):
            for name, x, y in zip(names, row, other):
                if x != y:
                    return f"{table}[{row[:keys]}].{name}", x, y
            if len(row) != len(other):
                return f"{table}[{row[:keys]}]", row, other
    raise AssertionError("the states are equal")


def first_difference(model: Any, engine: Any, events: int) -> tuple[int, str, Any, Any] | None:
    """Return (event, field, model's value, engine's value) of the first difference of two exchanges that ran the same events.

    All their outcomes first, then their states after the last of the `events`; None if they are equal. The fields are named as
    Lockstep names them.
    """
    ours, theirs = model.outcomes(), engine.outcomes()
    if ours.tobytes() != theirs.tobytes():
        event, said, other = _event_that_differs(ours, theirs)
        return event, *outcome_difference(said, other)
    left, right = model.state(), engine.state()
    return (max(events - 1, 0), *state_difference(left, right)) if left != right else None


def _event_that_differs(model: np.ndarray, engine: np.ndarray) -> tuple[int, bytes, bytes]:
    """Return the first event whose outcomes differ, and what either side says to it, packed."""
    common = min(len(model), len(engine))
    unlike = np.flatnonzero(model[:common] != engine[:common])
    row = int(unlike[0]) if len(unlike) else common
    event = min(int(side["event"][row]) for side in (model, engine) if row < len(side))
    first = row
    while first and model["event"][first - 1] == event:
        first -= 1

    def said(side: np.ndarray) -> bytes:
        last = row
        while last < len(side) and side["event"][last] == event:
            last += 1
        return side[first:last].tobytes()

    return event, said(model), said(engine)


def twin_class(which):
    """Return the exchange class of 'model' or 'engine'; a class is itself. The engine is imported only when it is asked for."""
    if which == "model":
        return Model
    if which == "engine":
        from engine.exchange import Exchange as Engine

        return Engine
    return which


def start(which, venue: rules.Venue, start_ns: int, seams=(), planted: int = 0):
    """Return an exchange of a twin, with a planted bug if one is named."""
    cls = twin_class(which)
    if not planted:
        return cls(venue, start_ns, seams)
    if issubclass(cls, Model):
        from fuzz.mutants import plant

        return plant(cls, planted)(venue, start_ns, seams)
    return cls(venue, start_ns, seams, planted=planted)


def restore(which, venue: rules.Venue, blob: bytes, planted: int = 0):
    """Return a twin's exchange from its own snapshot, with a planted bug if one is named."""
    cls = twin_class(which)
    if not planted:
        return cls.restore(venue, blob)
    if issubclass(cls, Model):
        from fuzz.mutants import plant

        return plant(cls, planted).restore(venue, blob)
    return cls.restore(venue, blob, planted=planted)


class Lockstep:
    """Two exchanges and one tape. `planted` plants a bug in the right one.

    Raises TwinsDiffer at the first event whose outcomes differ in any byte, or after which the states differ where they are
    compared; `laws` names laws that both sides must keep after every event (True: all), else LawBroken.
    """

    def __init__(self, venue: rules.Venue, start_ns: int, seams=(), planted: int = 0, *, left="model", right="engine") -> None:
        self.venue, self.events = venue, 0
        self.armed = frozenset(int(row[0]) for row in seams)
        self.left = start(left, venue, start_ns, seams)
        self.right = start(right, venue, start_ns, seams, planted)
        first = self.left.outcomes().tobytes(), self.right.outcomes().tobytes()
        if first[0] != first[1]:
            raise TwinsDiffer(0, *outcome_difference(*first))

    def run(self, events: np.ndarray, state_every: int | None = None, laws: Iterable[str] | bool | None = None) -> None:
        """Run a tape or its next part; compare states after every `state_every` events, and always at the end."""
        packed = np.ascontiguousarray(events, dtype=EVENT).tobytes()
        names = the_laws.CHECKED if laws is True else tuple(laws or ())
        left, right, size, since = self.left.apply, self.right.apply, EVENT.itemsize, 0
        before = (self.left.state(), self.right.state()) if names else None
        for at in range(0, len(packed), size):
            event = packed[at : at + size]
            ours, theirs = left(event), right(event)
            if ours != theirs:
                raise TwinsDiffer(self.events, *outcome_difference(ours, theirs))
            self.events += 1
            since += 1
            if names:
                after = self.compare_states()
                for twin in (0, 1):
                    the_laws.check(self.venue, before[twin], event, ours, after[twin], self.armed, names)
                before = after
            elif since == state_every:
                self.compare_states()
                since = 0
        self.compare_states()

    def compare_states(self) -> tuple[State, State]:
        """Raise TwinsDiffer if a cell of the states differs; return both."""
        model, engine = self.left.state(), self.right.state()
        if model != engine:
            raise TwinsDiffer(max(self.events - 1, 0), *state_difference(model, engine))
        return model, engine
