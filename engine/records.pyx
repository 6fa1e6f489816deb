"""What this build is, and its record layouts and enums: data for whoever must compare them, no behaviour."""

from engine.records cimport *


cdef extern from "build.h":
    const char* BUILD_MODE "RISKBED_BUILD_MODE"


cdef extern from "digest.h":
    const char* BUILD_DIGEST "RISKBED_BUILD_DIGEST"


BUILD = {"mode": BUILD_MODE.decode(), "digest": BUILD_DIGEST.decode(), "checked": bool(CHECKED)}
CONSTANTS = {
    "SCHEMA_VERSION": SCHEMA_VERSION,
    "USERS_FROM": USERS_FROM,
    "ENGINE_ORDER": ENGINE_ORDER,
    "SEAM_ANY": SEAM_ANY,
}

cdef Event _event
cdef Outcome _outcome


cdef tuple _field(str name, const void* record, const void* field, size_t size):
    """Return (name, offset in bytes, size in bytes)."""
    return name, <size_t>field - <size_t>record, size


LAYOUT = {
    "Event": [
        _field("time_ns", &_event, &_event.time_ns, sizeof(_event.time_ns)),
        _field("ref_id", &_event, &_event.ref_id, sizeof(_event.ref_id)),
        _field("price", &_event, &_event.price, sizeof(_event.price)),
        _field("qty", &_event, &_event.qty, sizeof(_event.qty)),
        _field("amount_lo", &_event, &_event.amount_lo, sizeof(_event.amount_lo)),
        _field("amount_hi", &_event, &_event.amount_hi, sizeof(_event.amount_hi)),
        _field("account", &_event, &_event.account, sizeof(_event.account)),
        _field("batch_left", &_event, &_event.batch_left, sizeof(_event.batch_left)),
        _field("source", &_event, &_event.source, sizeof(_event.source)),
        _field("market", &_event, &_event.market, sizeof(_event.market)),
        _field("leg", &_event, &_event.leg, sizeof(_event.leg)),
        _field("asset", &_event, &_event.asset, sizeof(_event.asset)),
        _field("kind", &_event, &_event.kind, sizeof(_event.kind)),
        _field("side", &_event, &_event.side, sizeof(_event.side)),
        _field("tif", &_event, &_event.tif, sizeof(_event.tif)),
        _field("flags", &_event, &_event.flags, sizeof(_event.flags)),
    ],
    "Outcome": [
        _field("time_ns", &_outcome, &_outcome.time_ns, sizeof(_outcome.time_ns)),
        _field("ref_id", &_outcome, &_outcome.ref_id, sizeof(_outcome.ref_id)),
        _field("other_id", &_outcome, &_outcome.other_id, sizeof(_outcome.other_id)),
        _field("price", &_outcome, &_outcome.price, sizeof(_outcome.price)),
        _field("qty", &_outcome, &_outcome.qty, sizeof(_outcome.qty)),
        _field("money_lo", &_outcome, &_outcome.money_lo, sizeof(_outcome.money_lo)),
        _field("money_hi", &_outcome, &_outcome.money_hi, sizeof(_outcome.money_hi)),
        _field("event", &_outcome, &_outcome.event, sizeof(_outcome.event)),
        _field("account", &_outcome, &_outcome.account, sizeof(_outcome.account)),
        _field("other", &_outcome, &_outcome.other, sizeof(_outcome.other)),
        _field("market", &_outcome, &_outcome.market, sizeof(_outcome.market)),
        _field("leg", &_outcome, &_outcome.leg, sizeof(_outcome.leg)),
        _field("asset", &_outcome, &_outcome.asset, sizeof(_outcome.asset)),
        _field("round", &_outcome, &_outcome.round, sizeof(_outcome.round)),
        _field("kind", &_outcome, &_outcome.kind, sizeof(_outcome.kind)),
        _field("reason", &_outcome, &_outcome.reason, sizeof(_outcome.reason)),
        _field("stage", &_outcome, &_outcome.stage, sizeof(_outcome.stage)),
        _field("side", &_outcome, &_outcome.side, sizeof(_outcome.side)),
        _field("grade", &_outcome, &_outcome.grade, sizeof(_outcome.grade)),
        _field("flow", &_outcome, &_outcome.flow, sizeof(_outcome.flow)),
    ],
}
SIZES = {"Event": sizeof(Event), "Outcome": sizeof(Outcome)}


cdef dict _members(object enum):
    """Return {name: value} of a C enum, its names without the prefix that C needs."""
    return {name.partition("_")[2]: int(member) for name, member in enum.__members__.items()}


ENUMS = {
    enum.__name__: _members(enum)
    for enum in (
        EventKind, Side, Tif, Flag, SelfTrade, TriggerBy, Leg, Chart, OutcomeKind, Reason, Grade, Action, MarketState, Permit, Stage, Flow, Status, Seam, SeamKind
    )
}
