"""Tensors that have a shape and a type and no elements."""

calls = []


def recorded(name, value):
    calls.append(name)
    return value


def require(condition, why):
    if not condition:
        raise AssertionError("stand-in for PyTorch: " + why)


def refuse_unless(condition, why):
    """As PyTorch refuses what a function isn't for."""
    if not condition:
        raise RuntimeError(why)


class DType:
    def __init__(self, name, kind):
        self.name, self.kind = name, kind

    def __repr__(self):
        return self.name


bfloat16 = DType("bfloat16", "f")
float32 = DType("float32", "f")
int8 = DType("int8", "i")
uint8 = DType("uint8", "i")
int32 = DType("int32", "i")
long = DType("int64", "i")
bool = DType("bool", "b")


class Device:
    def __init__(self, name):
        self.type = name


def broadcast(a, b):
    shape = []
    for x, y in zip(reversed((1,) * 8 + a), reversed((1,) * 8 + b)):
        require(x == y or 1 in (x, y), f"{a} and {b} together")
        shape.append(max(x, y) if 0 not in (x, y) else 0)
    rank = max(len(a), len(b))
    return tuple(reversed(shape[:rank]))


def promoted(a, b):
    order = [bool, uint8, int8, int32, long, bfloat16, float32]
    return max(a, b, key=order.index)


class Tensor:
    sparse24 = False

    def __init__(self, shape, dtype):
        self.shape, self.dtype, self.device = tuple(shape), dtype, Device("cuda")

    def dim(self):
        return len(self.shape)

    def _like(self, shape=None, dtype=None):
        return Tensor(self.shape if shape is None else shape, dtype or self.dtype)

    def _with(self, other, dtype=None):
        if isinstance(other, Tensor):
            return Tensor(broadcast(self.shape, other.shape), dtype or promoted(self.dtype, other.dtype))
        kind = float32 if isinstance(other, float) and self.dtype.kind != "f" else self.dtype
        return Tensor(self.shape, dtype or kind)

    def __add__(self, other):
        return self._with(other)

    __mul__ = __sub__ = __radd__ = __rmul__ = __rpow__ = __add__

    def __truediv__(self, other):
        made = self._with(other)
        return made if made.dtype.kind == "f" else made._like(dtype=float32)

    def __neg__(self):
        return self._like()

    def __le__(self, other):
        return self._with(other, bool)

    def __getitem__(self, index):
        if isinstance(index, Tensor):
            require(index.dtype == long, "an index that isn't int64")
            return self._like(index.shape + self.shape[1:])
        if isinstance(index, int):
            require(0 <= index < self.shape[0], f"index {index} of {self.shape}")
            return self._like(self.shape[1:])
        shape, at = [], 0
        for part in index:
            if part is None:
                shape.append(1)
            else:
                require(part == slice(None), f"index {part}")
                shape.append(self.shape[at])
                at += 1
        return self._like(tuple(shape) + self.shape[at:])

    def t(self):
        require(self.dim() == 2, "t() of more than a matrix")
        return self._like(self.shape[::-1])

    def view(self, *shape):
        require(_count(shape) == _count(self.shape), f"{self.shape} viewed as {shape}")
        return self._like(shape)

    def repeat(self, *times):
        padded = (1,) * (len(times) - self.dim()) + self.shape
        return self._like(tuple(n * k for n, k in zip(padded, times)))

    def chunk(self, count, dim=0):
        shape = list(self.shape)
        require(shape[dim] % count == 0, f"{self.shape} in {count}")
        shape[dim] //= count
        return [self._like(tuple(shape)) for _ in range(count)]

    def split(self, sizes, dim=0):
        require(sum(sizes) == self.shape[dim], f"{self.shape} split in {sizes}")
        shapes = []
        for size in sizes:
            shape = list(self.shape)
            shape[dim] = size
            shapes.append(self._like(tuple(shape)))
        return shapes

    def amax(self, dim=None, keepdim=False):
        if dim is None:
            return self._like(())
        shape = list(self.shape)
        shape[dim] = 1
        require(keepdim, "amax that drops a dimension")
        return self._like(tuple(shape))

    def argmax(self, dim):
        require(dim in (-1, self.dim() - 1), "argmax of another dimension")
        return self._like(self.shape[:-1], long)

    def index_copy_(self, dim, index, source):
        require(index.dtype == long and index.dim() == 1, "index_copy_ at other places")
        require(source.dtype == self.dtype, f"index_copy_ of {source.dtype} into {self.dtype}")
        shape = list(self.shape)
        shape[dim] = index.shape[0]
        require(source.shape == tuple(shape), f"index_copy_ of {source.shape} into {self.shape}")
        return self

    def copy_(self, other):
        require(broadcast(self.shape, other.shape) == self.shape, f"{other.shape} into {self.shape}")
        return self

    def add_(self, other):
        require(broadcast(self.shape, getattr(other, "shape", ())) == self.shape, "add_ of more")
        return self

    def fill_(self, value):
        return self

    def to(self, dtype):
        require(isinstance(dtype, DType), f"to({dtype})")
        return self._like(dtype=dtype)

    def float(self):
        return self._like(dtype=float32)

    def abs(self):
        return self._like()

    round = cos = sin = abs

    def clamp(self, low, high):
        return self._like()


def _count(shape):
    total = 1
    for n in shape:
        total *= n
    return total
