from .core import Tensor, bfloat16, recorded, refuse_unless, require


def to_sparse_semi_structured(dense):
    require(dense.dtype == bfloat16, "2:4 of another type")
    refuse_unless(dense.shape[0] % 64 == 0 and dense.shape[1] % 64 == 0, f"2:4 of a matrix of {dense.shape}")
    made = Tensor(dense.shape, dense.dtype)
    made.sparse24 = True
    return recorded("to_sparse_semi_structured", made)
