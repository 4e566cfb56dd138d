"""What a result code says of the secret; what it does not say is not known."""

from __future__ import annotations

from typing import Any

import pytest

from sekisho.contract.results import RIGHT_CODES, WRONG_CODES, Secret, plain_code, secret


def of(**columns: Any) -> Secret:
    names = ("status_id", "status_code", "status_detail", "disposition_id", "policy_name")
    return secret({"class_uid": 3002, **dict.fromkeys(names), **columns})


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        ({"status_id": 1}, Secret.RIGHT),
        ({"status_id": 1, "class_uid": 6003}, Secret.RIGHT),
        ({"status_id": 1, "class_uid": 3001}, Secret.UNKNOWN),
        ({"status_id": 2}, Secret.UNKNOWN),
        ({}, Secret.UNKNOWN),
        ({"status_id": 2, "status_code": "0XC000006E"}, Secret.RIGHT),
        ({"status_id": 2, "status_code": "-1073741714"}, Secret.RIGHT),
        ({"status_id": 2, "status_code": "50126"}, Secret.WRONG),
        ({"status_id": 2, "status_detail": "INVALID_CREDENTIALS"}, Secret.WRONG),
        ({"status_id": 2, "status_code": "50034"}, Secret.UNKNOWN),
        ({"status_id": 2, "status_code": "0xc0000072"}, Secret.UNKNOWN),
        ({"status_id": 2, "disposition_id": 2, "policy_name": "deny"}, Secret.RIGHT),
        ({"status_id": 2, "disposition_id": 2}, Secret.UNKNOWN),
        ({"status_id": 2, "class_uid": 3001, "status_code": "53003"}, Secret.UNKNOWN),
    ],
)
def test_outcomes(columns: dict[str, Any], wanted: Secret) -> None:
    assert of(**columns) is wanted


def test_codes_stand_in_the_form_they_are_compared_in() -> None:
    assert not RIGHT_CODES & WRONG_CODES
    assert all(plain_code(code) == code for code in RIGHT_CODES | WRONG_CODES)
