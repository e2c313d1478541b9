"""The settings of torch under which a picture is exact, applied for one generation and put back after it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from intaglio.backends.quiet import library

# Raised whenever the same request to this backend comes to mean other pixels.
METHOD = 1
# Environment variables that torch's libraries read, and that change which arithmetic they do.
SWITCHES = (
    "ATEN_CPU_CAPABILITY", "DIFFUSERS_ATTN_BACKEND", "DNNL_CPU_ISA_HINTS", "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA", "KMP_DETERMINISTIC_REDUCTION", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_CPU_ISA_HINTS", "ONEDNN_DEFAULT_FPMATH_MODE", "ONEDNN_MAX_CPU_ISA", "OPENBLAS_CORETYPE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCH_BLAS_PREFER_CUBLASLT", "TORCH_MKLDNN_MATMUL_MIN_DIM",
)  # fmt: skip
CUBLAS = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
PRECISION = "ieee"


@contextmanager
def exact(torch: Any, *, threads: int, deterministic: bool, seed: int, device: str) -> Iterator[None]:
    """A fixed thread count and, when `deterministic`, deterministic algorithms in full float32 precision.

    The process-wide random generators are seeded too, for pipelines that draw from them instead of from the
    generator they are given. Threads, flags, generators and environment are as before on leaving, also after errors.
    """
    devices = [torch.device(device)] if device.startswith("cuda") else []
    with ExitStack() as stack:
        stack.enter_context(_threads(torch, threads))
        stack.enter_context(_default_dtype(torch))
        stack.enter_context(torch.random.fork_rng(devices=devices))
        stack.enter_context(torch.autocast(device_type=torch.device(device).type, enabled=False))
        if deterministic:
            stack.enter_context(_cublas())
            stack.enter_context(_full_precision(torch))
            stack.enter_context(_deterministic(torch))
        torch.manual_seed(seed)
        yield


@contextmanager
def _threads(torch: Any, threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _default_dtype(torch: Any) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def _cublas() -> Iterator[None]:
    name, value = CUBLAS
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def _deterministic(torch: Any) -> Iterator[None]:
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn_before = cudnn.deterministic, cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = cudnn_before
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@contextmanager
def _full_precision(torch: Any) -> Iterator[None]:
    """float32 means float32: no TF32 and no bfloat16 shortcuts.

    torch keeps these switches in an old and a new form and refuses to work when the two contradict each other, so
    both are set and both are put back.
    """
    switches = _switches(torch)
    before = [switch.fp32_precision for switch in switches]
    matmul, cudnn = torch.get_float32_matmul_precision(), _legacy_cudnn(torch)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    for switch in switches:
        switch.fp32_precision = PRECISION
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        if cudnn is not None:
            torch.backends.cudnn.allow_tf32 = cudnn
        for switch, value in zip(switches, before, strict=True):
            switch.fp32_precision = value


def _switches(torch: Any) -> list[Any]:
    cudnn, mkldnn = torch.backends.cudnn, torch.backends.mkldnn
    return [torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn, mkldnn.matmul, mkldnn.conv, mkldnn.rnn]


def _legacy_cudnn(torch: Any) -> bool | None:
    try:
        return bool(torch.backends.cudnn.allow_tf32)
    except RuntimeError:
        return None


def environment(*, threads: int, deterministic: bool) -> dict[str, object]:
    """What, beside the request, decides a picture's pixels here; values are strings, numbers, booleans and lists."""
    torch = library("torch")
    backends = torch.backends
    settings: dict[str, object] = {
        "torch": str(torch.__version__),
        "diffusers": str(library("diffusers").__version__),
        "transformers": str(library("transformers").__version__),
        "cpu_capability": backends.cpu.get_cpu_capability(),
        "threads": threads,
        "interop_threads": torch.get_num_interop_threads(),
        "mkl": backends.mkl.is_available(),
        "mkldnn": backends.mkldnn.is_available() and bool(torch._C._get_mkldnn_enabled()),
        "openmp": backends.openmp.is_available(),
        "noise": "torch CPU generator",
        "method": METHOD,
        "deterministic": deterministic,
    }
    # Only where one is set: what is said of ordinary surroundings stays as it always was.
    switches = {name: os.environ[name] for name in SWITCHES if os.environ.get(name)}
    return settings | dict(_flags(torch, deterministic)) | _gpu(torch) | ({"switches": switches} if switches else {})


def _flags(torch: Any, deterministic: bool) -> Mapping[str, object]:
    """The flags in force during a generation: ours when deterministic, otherwise those the process has now."""
    cudnn = torch.backends.cudnn
    if deterministic:
        return {
            "deterministic_algorithms": True,
            "float32_precision": PRECISION,
            "cudnn_deterministic": True,
            "cudnn_benchmark": False,
            CUBLAS[0].lower(): CUBLAS[1],
        }
    precisions = sorted({str(switch.fp32_precision) for switch in _switches(torch)})
    return {
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "float32_precision": "/".join(precisions),
        "cudnn_deterministic": bool(cudnn.deterministic),
        "cudnn_benchmark": bool(cudnn.benchmark),
        CUBLAS[0].lower(): os.environ.get(CUBLAS[0], ""),
    }


def _gpu(torch: Any) -> dict[str, object]:
    if torch.backends.mps.is_available():
        return {"devices": ["cpu", "mps"]}
    if not torch.cuda.is_available():
        return {"devices": ["cpu"]}
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    driver = Path("/proc/driver/nvidia/version")
    return {
        "devices": ["cpu", *(f"cuda:{index}" for index in range(len(names)))],
        "gpus": names,
        "cuda": str(torch.version.cuda),
        "cudnn": torch.backends.cudnn.version(),
        "driver": driver.read_text(errors="replace").splitlines()[0] if driver.is_file() else "",
    }
