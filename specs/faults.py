"""Fault plans: what is broken (or repaired) on purpose, as data. All numbers are integers or decimal strings.

Three carriers. A *tape fault* rewrites the SOURCE events of one source in a window; fuzz/overlay.py applies it. A *seam fault* is
a row of the schedule that both twins read at a named point; `Plan.seam_rows` makes the rows. A *quoter fault* is an overlay on
the rule book's quoters; `Plan.rules` applies it. V1..V8 are the ids of the primitives in the project's fault taxonomy.

A window is half-open, [from, to). Faults act in the order of the plan, each on what the one before it left. For every tape fault:
one that computes with a price leaves events without a price alone, one that states a value states it on all; a price beyond 64
bits cannot be carried by a feed and becomes MISSING; rounding is toward -inf.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, StringConstraints, model_validator

from specs import units
from specs.errors import SpecError
from specs.load import near
from specs.rules import At, Name, Ns, Ppm, Row, Text, Venue
from specs.tape import SEAM_ANY, USERS_FROM, Seam, SeamKind
from specs.window import HalfOpenWindow

MAGNITUDE_MAX = 10**12  # ppm: a factor of a million, ten times beyond anything recorded
EXPONENT_MAX = 18
FAULTS_MAX = 1_024


def _decimal_text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a price; write whole units as a decimal in quotes, such as '0.65'")
    return value


Magnitude = Annotated[StrictInt, Field(ge=-MAGNITUDE_MAX, le=MAGNITUDE_MAX)]
Price = Annotated[str, StringConstraints(strict=True, pattern=r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$"), BeforeValidator(_decimal_text)]
"""A price in whole quote units as a decimal string; may be 0 or negative, for that is what is tested."""


def _units(price: str, decimals: int, path: tuple) -> int:
    """Return a Price in 10^-decimals. Raises At: digits below the unit, or beyond what an event can carry."""
    try:
        number = units.decimal_to_int(price, decimals)
    except ValueError as error:
        raise At(path, str(error), f"at most {decimals} decimals here") from None
    if abs(number) > units.INT64_MAX:
        raise At(path, f"{price} does not fit an event", f"at most {units.INT64_MAX} units of 10^-{decimals}")
    return number


def _row_number(venue: Venue, table: str, name: str, path: tuple) -> int:
    known = [row.name for row in getattr(venue, table)]
    if name not in known:
        raise At(path, f"'{name}' is not one of the {table} of {venue.name}", near(name, known))
    return known.index(name)


class _Toggled(Row):
    """Apart from Fault, so that the id comes before the window: fields stand in the order of the bases, the last one first."""

    id: Name
    enabled: StrictBool = True


class Fault(HalfOpenWindow, _Toggled):
    """What every fault has: a name to toggle it by and a window [from, to)."""

    def check(self, venue: Venue) -> None:
        """Raise At if the fault names something the venue does not have."""
        raise NotImplementedError


class TapeFault(Fault):
    """Acts on the SOURCE events of one source; CLOCK and every other kind pass untouched."""

    source: Name

    def number(self, venue: Venue) -> int:
        """Return the source's row number, its id on tape. Raises At if the venue has no such source."""
        return _row_number(venue, "sources", self.source, ("source",))

    def check(self, venue: Venue) -> None:
        self.number(venue)


class Stale(TapeFault):
    """V1: what the source said at the onset is held; its events keep coming.

    At the onset: its last event at or before `from`, MISSING or not; else its first event in the window.
    """

    kind: Literal["stale"]


class Spike(TapeFault):
    """V3: price x (1 + magnitude). impulse: the first event of the window that has a price; box: all of them."""

    kind: Literal["spike"]
    magnitude_ppm: Magnitude
    shape: Literal["impulse", "box"] = "box"


class Scale(TapeFault):
    """V5: price x 10^exponent (a decimal slip) or price x factor (a unit slip); exactly one of the two."""

    kind: Literal["scale"]
    exponent: Annotated[StrictInt, Field(ge=-EXPONENT_MAX, le=EXPONENT_MAX)] | None = None
    factor_ppm: Magnitude | None = None

    @model_validator(mode="after")
    def _one(self) -> Scale:
        if (self.exponent is None) == (self.factor_ppm is None):
            if self.exponent is None:
                raise At((), "'scale' needs exponent or factor_ppm", "exactly one of the two")
            raise At(("factor_ppm",), "'scale' has both exponent and factor_ppm", "exactly one of the two")
        return self


