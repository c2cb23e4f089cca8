from ..core import Tensor, bool, broadcast, recorded, require


def linear(x, weight):
    require(x.dtype == weight.dtype, f"linear of {x.dtype} by {weight.dtype}")
    require(weight.dim() == 2 and x.shape[-1] == weight.shape[1], f"linear of {x.shape} by {weight.shape}")
    return recorded("linear", Tensor(x.shape[:-1] + (weight.shape[0],), x.dtype))


def rms_norm(x, shape, weight=None, eps=None):
    require(x.shape[-len(shape):] == tuple(shape) and weight.shape == tuple(shape), f"rms_norm of {x.shape}")
    require(x.dtype == weight.dtype, "rms_norm of different types")
    return recorded("rms_norm", Tensor(x.shape, x.dtype))


def silu(x):
    return recorded("silu", Tensor(x.shape, x.dtype))


def scaled_dot_product_attention(query, key, value, attn_mask=None, is_causal=False, enable_gqa=False):
    b, h, n, d = query.shape
    require(key.shape == value.shape and key.dim() == 4, "attention over such keys and values")
    kb, g, t, kd = key.shape
    require(kb == b and kd == d, f"attention of {query.shape} over {key.shape}")
    require(h == g or (enable_gqa and h % g == 0), "grouped heads without enable_gqa")
    require(query.dtype == key.dtype == value.dtype, "attention of different types")
    require(attn_mask is None or not is_causal, "a mask and is_causal")
    if attn_mask is not None:
        require(attn_mask.dtype in (bool, query.dtype), f"a mask of {attn_mask.dtype}")
        require(broadcast(attn_mask.shape, (b, h, n, t)) == (b, h, n, t), f"a mask of {attn_mask.shape}")
    return recorded("scaled_dot_product_attention", Tensor(query.shape, query.dtype))
