"""Recorded steps against eager ones.

CUDA graphs need a GPU. Elsewhere `Again` stands for the recording: at every replay it
calls the function once more, on the same memory. What is particular to a GPU is tested
at the end, where there is one.
"""

import copy
import gc
import subprocess
import sys
import warnings
import weakref
from functools import partial

import pytest
import torch
from torch import nn

import skbert.training.graphs
from skbert.prediction.graphs import GraphedForward
from skbert.runtime.cuda_graphs import CudaRecorder, RecordingError
from skbert.tokens.batching import Batch
from skbert.training.graphs import (
    MOST_LENGTHS,
    CompiledLayers,
    GraphedStep,
    with_graphs,
)
from skbert.training.losses import MultiLabelLoss
from skbert.training.optimizer import linear_schedule
from skbert.training.step import TrainingStep

CPU = torch.device("cpu")

needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA device"
)


class Again:
    """Stands for `CudaRecorder`: warms up like it, and replays by calling again."""

    def __init__(self, device=None):
        self.n_recordings = 0

    def __call__(self, function, warm_up):
        self.n_recordings += 1
        warm_up()
        warm_up()
        return function


class Text(nn.Module):
    """Embeddings, a layer that mixes the tokens, mean pooling, a head."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.embeddings = nn.Embedding(20, 8)
        self.layer = nn.TransformerEncoderLayer(
            8, 2, 16, dropout=dropout, batch_first=True
        )
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids, attention_mask):
        mask = attention_mask.unsqueeze(-1).float()
        states = self.layer(
            self.embeddings(input_ids), src_key_padding_mask=attention_mask == 0
        )
        return self.head((states * mask).sum(1) / mask.sum(1))


def make_batch(n=4, width=6, seed=0, ends_step=True, device=CPU):
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, width, (n, 1), generator=g)
    return Batch(
        input_ids=torch.randint(0, 20, (n, width), generator=g),
        attention_mask=(torch.arange(width) < lengths).long(),
        targets=torch.randint(0, 2, (n, 3), generator=g).float(),
        weights=torch.rand(n, 3, generator=g) / (3 * n),
        ends_step=ends_step,
    ).to(device)


def make_batches(n_batches=24, *, accumulation=1, device=CPU):
    """Two widths; every fifth batch is short."""
    return [
        make_batch(
            n=3 if i % 5 == 4 else 4,
            width=6 if i % 7 < 4 else 8,
            seed=i,
            ends_step=i % accumulation == accumulation - 1,
            device=device,
        )
        for i in range(n_batches)
    ]


def make_step(module, *, rate=0.01, device=CPU, **kwargs):
    optimizer = torch.optim.AdamW(
        module.parameters(),
        lr=torch.tensor(rate, device=device),
        # Attention does not depend on the keys' bias: its gradient is rounding, which
        # Adam would blow up.
        eps=1e-3,
        fused=True,
        capturable=True,
    )
    options = {"device": device, "precision": "fp32", "max_grad_norm": 1.0}
    return TrainingStep(
        module,
        MultiLabelLoss(),
        optimizer,
        linear_schedule(optimizer, 100, 0.1),
        **(options | kwargs),
    )


def twins(dropout=0.0, device=CPU, **kwargs):
    """Give an eager step and one that is going to be recorded, of equal modules."""
    torch.manual_seed(0)
    module = Text(dropout).to(device).train()
    other = copy.deepcopy(module)
    eager = make_step(module, device=device, **kwargs)
    record = CudaRecorder(device) if device.type == "cuda" else Again()
    graphed = GraphedStep(
        make_step(other, device=device, **kwargs), batch_size=4, record=record
    )
    return eager, graphed


def losses(step, batches):
    torch.manual_seed(1)
    return torch.stack([step(batch) for batch in batches])


def assert_equal(eager, graphed, batches, **tolerance):
    tolerance = tolerance or {"rtol": 1e-6, "atol": 1e-6}
    torch.testing.assert_close(
        losses(graphed, batches), losses(eager, batches), **tolerance
    )
    state, expected = (s.module.state_dict() for s in (graphed.step, eager))
    for name, weight in expected.items():
        torch.testing.assert_close(state[name], weight, **tolerance)
    moments = [list(s.optimizer.state.values()) for s in (eager, graphed.step)]
    for a, b in zip(*moments, strict=True):
        torch.testing.assert_close(a["step"], b["step"], rtol=0, atol=0)


# --- training -------------------------------------------------------------------------


@pytest.mark.parametrize("max_grad_norm", [None, 0.01])
@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_recorded_steps_equal_eager_ones(accumulation, max_grad_norm):
    eager, graphed = twins(max_grad_norm=max_grad_norm)
    assert_equal(eager, graphed, make_batches(40, accumulation=accumulation))
    assert graphed.n_shapes == (2 if accumulation == 1 else 4)


def test_a_short_batch_is_filled_up_with_rows_of_no_weight():
    eager, graphed = twins()
    losses(graphed, [make_batch(seed=i) for i in range(6)])
    eager.module.load_state_dict(graphed.step.module.state_dict())
    seen = []
    graphed.step.module.register_forward_hook(lambda m, args, out: seen.append(args))
    short = make_batch(n=1, seed=9)
    torch.testing.assert_close(graphed(short), eager(short))
    ((ids, mask),) = seen
    assert ids.shape == (4, 6)
    assert torch.equal(ids[:1], short.input_ids)
    assert ids[1:].sum() == 0
    assert mask[1:].tolist() == [[1, 0, 0, 0, 0, 0]] * 3


def test_warming_up_leaves_nothing_behind():
    # The same random numbers, although the recorded step has drawn others meanwhile,
    # in the middle of an optimizer step too.
    eager, graphed = twins(dropout=0.5)
    batches = [make_batch(seed=i, ends_step=i % 4 == 3) for i in range(20)]
    assert_equal(eager, graphed, batches, rtol=0, atol=0)
    assert graphed._recorder.n_recordings == 2


def test_dropout_differs_from_step_to_step():
    _, graphed = twins(dropout=0.5, rate=0.0)
    batch = make_batch()
    values = losses(graphed, [batch] * 10)
    assert graphed.n_shapes == 1
    assert len(set(values[4:].tolist())) == 6


def test_shapes_are_recorded_when_they_come_often():
    _, graphed = twins()
    losses(graphed, [make_batch(seed=i) for i in range(4)])
    assert graphed.n_shapes == 0
    graphed(make_batch(width=8))
    assert graphed.n_shapes == 0
    graphed(make_batch())
    assert graphed.n_shapes == 1


def test_what_a_recording_writes_to_stays_where_it_is():
    # A CUDA graph knows nothing but addresses.
    _, graphed = twins()
    step = graphed.step

    def addresses():
        tensors = [group["lr"] for group in step.optimizer.param_groups]
        for parameter in step.parameters:
            state = step.optimizer.state[parameter].values()
            tensors += [parameter, parameter.grad, *state]
        for recorded in graphed._shapes._recorded.values():
            tensors += [recorded._loss, *vars(recorded._batch).values()]
        return [t.data_ptr() for t in tensors if torch.is_tensor(t)]

    batches = make_batches(40, accumulation=2)
    losses(graphed, batches)
    assert graphed.n_shapes == 4
    before = addresses()
    # other lengths, which run eagerly, in between
    losses(graphed, [*batches, make_batch(width=5), *batches[:7]])
    assert addresses() == before


def test_losses_stay_what_they_were():
    _, graphed = twins()
    found = [graphed(make_batch(seed=i)) for i in range(8)]
    values = [loss.item() for loss in found]
    graphed(make_batch(seed=9))
    assert [loss.item() for loss in found] == values
    assert len(set(values)) == 8


def test_states_below_are_part_of_a_shape():
    seen = []

    class Given:
        def __init__(self, states):
            seen.append(states)

        def __enter__(self):
            pass

        def __exit__(self, *error):
            pass

    _, graphed = twins(given=Given)
    batch = make_batch(n=3)
    states = torch.ones(3, 6, 8, dtype=torch.bfloat16)
    for _ in range(5):
        graphed(Batch(**(vars(batch) | {"states": states})))
    assert seen[-1].shape == (4, 6, 8)
    assert seen[-1].sum(dim=(1, 2)).tolist() == [48, 48, 48, 0]
    graphed(batch)
    assert seen[-1] is None
    assert graphed.n_shapes == 1


def test_what_thaws_and_freezes_is_followed():
    eager, graphed = twins()
    for step in (eager, graphed.step):
        step.module.layer.requires_grad_(False)
    batches = make_batches(20)
    assert_equal(eager, graphed, batches)
    for thawed in (True, False):
        for step in (eager, graphed.step):
            step.module.layer.requires_grad_(thawed)
        assert_equal(eager, graphed, batches)
        assert graphed.n_shapes == 2


@pytest.mark.parametrize("warm", [True, False])
def test_what_cannot_be_recorded_runs_eagerly_with_one_warning(warm):
    class Fails(Again):
        def __call__(self, function, warm_up):
            if self.n_recordings:  # the second shape
                if warm:
                    warm_up()
                raise RuntimeError("operation not permitted when stream is capturing")
            return super().__call__(function, warm_up)

    eager, graphed = twins()
    graphed._recorder = Fails()
    with pytest.warns(UserWarning, match="No CUDA graph.*not permitted") as record:
        assert_equal(eager, graphed, make_batches(30, accumulation=2))
    assert len(record) == 1
    assert graphed.n_shapes == 0


def test_what_is_wrong_in_itself_is_an_error():
    _, graphed = twins()
    losses(graphed, [make_batch(seed=i) for i in range(4)])
    graphed.step.module.head = nn.Linear(9, 3)
    with (
        pytest.warns(UserWarning, match="No CUDA graph"),
        pytest.raises(RuntimeError, match="shapes cannot be multiplied"),
    ):
        graphed(make_batch())


def test_gradients_that_a_callback_looks_at_need_eager_steps():
    step = make_step(Text(), on_grad_computed=lambda batch: None)
    with pytest.warns(UserWarning, match="callback looks at the gradients") as record:
        assert with_graphs(step, batch_size=4, record=Again()) is step
    assert len(record) == 1


def test_fp16_is_eager_without_a_word():
    step = make_step(Text())
    step.precision = "fp16"
    assert with_graphs(step, batch_size=4, record=Again()) is step


def test_windows_are_eager_without_a_word():
    # A recorded step has one number of sequences, a batch of windows any.
    step = make_step(Text(), on_grad_computed=lambda batch: None)
    assert with_graphs(step, batch_size=4, record=Again(), windowed=True) is step
    assert not step.keeps_gradients  # what is frozen later must stay as it is


def test_released_recordings_are_gone():
    _, graphed = twins()
    losses(graphed, make_batches(20))
    recorded = list(graphed._shapes._recorded.values())
    buffers = [weakref.ref(r._batch.input_ids) for r in recorded]
    del recorded
    graphed.release()
    gc.collect()
    assert [ref() for ref in buffers] == [None, None]


# --- out of memory --------------------------------------------------------------------


def fill_memory(module, most, width):
    """Let passes of more texts than that, and of that width, run out of memory.

    It stands for a GPU that is full: there is none here.
    """

    def fail(module, inputs):
        if inputs[0].shape[1] == width and len(inputs[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    module.register_forward_pre_hook(fail)


def test_what_was_replayed_is_part_of_a_step_that_is_done_again():
    eager, graphed = twins()
    fill_memory(graphed.step.module, most=2, width=8)
    # Two batches a step. The shapes of width 6 are recorded when a wide one comes.
    widths = [6] * 10 + [6, 8, 8, 6, 6, 6]
    batches = [
        make_batch(width=width, seed=i, ends_step=i % 2 == 1)
        for i, width in enumerate(widths)
    ]
    with pytest.warns(UserWarning, match="Memory does not suffice for 4") as record:
        assert_equal(eager, graphed, batches)
    assert len(record) == 1
    assert graphed.n_shapes == 2


def test_smaller_parts_are_recorded_too():
    eager, graphed = twins()
    fill_memory(graphed.step.module, most=2, width=6)
    with pytest.warns(UserWarning, match="Memory does not suffice for 4") as record:
        assert_equal(eager, graphed, make_batches(40, accumulation=2))
    assert len(record) == 1
    assert graphed.n_shapes == 4


def test_recordings_that_do_not_fit_give_way_to_smaller_parts():
    # Graphs need memory of their own, beside what eager steps leave behind.
    class Fails(Again):
        def __call__(self, function, warm_up):
            fill_memory(graphed.step.module, most=2, width=6)
            return super().__call__(function, warm_up)

    eager, graphed = twins()
    graphed._recorder = Fails()
    with pytest.warns(UserWarning) as record:
        assert_equal(eager, graphed, make_batches(30, accumulation=2))
    assert [str(warning.message)[:23] for warning in record] == [
        "No CUDA graph can be ma",
        "Memory does not suffice",
    ]
    assert graphed.n_shapes == 0


# --- compiled layers ------------------------------------------------------------------


@pytest.fixture
def nothing_compiled():
    """Let torch forget what other tests have compiled, and after this one."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.fixture
