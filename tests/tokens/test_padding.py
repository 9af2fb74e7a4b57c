import numpy as np
import pytest
import torch

from ragged import ragged
from skbert.tokens.padding import Padding, pad


def test_padding_goes_to_the_longest_of_the_batch():
    ids, mask = pad(ragged([2, 5, 3]), np.array([2, 0]), Padding(pad_id=7))
    assert ids.tolist() == [[200, 201, 202], [0, 1, 7]]
    assert mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert ids.dtype == mask.dtype == torch.int64


def test_padding_may_come_first():
    padding = Padding(7, multiple_of=2, left=True)
    ids, mask = pad(ragged([2, 5, 3]), np.array([2, 0]), padding)
    assert ids.tolist() == [[7, 200, 201, 202], [7, 7, 0, 1]]
    assert mask.tolist() == [[0, 1, 1, 1], [0, 0, 1, 1]]


def test_padding_is_rounded_up():
    ids, mask = pad(ragged([2, 5]), np.array([1]), Padding(0, multiple_of=4))
    assert ids.tolist() == [[100, 101, 102, 103, 104, 0, 0, 0]]
    assert mask.sum() == 5


def test_padding_ends_where_the_model_does():
    padding = Padding(0, multiple_of=8, most=12)
    assert [padding.width(n) for n in (0, 1, 8, 9, 12)] == [8, 8, 8, 12, 12]
    assert padding.width(13) == 13  # what is longer is the model's to refuse


@pytest.mark.parametrize("most", [5, 60, 64, 128, 200, 512, 8192])
@pytest.mark.parametrize("group", [1, 4])
def test_a_coarse_padding_has_few_lengths(most, group):
    most = -(-most // group) * group
    padding = Padding(7, group, most).coarse()
    widths = {padding.width(n) for n in range(1, most + 1)}
    assert len(widths) <= 16
    assert max(widths) == most
    assert all(width % 8 == 0 or width == most for width in widths)
    assert all(width % group == 0 for width in widths)
    assert padding.pad_id == 7


def test_one_length_for_all_stays_one():
    padding = Padding(0, 36, 36).coarse()
    assert {padding.width(n) for n in range(1, 37)} == {36}


def test_a_text_without_tokens_is_one_padding_token():
    ids, mask = pad(ragged([0, 2]), np.array([0]), Padding(pad_id=3))
    assert ids.tolist() == [[3]]
    assert mask.tolist() == [[0]]


def test_relative_padding_has_eight_lengths_per_octave():
    padding = Padding(relative=True)
    widths = [padding.width(n) for n in range(16, 33)]
    assert widths == [16, *(n for n in range(18, 33, 2) for _ in range(2))]
    assert [padding.width(n) for n in range(16)] == [1, *range(1, 16)]
    assert len({padding.width(n) for n in range(64, 128)}) == 9
    assert all(n <= padding.width(n) <= 1.125 * n for n in range(1, 600))
    assert Padding(multiple_of=4, relative=True).width(17) == 20
    assert Padding(most=77, relative=True).width(75) == 77
