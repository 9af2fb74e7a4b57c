"""The device and the precision that this machine has."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from skbert.runtime.warn import warn_user

__all__ = [
    "autocast",
    "device_here",
    "resolve_device",
    "resolve_precision",
    "storage_dtype",
]

# Flags of processors that multiply bf16 natively: two of x86 and one of ARM.
_CPU_BF16 = ("avx512_bf16", "amx_bf16", "bf16")

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(device: str | torch.device) -> torch.device:
    """Turn the ``device`` parameter into a device that exists.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"`` takes CUDA, then MPS, then the CPU.

    Raises
    ------
    ValueError
        If the name is unknown, or this machine has no such device.
    """
    if isinstance(device, str) and device == "auto":
        return _best_device()
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device={device!r} is not a device. Use 'auto', 'cpu', 'cuda', 'cuda:1' "
            "or 'mps'."
        ) from error
    _check_present(resolved)
    return resolved


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")  # pragma: gpu
    if torch.backends.mps.is_available():
        return torch.device("mps")  # pragma: gpu
    return torch.device("cpu")


def device_here(device: str) -> str:
    """Return the device of a pickled model, or the best one if it does not exist."""
    try:
        resolve_device(device)
    except ValueError:
        best = str(_best_device())
        warn_user(
            f"The model was pickled on device='{device}', which this machine does not "
            f"have; it is on '{best}' now.",
        )
        return best
    return device


def _check_present(device: torch.device) -> None:
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise ValueError(
                f"device='{device}' was asked for, but torch sees {count} CUDA "
                "device(s) here. Use device='auto' or 'cpu', or install a CUDA build "
                "of torch and its driver."
            )
    elif device.type == "mps":
        if not torch.backends.mps.is_available():
            raise ValueError(
                "device='mps' was asked for, but torch has no Metal device here. Use "
                "device='auto' or 'cpu'."
            )
    elif device.type != "cpu":
        raise ValueError(
            f"device='{device}' is not supported; use 'auto', 'cpu', 'cuda' or 'mps'."
        )


def resolve_precision(precision: str, device: torch.device) -> str:
    """Turn the ``precision`` parameter into ``"fp32"``, ``"bf16"`` or ``"fp16"``.

    ``"auto"`` takes bf16 where the hardware multiplies it natively and fp32
    elsewhere.

    Raises
    ------
    ValueError
        If fp16 is asked of a processor that is not a GPU, or bf16 of a GPU that
        lacks it.
    """
    if precision == "auto":
        return "bf16" if _has_native_bf16(device) else "fp32"
    if precision == "fp16" and device.type != "cuda":
        raise ValueError(
            f"precision='fp16' needs a CUDA device, but the device is '{device}'. Use "
            "'auto', 'bf16' or 'fp32'."
        )
    if precision == "bf16" and device.type == "cuda":  # pragma: gpu
        if not _has_native_bf16(device):
            raise ValueError(
                f"precision='bf16' is not supported by {device}. Use 'auto', 'fp16' "
                "or 'fp32'."
            )
    return precision


def _has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":  # pragma: gpu
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # Older versions of torch cannot tell. fp32 is always right.
        capabilities: dict = getattr(torch.cpu, "get_capabilities", dict)()
        return any(capabilities.get(key) for key in _CPU_BF16)
    return False  # pragma: gpu


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Return the context in which a forward pass runs at ``precision``."""
    if precision == "fp32":  # even if the caller has enabled autocast
        return torch.autocast(device.type, enabled=False)
    return torch.autocast(device.type, dtype=_DTYPES[precision])


def storage_dtype(precision: str) -> torch.dtype:
    """Return the type in which states at ``precision`` are kept."""
    return _DTYPES.get(precision, torch.float32)
