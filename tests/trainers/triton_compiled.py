"""Compile the Triton kernel for CUDA devices; this needs none. ``test_engine_triton.py`` runs it on its own.

Prints, for each case, the bytes of shared memory that it takes.
"""

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from ebmdiag_trainers.engines.triton_kernel import langevin

TYPES = {"table": "*fp64", "constants": "*fp64", "seed": "*i64", "epsilon": "fp32"}
TENSORS = ("start", "end", "noise", "w1", "b1", "w2", "b2", "w3", "b3", "w4", "b4", "wo", "bo")
CASES = ((75, "float32", 16), (80, "tf32", 16), (90, "float32", 16), (90, "bfloat16", 64))


def type_of(name: str) -> str:
    """Of an argument that is not a constant."""
    if name in TYPES:
        return TYPES[name]
    if name in TENSORS:
        return "*fp32"
    return "fp32" if name.startswith("slope") else "i32"


def build(capability: int, precision: str, block: int) -> int:
    """Compile for ``ToyNet``, own noise; the bytes of shared memory."""
    sizes = {"D": 16, "W1": 32, "W2": 64, "W3": 64, "W4": 64, "BLOCK": block, "HIDDEN": 4}
    constants = {**sizes, "GIVEN": False, "NOISY": True, "PRECISION": precision, "INTERPRETED": False}
    signature = {name: "constexpr" if name in constants else type_of(name) for name in langevin.arg_names}
    source = ASTSource(fn=langevin, signature=signature, constexprs=constants)
    kernel = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 8})
    assert kernel.asm["cubin"]
    return int(kernel.metadata.shared)


if __name__ == "__main__":
    for one in CASES:
        print(*one, build(*one))
