"""scaled_dot_product_attention with grouped heads, over keys and values that lie one after another: no pages."""

from timing import Case


def decodes(shapes):
    return [decode(s) for s in shapes]


def prefills(shapes):
    return [prefill(s) for s in shapes]


def name(shape):
    return (f"{shape['sequences']} x {shape['context']}, {shape['heads']}/{shape['kv_heads']} heads of "
            f"{shape['head_dim']}")


def inputs(torch, shape, queries, copies):
    b, t = shape["sequences"], shape["context"]
    h, g, d = shape["heads"], shape["kv_heads"], shape["head_dim"]
    query = torch.randn(b, h, queries, d, dtype=torch.bfloat16, device="cuda")
    pairs = [tuple(torch.randn(b, g, t, d, dtype=torch.bfloat16, device="cuda") for _ in range(2))
             for _ in range(copies)]
    return query, pairs


def decode(shape):
    b, t = shape["sequences"], shape["context"]
    h, g, d = shape["heads"], shape["kv_heads"], shape["head_dim"]
    keys_and_values = 2 * 2 * b * t * g * d

    def prepare(copies):
        import torch
        from torch.nn.functional import scaled_dot_product_attention

        query, pairs = inputs(torch, shape, 1, copies)
        return lambda i: scaled_dot_product_attention(query, *pairs[i], enable_gqa=True)

    return Case("attention_decode_bf16", name(shape), keys_and_values + 2 * 2 * b * h * d, 4 * b * h * t * d, prepare,
                "bf16", input_bytes=keys_and_values)


def prefill(shape):
    b, t = shape["sequences"], shape["context"]
    h, g, d = shape["heads"], shape["kv_heads"], shape["head_dim"]

    def prepare(copies):
        import torch
        from torch.nn.functional import scaled_dot_product_attention

        query, pairs = inputs(torch, shape, t, copies)
        return lambda i: scaled_dot_product_attention(query, *pairs[i], is_causal=True, enable_gqa=True)

    # Causal: half of the square.
    return Case("attention_prefill_bf16", name(shape), 2 * b * t * d * (2 * h + 2 * g), 2 * b * h * t * (t + 1) * d,
                prepare, "bf16")
