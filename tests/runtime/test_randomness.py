from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from skbert.runtime.randomness import draw_seed, isolated_random_state

CPU = torch.device("cpu")


def global_numpy_state():
    kind, keys, position, *_ = np.random.get_state()  # noqa: NPY002 - what is tested
    return kind, keys.tolist(), position


# --- draw_seed ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1, np.int64(7), np.uint8(7)])
def test_an_int_is_the_seed(seed):
    drawn = draw_seed(seed)

    assert drawn == seed
    assert type(drawn) is int
    assert draw_seed(seed) == drawn


def test_a_random_state_gives_its_next_number():
    state = np.random.RandomState(0)

    drawn = [draw_seed(state) for _ in range(3)]

    same = np.random.RandomState(0)
    assert drawn == [same.randint(2**31 - 1) for _ in range(3)]
    assert len(set(drawn)) == 3
    assert all(type(seed) is int for seed in drawn)


def test_none_draws_a_seed_that_nobody_knows():
    seeds = {draw_seed(None) for _ in range(5)}

    # Five draws of 32 bits are the same once in 400 million runs.
    assert len(seeds) == 5
    assert all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds)


@pytest.mark.parametrize("random_state", [None, 0, np.random.RandomState(0)])
def test_the_global_random_state_of_numpy_is_left_alone(random_state):
    before = global_numpy_state()
    draw_seed(random_state)
    assert global_numpy_state() == before


def test_none_does_not_depend_on_the_global_random_state_of_numpy():
    before = np.random.get_state()  # noqa: NPY002
    seeds = []
    for _ in range(2):
        np.random.set_state(before)  # noqa: NPY002
        seeds.append(draw_seed(None))
    assert seeds[0] != seeds[1]


# --- isolated_random_state ------------------------------------------------------------


def test_the_same_seed_gives_the_same_numbers():
    drawn = []
    for seed in (3, 3, 4):
        with isolated_random_state(seed, CPU):
            drawn.append(torch.rand(5).tolist())
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_numbers_do_not_depend_on_what_was_drawn_before():
    drawn = []
    for _ in range(2):
        torch.rand(3)
        with isolated_random_state(3, CPU):
            drawn.append(torch.rand(5).tolist())
    assert drawn[0] == drawn[1]


def test_torchs_generator_is_restored():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        expected = torch.rand(4).tolist()
        torch.manual_seed(11)
        first = torch.rand(2).tolist()
        with isolated_random_state(3, CPU):
            torch.rand(100)
        assert first + torch.rand(2).tolist() == expected


def test_torchs_generator_is_restored_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(KeyError):
        with isolated_random_state(3, CPU):
            torch.rand(100)
            raise KeyError
    assert torch.equal(torch.get_rng_state(), before)


def test_blocks_can_be_nested():
    with isolated_random_state(3, CPU):
        expected = torch.rand(2).tolist()
    with isolated_random_state(3, CPU):
        with isolated_random_state(4, CPU):
            torch.rand(100)
        assert torch.rand(2).tolist() == expected


def test_threads_do_not_draw_from_each_others_numbers():
    def draw(seed):
        with isolated_random_state(seed, CPU):
            return torch.cat([torch.rand(1) for _ in range(2_000)]).tolist()

    before = torch.get_rng_state()
    alone = [draw(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw, range(4))) == alone
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("seed", [0, 2**31 - 2, 2**32 - 1])
def test_every_seed_that_is_drawn_is_one_for_torch(seed):
    with isolated_random_state(seed, CPU):
        assert torch.initial_seed() == seed


def test_a_fit_on_the_cpu_leaves_the_gpus_alone(monkeypatch):
    """torch.manual_seed seeds the generators of all devices, not the CPU's only."""
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    monkeypatch.setattr(torch.cuda, "manual_seed", seeded.append)
    with isolated_random_state(3, CPU):
        torch.rand(1)
    assert seeded == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_generators_of_gpus_are_restored(device):
    before = torch.cuda.get_rng_state_all()
    with isolated_random_state(3, torch.device(device)):
        first = torch.rand(3, device=device).tolist()
    for state, after in zip(before, torch.cuda.get_rng_state_all(), strict=True):
        assert torch.equal(state, after)
    with isolated_random_state(3, torch.device(device)):
        assert torch.rand(3, device=device).tolist() == first
