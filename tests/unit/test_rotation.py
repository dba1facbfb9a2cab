"""Replacing a secret: which ones sign when, and how the headers carry them."""

from __future__ import annotations

import pytest

from riverflow._rotation import rotated, secrets_of
from riverflow._signatures import signature_headers
from riverflow.builtin.signing import ModelRiverSigner, StandardSigner, XModelRiverSigner
from riverflow.models import Endpoint, OutgoingMessage, Project, RetiredSecret

FIRST = Endpoint(id="ep", url="https://example.com", secret="whsec_Zmlyc3Q=")
SECOND, THIRD = "whsec_c2Vjb25k", "whsec_dGhpcmQ="
MESSAGE = OutgoingMessage(id="dlv_1", timestamp=100, body=b'{"a":1}', channel_id="c")
DAY = 86_400.0


def test_the_old_secret_holds_for_the_overlap_and_not_longer() -> None:
    after = rotated(FIRST, SECOND, 100.0, DAY)
    assert after.secret == SECOND
    assert secrets_of(after, 100.0) == [SECOND, FIRST.secret]
    assert secrets_of(after, 100.0 + DAY - 0.001) == [SECOND, FIRST.secret]
    assert secrets_of(after, 100.0 + DAY) == [SECOND]


def test_a_second_rotation_does_not_shorten_the_first_ones_overlap() -> None:
    after = rotated(rotated(FIRST, SECOND, 0.0, DAY), THIRD, 10.0, 60.0)
    assert secrets_of(after, 10.0) == [THIRD, SECOND, FIRST.secret]
    assert secrets_of(after, 70.0) == [THIRD, FIRST.secret]
    assert rotated(after, "whsec_eA==", 2 * DAY, 1.0).retired == (RetiredSecret(secret=THIRD, until=2 * DAY + 1),)


def test_no_overlap_ends_all_old_secrets_at_once() -> None:
    after = rotated(rotated(FIRST, SECOND, 0.0, DAY), THIRD, 10.0, 0.0)
    assert after.retired == ()
    assert secrets_of(after, 10.0) == [THIRD]


def test_only_so_many_old_secrets_are_kept() -> None:
    endpoint = FIRST
    for number in range(20):
        endpoint = rotated(endpoint, f"whsec_{number}", float(number), DAY)
    assert secrets_of(endpoint, 20.0) == [f"whsec_{number}" for number in range(19, 13, -1)]


def test_a_project_without_a_secret_has_nothing_to_retire() -> None:
    project = Project(id="p", name="p")
    assert secrets_of(project, 0.0) == []
    assert secrets_of(rotated(project, SECOND, 0.0, DAY), 0.0) == [SECOND]


def test_a_retired_secret_of_code_holds_while_it_is_listed() -> None:
    endpoint = Endpoint(url="https://example.com", secret=SECOND, retired=(RetiredSecret(secret=FIRST.secret),))
    assert secrets_of(endpoint, 1e12) == [SECOND, FIRST.secret]


@pytest.mark.parametrize("secrets", [[SECOND], [SECOND, FIRST.secret], [THIRD, SECOND, FIRST.secret]])
def test_a_list_of_signatures_has_one_of_each_secret_newest_first(secrets: list[str]) -> None:
    signer = StandardSigner()
    headers = signature_headers([signer], MESSAGE, secrets)
    each = [signer.sign(MESSAGE, secret)["webhook-signature"] for secret in secrets]
    assert headers == {**signer.sign(MESSAGE, secrets[0]), "webhook-signature": " ".join(each)}


@pytest.mark.parametrize("signer", [ModelRiverSigner(), XModelRiverSigner()])
def test_a_single_signature_is_the_oldest_secrets_until_its_overlap_is_over(
    signer: ModelRiverSigner | XModelRiverSigner,
) -> None:
    assert signature_headers([signer], MESSAGE, [SECOND, FIRST.secret]) == signer.sign(MESSAGE, FIRST.secret)
    assert signature_headers([signer], MESSAGE, [SECOND]) == signer.sign(MESSAGE, SECOND)


def test_signers_are_additive() -> None:
    signers = [ModelRiverSigner(), StandardSigner()]
    headers = signature_headers(signers, MESSAGE, [SECOND, FIRST.secret])
    assert {"mr-signature", "webhook-signature"} <= set(headers)
