import platform
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from skbert.runtime.device import autocast, resolve_device, resolve_precision

CPU = torch.device("cpu")
CUDA = torch.device("cuda")

without_cuda = pytest.mark.skipif(
    torch.cuda.is_available(), reason="this machine has a CUDA device"
)
without_mps = pytest.mark.skipif(
    torch.backends.mps.is_available(), reason="this machine has a Metal device"
)


@pytest.fixture
def two_gpus(monkeypatch):
    """Let torch report two CUDA devices; nothing is computed on them."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def metal(monkeypatch):
    """Let torch report a Metal device; nothing is computed on it."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


# --- devices --------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", "cpu:0", CPU])
def test_the_cpu_is_always_there(device):
    assert resolve_device(device) == torch.device(device)


@without_cuda
@without_mps
def test_auto_is_the_cpu_where_there_is_nothing_else():
    assert resolve_device("auto") == CPU


def test_auto_is_the_best_device(metal, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("mps")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == CUDA


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1", torch.device("cuda")])
def test_cuda_devices_by_number(two_gpus, device):
    assert resolve_device(device) == torch.device(device)


def test_a_number_beyond_the_cuda_devices(two_gpus):
    with pytest.raises(ValueError, match=r"device='cuda:2'.* sees 2 CUDA device"):
        resolve_device("cuda:2")


def test_metal(metal):
    assert resolve_device("mps") == torch.device("mps")


@without_cuda
@pytest.mark.parametrize("device", ["cuda", "cuda:1", CUDA])
def test_cuda_that_is_not_there(device):
    with pytest.raises(
        ValueError, match=r"sees 0 CUDA.*device='auto' or 'cpu'"
    ) as info:
        resolve_device(device)
    assert f"device='{device}'" in str(info.value)


@without_mps
def test_metal_that_is_not_there():
    with pytest.raises(ValueError, match="no Metal device here.*'auto' or 'cpu'"):
        resolve_device("mps")


@pytest.mark.parametrize("device", ["", "gpu", "CPU", "Auto", "cuda:x", "cuda:-1", -1])
def test_what_is_no_device(device):
    with pytest.raises(ValueError, match="is not a device. Use 'auto', 'cpu'") as info:
        resolve_device(device)
    assert f"device={device!r}" in str(info.value)


@pytest.mark.parametrize("device", ["meta", "xpu", torch.device("meta")])
def test_devices_that_torch_has_and_skbert_has_not(device):
    with pytest.raises(ValueError, match=f"device='{device}' is not supported"):
        resolve_device(device)


# --- precision ------------------------------------------------------------------------


@pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() != "x86_64",
    reason="reads /proc/cpuinfo as Linux writes it on x86",
)
def test_auto_is_bf16_where_the_processor_multiplies_it():
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    flags = next(line.split() for line in lines if line.startswith("flags"))

    has_bf16 = "avx512_bf16" in flags or "amx_bf16" in flags

    assert resolve_precision("auto", CPU) == ("bf16" if has_bf16 else "fp32")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bf16"),
        ({"architecture": "aarch64", "bf16": True}, "bf16"),
        ({"avx512_bf16": False, "amx_bf16": False, "avx512_f": True}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_auto_asks_torch_what_the_processor_can_do(monkeypatch, capabilities, expected):
    ask = "get_capabilities"
    monkeypatch.setattr(torch.cpu, ask, lambda: capabilities, raising=False)

    assert resolve_precision("auto", CPU) == expected


def test_auto_is_fp32_where_torch_cannot_say(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)

    assert resolve_precision("auto", CPU) == "fp32"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_cpu_takes_what_is_asked(precision):
    assert resolve_precision(precision, CPU) == precision


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_fp16_is_for_cuda_only(device):
    message = f"fp16' needs a CUDA device, but the device is '{device}'"
    with pytest.raises(ValueError, match=message):
        resolve_precision("fp16", torch.device(device))

    assert resolve_precision("fp16", CUDA) == "fp16"


def test_a_gpu_without_bf16(monkeypatch):
    def emulated_only(including_emulation=True):
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", emulated_only)

    assert resolve_precision("auto", CUDA) == "fp32"
    assert resolve_precision("fp32", CUDA) == "fp32"
    with pytest.raises(ValueError, match="bf16' is not supported by cuda"):
        resolve_precision("bf16", CUDA)


def test_a_gpu_with_bf16(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)

    assert resolve_precision("auto", CUDA) == "bf16"
    assert resolve_precision("bf16", CUDA) == "bf16"


def test_metal_runs_in_fp32_unless_asked():
    assert resolve_precision("auto", torch.device("mps")) == "fp32"


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_autocast_sets_the_precision_of_products(precision, dtype):
    ones = torch.ones(2, 2)
    with autocast(CPU, precision):
        assert (ones @ ones).dtype == dtype
    assert (ones @ ones).dtype == torch.float32


@pytest.mark.parametrize("outside", [nullcontext(), torch.autocast("cpu")])
def test_fp32_is_fp32_inside_of_the_callers_autocast(outside):
    ones = torch.ones(2, 2)
    with outside, autocast(CPU, "fp32"):
        assert (ones @ ones).dtype == torch.float32
