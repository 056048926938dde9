"""What of an item is scored."""

from dataclasses import replace

import numpy as np
import pytest

from audit.items import Item
from tests.audit.models import tiny
from tests.audit.texts import ORDINARY

TEXT = ORDINARY["eng"][0]


@pytest.mark.parametrize("item", [Item("", TEXT, "bos"), Item("", TEXT, "none"), Item(TEXT, f" {TEXT}", "none")])
@pytest.mark.parametrize("most", [1, 3, 999])
def test_the_first_tokens_alone_are_scored_as_in_the_whole(item: Item, most: int) -> None:
    whole, part = tiny().log_likelihood([item, replace(item, most=most)], too_long="cut")
    alone = tiny().log_likelihood([replace(item, most=most)], too_long="cut")
    for score in (part, *alone):
        assert score.encoded == replace(whole.encoded, token_ids=whole.encoded.token_ids[:most])
        np.testing.assert_allclose(score.log_likelihoods, whole.log_likelihoods[:most], atol=2e-5, rtol=0)
