"""What the devices can do at most, as their makers state it."""

from functools import cache

_PEAKS = {
    # Dense tensor cores, bf16, FLOP/s; the first name that is part of the device's counts.
    # https://www.nvidia.com/en-us/data-center/h200/ and .../h100/ (SXM; half of the figure "with sparsity")
    "H200": 989.4e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989.4e12,
    # https://www.nvidia.com/en-us/data-center/a100/
    "A100": 312e12,
    # https://images.nvidia.com/aem-dam/Solutions/Data-Center/l4/nvidia-ada-gpu-architecture-whitepaper-v2.1.pdf
    "L40S": 362e12,
    "RTX 4090": 165.2e12,
}


@cache
def peak_flops(precision: str) -> float | None:
    """FLOP/s of this process's device in ``bfloat16``; None for other precisions, devices that are not listed and CPUs.

    Multiplications in float32 may or may not use tensor cores, so that no single figure is their peak.
    """
    import torch

    if precision != "bfloat16" or not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    return next((peak for part, peak in _PEAKS.items() if part in name), None)
