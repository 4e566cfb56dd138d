"""Records that nobody documents: each comes out once, as an event or with a reason, never as our fault."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sekisho.contract import Json
from tests.content.cases import Case, cases, content, run

JSON_CASES = [
    case
    for case in cases()
    if isinstance(content().sources[case.source].decode, Json) and case.wrapping == "none"
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["", "unknown", "::1", "1e400", "9" * 30, "2026-02-30T00:00:00Z", "0001-01-01T00:00:00+14:00"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=4,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += _places(inner, (*path, index))
    return found


@st.composite
def _spoilt(draw: st.DrawFn) -> Case:
    """A case in which one to three values, wherever they are, became something else or vanished."""
    case = draw(st.sampled_from(JSON_CASES))
    value = json.loads(case.body)
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(_places(value)))
        holder = value
        for part in parents:
            holder = holder[part]
        if draw(st.booleans()):
            holder[last] = draw(VALUES)
        elif isinstance(holder, dict) and len(holder) > 1:
            del holder[last]
    return case._replace(body=json.dumps(value).encode("utf-8", "surrogatepass"))


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(_spoilt())
def test_a_spoilt_record_is_an_event_or_a_reject_of_its_own_fault(case: Case) -> None:
    result = run(case)
    assert result.get("reject") != "mapping-fault", result.get("why")