class Special(TapeFault):
    """V8: the price is 0, its own negative (V9), missing, or a constant (V7) in whole units."""

    kind: Literal["special"]
    value: Literal["zero", "negative", "missing", "constant"]
    price: Price | None = None

    @model_validator(mode="after")
    def _argument(self) -> Special:
        if (self.value == "constant") != (self.price is not None):
            if self.price is None:
                raise At(("value",), "'constant' needs a price", "price: a decimal in quotes, whole units")
            raise At(("price",), f"'{self.value}' takes no price", "price goes with 'constant' only")
        return self

    def constant(self, venue: Venue) -> int | None:
        """Return `price` in the source's units."""
        return None if self.price is None else _units(self.price, venue.sources[self.number(venue)].price_decimals, ("price",))

    def check(self, venue: Venue) -> None:
        self.constant(venue)
        self.number(venue)


class Dislocation(TapeFault):
    """V4: price x (1 + b(t)). b is the magnitude for hold_ns, then falls linearly to 0 over recovery_ns and stays there.

    b in ppm = magnitude x (what is left of the recovery) / recovery_ns, toward -inf, as a RAMP at a seam. recovery_ns absent:
    what is left of the window; 0: a step back.
    """

    kind: Literal["dislocation"]
    magnitude_ppm: Magnitude
    hold_ns: Annotated[StrictInt, Field(ge=0, le=units.TIMES_MAX_NS)] = 0
    recovery_ns: Annotated[StrictInt, Field(ge=0, le=units.TIMES_MAX_NS)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Dislocation:
        window = self.to_ns - self.from_ns
        if self.hold_ns > window:
            raise At(("hold_ns",), f"it holds for {self.hold_ns} ns in a window of {window} ns", "hold within the window")
        if self.recovery_ns is not None and self.hold_ns + self.recovery_ns > window:
            remedy = f"at most {window - self.hold_ns}, or a later 'to'"
            raise At(("recovery_ns",), f"it has not recovered when the window of {window} ns ends", remedy)
        return self

    def b_ppm(self, time_ns: int) -> int:
        """Return b at a time of the window, in ppm toward -inf."""
        recovery = self.to_ns - self.from_ns - self.hold_ns if self.recovery_ns is None else self.recovery_ns
        left = self.from_ns + self.hold_ns + recovery - time_ns
        if left > recovery:
            return self.magnitude_ppm
        return units.muldiv_floor(self.magnitude_ppm, left, recovery) if left > 0 else 0


class Drop(TapeFault):
    """The source's events vanish; a venue that has stale_after_ns will notice, one that has not will not."""

    kind: Literal["drop"]


class BySource(Row):
    """The true series is another source of the tape: its latest event at or before the repaired event's time.

    A finer unit than the repaired source's is rounded toward -inf. MISSING where the true source says so or has said nothing yet.
    """

    kind: Literal["source"]
    name: Name


class ByConstant(Row):
    """The true series is a constant in whole units, such as a redemption price of '1'."""

    kind: Literal["constant"]
    price: Price


class Repair(TapeFault):
    """The other direction: a recorded broken series is replaced by a named true one. The recorded times stay."""

    kind: Literal["repair"]
    by: Annotated[BySource | ByConstant, Field(discriminator="kind")]

    @model_validator(mode="after")
    def _other(self) -> Repair:
        if self.by.kind == "source" and self.by.name == self.source:
            raise At(("by", "name"), f"'{self.source}' would be repaired by itself", "name the true series")
        return self

    def truth(self, venue: Venue) -> tuple[int | None, int]:
        """Return (other source's number, decimals to add to its prices) or (None, constant in the repaired source's units)."""
        decimals = venue.sources[self.number(venue)].price_decimals
        if self.by.kind == "constant":
            return None, _units(self.by.price, decimals, ("by", "price"))
        other = _row_number(venue, "sources", self.by.name, ("by", "name"))
        return other, decimals - venue.sources[other].price_decimals

    def check(self, venue: Venue) -> None:
        self.truth(venue)


_ARGUMENT = {"const": "price", "scale": "ppm", "ramp": "ppm"}
_TABLES = {"source_read": "sources", "index_publish": "indices", "mark_publish": "markets"}


class SeamFault(Fault):
    """Acts where a rule reads or decides. key: a source, index, market or asset of that seam, an account number, or any.

    hold, scale, const, missing, ramp act on a price (specs.tape.SeamKind); force_true and force_false on the decision at
    liquidation_trigger. const takes `price` in whole units of the key, scale and ramp take `ppm`.
    """

    kind: Literal["seam"]
    at: Literal["source_read", "index_publish", "mark_publish", "collateral_price", "liquidation_trigger"]
    key: Name | Annotated[StrictInt, Field(ge=USERS_FROM, lt=SEAM_ANY)]
    does: Literal["hold", "scale", "const", "missing", "ramp", "force_true", "force_false"]
    ppm: Magnitude | None = None
    price: Price | None = None

    @model_validator(mode="after")
    def _combination(self) -> SeamFault:
        decides = self.at == "liquidation_trigger"
        if decides != self.does.startswith("force_"):
            right = "force_true or force_false" if decides else "hold, scale, const, missing or ramp; force_* acts on a decision"
            raise At(("does",), f"'{self.does}' cannot act at {self.at}", right)
        if decides and isinstance(self.key, str) and self.key != "any":
            raise At(("key",), f"'{self.key}' is not an account", f"an account number from {USERS_FROM}, or any")
        if not decides and isinstance(self.key, int):
            raise At(("key",), f"{self.key} is not a name", f"the name of what {self.at} prices, or any")
        for name in ("ppm", "price"):
            there = getattr(self, name) is not None
            if there != (_ARGUMENT.get(self.does) == name):
                takers = ", ".join(does for does, argument in _ARGUMENT.items() if argument == name)
                verb = "takes no" if there else "needs"
                raise At((name,) if there else ("does",), f"'{self.does}' {verb} {name}", f"{name} goes with {takers}")
        return self

    def keys(self, venue: Venue) -> list[tuple[int, int]]:
        """Return (number, price decimals) of what the key names, all of them for any. Raises At if there is none."""
        if self.at == "collateral_price":
            decimals = {row.name: row.price_decimals for row in venue.indices}
            known = {row.asset: (venue.number("assets", row.asset), decimals[row.index]) for row in venue.collateral}
            what = "collateral assets"
        else:
            what = _TABLES[self.at]
            known = {row.name: (i, row.price_decimals) for i, row in enumerate(getattr(venue, what))}
        if not known or (self.key != "any" and self.key not in known):
            raise At(("key",), f"'{self.key}' is not one of the {what} of {venue.name}", near(str(self.key), known))
        return list(known.values()) if self.key == "any" else [known[self.key]]

    def rows(self, venue: Venue) -> list[tuple[int, int, int, int, int, int]]:
        """Return the schedule rows (seam, key, from_ns, to_ns, kind, argument).

        Any is one row with SEAM_ANY, but a hold of any is a row a key: each holds its own value, not the first key's.
        """
        seam, kind = Seam[self.at.upper()], SeamKind[self.does.upper()]
        if seam == Seam.LIQUIDATION_TRIGGER:
            return [(seam, SEAM_ANY if self.key == "any" else self.key, self.from_ns, self.to_ns, kind, 0)]
        keys = self.keys(venue)
        argument = self.ppm or 0
        if self.price is not None:
            places = {decimals for _, decimals in keys}
            if len(places) > 1:
                raise At(("key",), "one price for keys of different price_decimals", "a fault a key")
            argument = _units(self.price, places.pop(), ("price",))
        numbers = [SEAM_ANY] if self.key == "any" and kind != SeamKind.HOLD else [number for number, _ in keys]
        return [(seam, number, self.from_ns, self.to_ns, kind, argument) for number in numbers]

    def check(self, venue: Venue) -> None:
        self.rows(venue)


class QuoterFault(Row):
    """Overlay on quoters: other rows of these quoters for the whole run; fields that are not given stay.

    It has no window: the quoter's own rule says when it leaves. A rule book whose quoters already say so is left as it is.
    """

    id: Name
    enabled: StrictBool = True
    kind: Literal["quoter"]
    accounts: Annotated[list[Annotated[StrictInt, Field(ge=USERS_FROM, lt=SEAM_ANY)]], Field(min_length=1)]
    exit_move_ppm: Ppm | None = None
    inventory_max: Annotated[StrictInt, Field(ge=1, le=units.POSITION_MAX)] | None = None
    return_ns: Ns | None = None

    @model_validator(mode="after")
    def _something(self) -> QuoterFault:
        if not self.update():
            raise At((), "'quoter' changes nothing", "exit_move_ppm, inventory_max or return_ns")
        return self

    def update(self) -> dict[str, int]:
        """Return the fields of a quoter row that this fault sets."""
        given = {name: getattr(self, name) for name in ("exit_move_ppm", "inventory_max", "return_ns")}
        return {name: value for name, value in given.items() if value is not None}

    def check(self, venue: Venue) -> None:
        """Raise At if the venue has no such quoter."""
        known = [row.account for row in venue.quoters]
        for i, account in enumerate(self.accounts):
            if account not in known:
                raise At(
                    ("accounts", i),
                    f"{account} is not a quoter of {venue.name}",
                    "known: " + (", ".join(map(str, known)) or "none"),
                )

    def rules(self, venue: Venue) -> Venue:
        """Return the rule book with these quoters' rows changed."""
        rows = [row.model_copy(update=self.update()) if row.account in self.accounts else row for row in venue.quoters]
        return venue.model_copy(update={"quoters": rows})


AnyFault = Annotated[
    Stale | Spike | Scale | Special | Dislocation | Drop | Repair | SeamFault | QuoterFault, Field(discriminator="kind")
]


class Plan(Row):
    """A named list of faults, applied in this order. A plan without faults is the tape as it is."""

    schema_version: Literal[1]
    name: Name
    title: Text = ""
    faults: Annotated[list[AnyFault], Field(max_length=FAULTS_MAX)]

    @model_validator(mode="after")
    def _ids(self) -> Plan:
        seen = set()
        for i, fault in enumerate(self.faults):
            if fault.id in seen:
                raise At(("faults", i, "id"), f"fault '{fault.id}' is defined twice", "an id of its own: it is toggled by it")
            seen.add(fault.id)
        return self

    def check(self, venue: Venue, path: tuple = ()) -> None:
        """Raise At if a fault, enabled or not, names something the venue does not have. `path` leads to this plan in its file.

        Meant for specs.load: load(file, Plan, check=lambda plan: plan.check(venue)) gives file:line:column.
        """
        rows = 0
        for i, fault in enumerate(self.faults):
            try:
                fault.check(venue)
                rows += len(fault.rows(venue)) if fault.kind == "seam" else 0
            except At as error:
                raise At((*path, "faults", i, *error.path), error.problem, error.remedy) from None
            if rows > units.SEAM_ROWS_MAX:
                raise At((*path, "faults", i), f"the schedule has more than {units.SEAM_ROWS_MAX} rows", "fewer seam faults")

    def require(self, venue: Venue) -> None:
        """Raise SpecError if the plan does not fit the venue, by fault id: for plans whose file is no longer at hand."""
        try:
            self.check(venue)
        except At as error:
            _, i, *below = error.path
            where = ".".join(["faults", self.faults[i].id, *map(str, below)])
            raise SpecError(f"{where}: {error.problem}", where=f"plan {self.name}", remedy=error.remedy) from None

    def seam_rows(self, venue: Venue) -> list[tuple[int, int, int, int, int, int]]:
        """Return the schedule of the enabled seam faults: (seam, key, from_ns, to_ns, kind, argument), in the plan's order.

        Raises SpecError if the plan does not fit the venue.
        """
        self.require(venue)
        return [row for fault in self.faults if fault.enabled and fault.kind == "seam" for row in fault.rows(venue)]

    def rules(self, venue: Venue) -> Venue:
        """Return the rule book with the enabled quoter faults applied, in order. Raises SpecError if the plan does not fit."""
        self.require(venue)
        for fault in self.faults:
            if fault.enabled and fault.kind == "quoter":
                venue = fault.rules(venue)
        return venue

    def _known(self, ids: Iterable[str]) -> set[str]:
        known = [fault.id for fault in self.faults]
        wanted = list(ids)
        for name in wanted:
            if name not in known:
                raise SpecError(f"there is no fault '{name}' in plan {self.name}", remedy=near(name, known))
        return set(wanted)

    def _toggled(self, on: dict[str, bool]) -> Plan:
        return self.model_copy(update={"faults": [fault.model_copy(update={"enabled": on[fault.id]}) for fault in self.faults]})

    def only(self, ids: Iterable[str]) -> Plan:
        """Return the plan with these faults on and all others off. Raises SpecError for an id it does not have."""
        wanted = self._known(ids)
        return self._toggled({fault.id: fault.id in wanted for fault in self.faults})

    def without(self, ids: Iterable[str]) -> Plan:
        """Return the plan with these faults off, the others as they are. Raises SpecError for an id it does not have."""
        off = self._known(ids)
        return self._toggled({fault.id: fault.enabled and fault.id not in off for fault in self.faults})