def eager_backend(monkeypatch, nothing_compiled):
    """Compile without code generation, which takes long."""
    monkeypatch.setattr(
        skbert.training.graphs,
        "CompiledLayers",
        partial(CompiledLayers, backend="eager"),
    )


def with_layers(graphed):
    return GraphedStep(
        graphed.step,
        batch_size=4,
        record=Again(),
        layers=[graphed.step.module.layer],
    )


def test_layers_are_compiled_while_they_are_recorded(eager_backend):
    eager, graphed = twins()
    graphed = with_layers(graphed)
    layer, seen = graphed.step.module.layer, []
    layer.register_forward_hook(lambda m, *_: seen.append("forward" in vars(m)))
    assert_equal(eager, graphed, [make_batch(seed=i) for i in range(6)])
    # four eager batches, two to warm up; `Again` replays out of place
    assert seen == [False] * 4 + [True] * 2 + [False] * 2
    assert "forward" not in vars(layer)
    assert layer._compiled_call_impl is None


def test_more_lengths_than_torch_compiles_for_are_recorded_as_they_are(eager_backend):
    _, graphed = twins()
    graphed = with_layers(graphed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for width in range(2, MOST_LENGTHS + 4):
            losses(graphed, [make_batch(width=width, seed=i) for i in range(5)])
    assert graphed.n_shapes == MOST_LENGTHS + 2
    assert len(graphed._compiled_lengths) == MOST_LENGTHS


def test_layers_that_cannot_be_compiled_are_recorded_as_they_are(
    monkeypatch, nothing_compiled
):
    def backend(*args):
        raise ImportError("no compiler")

    monkeypatch.setattr(
        skbert.training.graphs,
        "CompiledLayers",
        partial(CompiledLayers, backend=backend),
    )
    eager, graphed = twins()
    graphed = with_layers(graphed)
    with pytest.warns(UserWarning, match="cannot be compiled.*no compiler") as record:
        assert_equal(eager, graphed, make_batches(20))
    assert len(record) == 1
    assert graphed.n_shapes == 2
    assert "forward" not in vars(graphed.step.module.layer)


def test_compiled_layers_that_cannot_be_recorded_run_eagerly(eager_backend):
    def fails(function, warm_up):
        warm_up()
        raise RecordingError("it waits for the device")

    eager, graphed = twins()
    graphed = with_layers(graphed)
    graphed._recorder = fails
    with pytest.warns(UserWarning, match="No CUDA graph.*it waits") as record:
        assert_equal(eager, graphed, make_batches(20))
    assert len(record) == 1
    assert "forward" not in vars(graphed.step.module.layer)


# --- prediction -----------------------------------------------------------------------


@torch.inference_mode()
def test_recorded_predictions_equal_eager_ones():
    torch.manual_seed(0)
    module, record = Text().eval(), Again()
    forward = GraphedForward(module, record=record)
    for seed in range(20):
        batch = make_batch(seed=seed, width=6 if seed % 2 else 8)
        found = forward(batch.input_ids, batch.attention_mask)
        torch.testing.assert_close(
            found, module(batch.input_ids, batch.attention_mask), rtol=1e-6, atol=1e-6
        )
    assert forward.n_shapes == record.n_recordings == 2
    forward.release()
    assert forward.n_shapes == 0


@torch.inference_mode()
def test_predictions_that_cannot_be_recorded_run_eagerly():
    def fails(function, warm_up):
        raise RuntimeError("out of memory")

    module, batch = Text().eval(), make_batch()
    forward = GraphedForward(module, record=fails)
    expected = module(batch.input_ids, batch.attention_mask)
    with pytest.warns(UserWarning, match="Prediction continues without") as record:
        for _ in range(12):
            found = forward(batch.input_ids, batch.attention_mask)
            assert torch.equal(found, expected)
    assert len(record) == 1


# --- on a GPU -------------------------------------------------------------------------


@needs_cuda
@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_cuda_graphs_equal_eager_steps(precision, accumulation):
    cuda = torch.device("cuda")
    eager, graphed = twins(device=cuda, precision=precision)
    tolerance = 1e-4 if precision == "fp32" else 2e-2
    batches = make_batches(40, accumulation=accumulation, device=cuda)
    assert_equal(eager, graphed, batches, rtol=tolerance, atol=tolerance)
    assert graphed.n_shapes == 2 * accumulation


@needs_cuda
def test_cuda_graphs_drop_out_anew_at_every_replay():
    cuda = torch.device("cuda")
    _, graphed = twins(dropout=0.5, rate=0.0, device=cuda)
    values = losses(graphed, [make_batch(device=cuda)] * 10)
    assert graphed.n_shapes == 1
    assert len(set(values[4:].tolist())) == 6


@needs_cuda
def test_replays_do_not_wait_for_the_device():
    cuda = torch.device("cuda")
    _, graphed = twins(device=cuda)
    batches = make_batches(30, device=cuda)
    losses(graphed, batches)
    try:
        with warnings.catch_warnings(action="ignore"):  # the mode is a prototype
            torch.cuda.set_sync_debug_mode("error")
        losses(graphed, batches)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@needs_cuda
def test_cuda_graphs_give_their_memory_back():
    cuda = torch.device("cuda")
    _, graphed = twins(device=cuda)
    losses(graphed, make_batches(4, device=cuda))
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    losses(graphed, make_batches(30, device=cuda))
    recorded = torch.cuda.memory_reserved()
    graphed.release()
    gc.collect()
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() < recorded


_SYNCHRONIZES = """
import warnings
import pytest, torch
from test_graphs import assert_equal, make_batches, twins

cuda = torch.device("cuda")
eager, graphed = twins(dropout=0.0, device=cuda)
for step in (eager, graphed.step):
    step.module.register_forward_hook(lambda m, args, out: out * bool(out.sum() < 1e9))
with pytest.warns(UserWarning, match="No CUDA graph") as record:
    assert_equal(eager, graphed, make_batches(30, device=cuda), rtol=1e-4, atol=1e-4)
assert len(record) == 1
torch.nn.functional.dropout(torch.ones(9, device=cuda), 0.5)
"""


@needs_cuda
def test_a_model_that_waits_for_the_device_is_trained_eagerly(request):
    # In a process of its own: torch does not get over a recording that failed.
    subprocess.run(
        [sys.executable, "-c", _SYNCHRONIZES], check=True, cwd=request.path.parent
    )
