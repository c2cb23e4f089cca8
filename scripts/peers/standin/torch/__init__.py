"""A stand-in for PyTorch where there is none: shapes and types of what the peers compute, and no numbers.

It knows the functions that scripts/peers call and refuses what PyTorch refuses of them: shapes that don't fit, wrong types,
devices that differ, a graph captured in a default stream. So a slip of the pen is found on a machine without a GPU. `calls`
has the name of each function that was called. What it answers as time is no time of anything.
"""

import contextlib

from . import cuda
from .core import DType, Tensor, calls, recorded, refuse_unless, require
from .core import bfloat16, bool, float32, int8, int32, long, uint8

STANDIN = True
__version__ = "stand-in"


class version:
    cuda = "none"


_default = [float32]


def get_default_dtype():
    return _default[0]


def set_default_dtype(dtype):
    require(isinstance(dtype, DType), "not a dtype")
    _default[0] = dtype


@contextlib.contextmanager
def device(name):
    require(name == "cuda", f"device {name}")
    yield


@contextlib.contextmanager
def no_grad():
    yield


def _made(name, shape, dtype, device, kinds):
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    require(all(isinstance(n, int) and n >= 0 for n in shape), f"{name}: shape {shape}")
    require(device == "cuda", f"{name} on {device}: peers are timed on the GPU")
    require(dtype.kind in kinds, f"{name} of {dtype}")
    return recorded(name, Tensor(shape, dtype))


def randn(*shape, dtype=None, device=None):
    return _made("randn", shape, dtype or _default[0], device, "f")


def rand(*shape, dtype=None, device=None):
    return _made("rand", shape, dtype or _default[0], device, "f")


def ones(*shape, dtype=None, device=None):
    return _made("ones", shape, dtype or _default[0], device, "fib")


def zeros(*shape, dtype=None, device=None):
    return _made("zeros", shape, dtype or _default[0], device, "fib")


def randint(low, high, size, dtype=long, device=None):
    require(low < high, "randint of nothing")
    return _made("randint", size, dtype, device, "i")


def tensor(values, dtype=None, device=None):
    return _made("tensor", (len(values),), dtype or _default[0], device, "fib")


def arange(*bounds, dtype=long, device=None):
    return _made("arange", (len(range(*bounds)),), dtype, device, "fi")


def ones_like(x):
    return recorded("ones_like", Tensor(x.shape, x.dtype))


def outer(a, b):
    require(a.dim() == b.dim() == 1, "outer of matrices")
    return recorded("outer", Tensor((a.shape[0], b.shape[0]), a.dtype))


def cat(tensors, dim=0):
    first = tensors[0]
    dim = dim % first.dim()
    for t in tensors:
        require(t.dtype == first.dtype, "cat of different types")
        require(t.shape[:dim] + t.shape[dim + 1:] == first.shape[:dim] + first.shape[dim + 1:], "cat of different shapes")
    shape = list(first.shape)
    shape[dim] = sum(t.shape[dim] for t in tensors)
    return recorded("cat", Tensor(tuple(shape), first.dtype))


def _product(name, a, b, dtype):
    require(a.dim() == b.dim() == 2 and a.shape[1] == b.shape[0], f"{name} of {a.shape} and {b.shape}")
    return recorded(name, Tensor((a.shape[0], b.shape[1]), dtype))


def matmul(a, b):
    require(a.dtype == b.dtype, f"matmul of {a.dtype} and {b.dtype}")
    return _product("matmul", a, b, a.dtype)


def mm(a, b):
    require(a.dtype == b.dtype, f"mm of {a.dtype} and {b.dtype}")
    if a.sparse24:
        refuse_unless(b.shape[0] % 64 == 0 and b.shape[1] % 8 == 0, "mm of such a 2:4 matrix")
    return _product("mm", a, b, a.dtype)


def _int_mm(a, b):
    require(a.dtype == b.dtype == int8, "_int_mm of other types")
    refuse_unless(a.shape[0] > 16, f"self.size(0) needs to be greater than 16, but got {a.shape[0]}")
    refuse_unless(a.shape[1] % 8 == 0 and b.shape[1] % 8 == 0, "_int_mm of a K or N that isn't a multiple of 8")
    return _product("_int_mm", a, b, int32)


def _convert_weight_to_int4pack(packed, inner_k_tiles):
    require(packed.dtype == uint8 and packed.dim() == 2 and inner_k_tiles in (2, 4, 8), "int4pack of other things")
    n, k = packed.shape[0], 2 * packed.shape[1]
    refuse_unless(n % 8 == 0 and k % (16 * inner_k_tiles) == 0, f"int4pack of {n} x {k}")
    made = Tensor((n // 8, k // (inner_k_tiles * 16), 32, inner_k_tiles // 2), int32)
    made.int4 = (n, k)
    return recorded("_convert_weight_to_int4pack", made)


def _weight_int4pack_mm(x, weight, group, scales):
    n, k = weight.int4
    require(x.dtype == bfloat16 and x.shape[1] == k, "int4pack_mm of other activations")
    require(group in (32, 64, 128, 256) and k % group == 0, "int4pack_mm of such groups")
    require(scales.dtype == bfloat16 and scales.shape == (k // group, n, 2), f"int4pack_mm: scales {scales.shape}")
    return recorded("_weight_int4pack_mm", Tensor((x.shape[0], n), bfloat16))


def compile(function=None, *, fullgraph=False, dynamic=None, mode=None):
    if function is None:
        return lambda f: recorded("compile", f)
    return recorded("compile", function)
