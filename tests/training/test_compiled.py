import pytest
import torch
from torch import nn

import skbert.training.graphs
from skbert.models.architecture import encoder_layers
from skbert.models.configuration import load_config
from skbert.models.module import build_module
from skbert.training.graphs import CompiledLayers, worth_compiling


@pytest.fixture(autouse=True)
def nothing_compiled():
    """Let torch forget what other tests have compiled, and after this one."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def build(folder, pooling="mean"):
    config = load_config(folder)
    return build_module(folder, config, n_labels=3, pooling=pooling)[0]


def test_layers_are_compiled_inside_of_the_context_only():
    layer, calls = nn.Linear(3, 2), []

    def backend(graph, inputs):
        calls.append(len(inputs))
        return graph.forward

    compiled, x = CompiledLayers([layer], backend=backend), torch.ones(1, 3)
    expected = layer(x)
    assert calls == []
    with compiled.in_place():
        assert torch.equal(layer(x), expected)
    assert len(calls) == 1
    assert "forward" not in vars(layer)
    layer(torch.ones(5, 3))
    assert len(calls) == 1


def test_a_forward_of_somebodys_own_is_left_alone():
    layer = nn.Linear(3, 2)
    layer.forward = own = lambda x: x
    with CompiledLayers([layer], backend="eager").in_place():
        assert layer.forward is own
    assert layer.forward is own


def test_long_fits_are_worth_compiling(tiny_bert, monkeypatch):
    encoder = build(tiny_bert).encoder
    monkeypatch.setattr(skbert.training.graphs, "STEPS_TO_COMPILE", 10)
    layers = encoder_layers(encoder)
    assert worth_compiling(encoder, 9) == []
    assert worth_compiling(encoder, 10) == layers
    layers[0].requires_grad_(False)
    assert worth_compiling(encoder, 10) == layers[1:]


@pytest.mark.parametrize("pooling", ["mean", "native"])
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_what_warms_up_compiles_what_is_recorded(
    checkpoint, monkeypatch, family, pooling
):
    # While a graph is recorded nothing can be compiled. transformers leaves masks of
    # ones out then no more, so that warming up with such a mask would not do.
    module, n_compiled = build(checkpoint(family), pooling).train(), 0

    def backend(graph, inputs):
        nonlocal n_compiled
        n_compiled += 1
        return graph.forward

    compiled = CompiledLayers(encoder_layers(module.encoder), backend=backend)
    ids = torch.full((4, 16), 5)
    mask = torch.zeros_like(ids)
    mask[:, 0] = 1
    with compiled.in_place():
        module(ids, mask).sum().backward()
        assert n_compiled == 1  # one for all layers
        asks = "transformers.utils.import_utils.is_cuda_stream_capturing"
        monkeypatch.setattr(asks, lambda: True)
        for recorded in (mask, torch.ones_like(mask)):
            module(ids, recorded).sum().backward()
        assert n_compiled == 1
