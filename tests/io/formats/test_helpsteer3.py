"""HelpSteer3: the sign of the preference names the chosen response; ties and bad values are quarantined."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curate.io.detect import call, detect, named
from curate.io.formats.messages_common import MESSAGES_ROLES
from curate.io.formats.preference import helpsteer3
from curate.io.parse import parse_lines, parse_objects

FIRST = {"score": -2, "reasoning": "Shorter.", "feedback1": "Good.", "feedback2": "Long."}
ROW: dict[str, Any] = {
    "domain": "code",
    "language": "python",
    "context": [{"role": "user", "content": "Sort a list."}],
    "response1": "sorted(x)",
    "response2": "Write a loop.",
    "overall_preference": -2,
    "individual_preference": [FIRST],
}
REST = {name: ROW[name] for name in ("domain", "language", "individual_preference")}

A_ROLE = f"a role: {', '.join(MESSAGES_ROLES)}; not "


def both(row: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Parse one row as JSON and as Python values; both must agree."""
    found = parse_lines([json.dumps(row).encode()], [1], helpsteer3(), "id")
    same = parse_objects([row], [1], helpsteer3(), "id")
    assert found.body.drop_columns(["meta"]) == same.body.drop_columns(["meta"])
    assert found.bad.drop_columns(["excerpt"]) == same.bad.drop_columns(["excerpt"])
    return found.body.to_pylist(), found.bad.to_pylist()


@pytest.mark.parametrize("preference", [-3, -2, -1, 1, 2, 3])
def test_the_sign_names_the_chosen_response(preference: int) -> None:
    (made,), bad = both({**ROW, "overall_preference": preference})
    assert bad == []
    assert made["prompt"] == ROW["context"]
    first, second = ([{"role": "assistant", "content": ROW[name]}] for name in ("response1", "response2"))
    assert (made["chosen"], made["rejected"]) == ((first, second) if preference < 0 else (second, first))
    assert (made["chosen_score"], made["rejected_score"]) == (None, None)
    assert json.loads(made["meta"]) == {**REST, "overall_preference": preference}


@pytest.mark.parametrize(
    ("change", "column", "expected"),
    [
        ({"overall_preference": 0}, "overall_preference", "a preference for one response, not 0 (a tie)"),
        ({"overall_preference": 4}, "overall_preference", "a whole number from -3 to 3, not 4"),
        ({"overall_preference": -4}, "overall_preference", "a whole number from -3 to 3, not -4"),
        ({"overall_preference": "much"}, "overall_preference", 'a number, or "N/A"'),
        ({"overall_preference": 1.5}, "overall_preference", "int | str, not float"),
        ({"context": []}, "context", "at least one message"),
        (
            {"context": [{"role": "narrator", "content": "x"}]},
            "context[0].role",
            f"{A_ROLE}'narrator'",
        ),
        ({"response1": "a\0"}, "response1", "text without NUL"),
        ({"response2": 3}, "response2", "str, not int"),
    ],
)
def test_a_tie_and_bad_values_are_quarantined(change: dict[str, Any], column: str, expected: str) -> None:
    made, (bad,) = both({**ROW, **change})
    assert made == []
    assert (bad["line"], bad["column"], bad["expected"]) == (1, column, expected)


def test_a_missing_preference_is_quarantined_and_empty_text_is_not() -> None:
    _, (bad,) = both({name: value for name, value in ROW.items() if name != "overall_preference"})
    assert (bad["column"], bad["expected"]) == ("overall_preference", "a field of this name")
    (made,), _ = both({**ROW, "response2": ""})
    assert made["rejected"] == [{"role": "assistant", "content": ""}]


def test_several_turns_and_other_fields_of_messages_are_kept() -> None:
    context = [
        {"role": "user", "content": "Hi", "name": "Ann"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "שלום 你好"},
    ]
    (made,), _ = both({**ROW, "context": context})
    assert [turn["content"] for turn in made["prompt"]] == ["Hi", "Hello.", "שלום 你好"]
    assert json.loads(made["meta"])["context"] == [{"name": "Ann"}, {}, {}]


def test_it_is_detected_and_has_a_name() -> None:
    found = detect([json.dumps(ROW).encode()] * 9 + [json.dumps({**ROW, "overall_preference": 0}).encode()], "x")
    assert call(found.format) == "helpsteer3()"
    assert found.why.startswith("auto: 9 of the first 10 rows have context, overall_preference, response1, response2")
    assert named("helpsteer3") == helpsteer3()
