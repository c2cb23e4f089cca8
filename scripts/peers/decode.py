"""Greedy decoding of one sequence by a Llama of random BF16 weights: a step in plain PyTorch, compiled and replayed as a
CUDA graph over a cache of fixed length, as gpt-fast does it; and transformers with its static cache, where it is installed.
"""

import time
from dataclasses import dataclass

CONTEXT = 1024
PROMPT = 8
TOKENS = 256


@dataclass
class Shape:
    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool

    def parameters(self):
        layer = self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads) + 3 * self.hidden * self.inner
        return self.layers * layer + self.vocabulary * self.hidden * (1 if self.tied else 2)

    def read_parameters(self):
        """What a token needs: every matrix once, and of an embedding that isn't the head too one row."""
        return self.parameters() - (0 if self.tied else (self.vocabulary - 1) * self.hidden)


SHAPES = {
    "llama-3.2-1b": Shape(2048, 8192, 16, 32, 8, 64, 128256, True),
    "llama-3.1-8b": Shape(4096, 14336, 32, 32, 8, 128, 128256, False),
}
TINY = Shape(64, 128, 2, 4, 2, 16, 256, True)


@dataclass
class DecodeCase:
    bench: str
    shape: str
    size: Shape
    run: object

    def time(self):
        result = {"bytes": 2 * self.size.read_parameters(), "flops": 2 * self.size.read_parameters()}
        result.update(self.run(self.size))
        return result


def cases(name, tiny):
    size = TINY if tiny else SHAPES[name]
    return [
        DecodeCase("decode_bf16", name, size, plain),
        DecodeCase("decode_bf16_transformers", name, size, with_transformers),
    ]


def weights(torch, size):
    def matrix(rows, columns):
        return torch.randn(rows, columns, dtype=torch.bfloat16, device="cuda") * 0.02

    def norm():
        return torch.ones(size.hidden, dtype=torch.bfloat16, device="cuda")

    width = size.heads * size.head_dim
    layers = [{
        "attention_norm": norm(), "qkv": matrix(width + 2 * size.kv_heads * size.head_dim, size.hidden),
        "out": matrix(size.hidden, width), "norm": norm(), "gate_up": matrix(2 * size.inner, size.hidden),
        "down": matrix(size.hidden, size.inner),
    } for _ in range(size.layers)]
    embedding = matrix(size.vocabulary, size.hidden)
    head = embedding if size.tied else matrix(size.vocabulary, size.hidden)
    return {"embedding": embedding, "head": head, "norm": norm(), "layers": layers}


def make_step(torch, size):
    """A function that writes the next token and position over the last ones."""
    from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention, silu

    h, g, d = size.heads, size.kv_heads, size.head_dim
    model = weights(torch, size)
    half = torch.arange(0, d, 2, device="cuda", dtype=torch.float32) / d
    angles = torch.outer(torch.arange(CONTEXT, device="cuda", dtype=torch.float32), 500000.0 ** -half)
    cosines, sines = angles.cos(), angles.sin()
    caches = [torch.zeros(2, 1, g, CONTEXT, d, dtype=torch.bfloat16, device="cuda") for _ in range(size.layers)]
    places = torch.arange(CONTEXT, device="cuda")

    def rotate(x, position):
        low, high = x.float().chunk(2, dim=-1)
        cosine, sine = cosines[position], sines[position]
        return torch.cat((low * cosine - high * sine, high * cosine + low * sine), dim=-1).to(x.dtype)

    def forward(token, position):
        x = model["embedding"][token]
        mask = (places <= position)[None, None, None, :]
        for layer, cache in zip(model["layers"], caches):
            y = rms_norm(x, (size.hidden,), layer["attention_norm"], 1e-5)
            query, key, value = linear(y, layer["qkv"]).split((h * d, g * d, g * d), dim=-1)
            query = rotate(query.view(1, h, 1, d), position)
            cache[0].index_copy_(2, position, rotate(key.view(1, g, 1, d), position))
            cache[1].index_copy_(2, position, value.view(1, g, 1, d))
            mixed = scaled_dot_product_attention(query, cache[0], cache[1], attn_mask=mask, enable_gqa=True)
            x = x + linear(mixed.view(1, h * d), layer["out"])
            y = rms_norm(x, (size.hidden,), layer["norm"], 1e-5)
            gate, up = linear(y, layer["gate_up"]).chunk(2, dim=-1)
            x = x + linear(silu(gate) * up, layer["down"])
        x = rms_norm(x, (size.hidden,), model["norm"], 1e-5)
        return linear(x, model["head"]).argmax(dim=-1)

    return torch.compile(forward, fullgraph=True)


def plain(size):
    import torch

    from timing import elapsed

    with torch.no_grad():
        forward = make_step(torch, size)
        token = torch.zeros(1, dtype=torch.long, device="cuda")
        position = torch.zeros(1, dtype=torch.long, device="cuda")

        def step():
            token.copy_(forward(token, position))
            position.add_(1)

        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                step()
            graph = torch.cuda.CUDAGraph()
            stream.synchronize()
            with torch.cuda.graph(graph, stream=stream):
                step()
            samples = []
            for _ in range(7):
                position.fill_(PROMPT)
                samples.append(elapsed(torch, lambda: [graph.replay() for _ in range(TOKENS)]) / TOKENS)
    return {"samples_us": samples, "calls_a_sample": TOKENS, "graph": True}


def with_transformers(size):
    """Its own generate(), by the wall clock: what a user of it sees; the prompt's time is subtracted."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=size.hidden, intermediate_size=size.inner, num_hidden_layers=size.layers,
        num_attention_heads=size.heads, num_key_value_heads=size.kv_heads, head_dim=size.head_dim,
        vocab_size=size.vocabulary, tie_word_embeddings=size.tied, max_position_embeddings=CONTEXT)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda"):
            model = LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(before)
    prompt = torch.randint(0, size.vocabulary, (1, PROMPT), device="cuda")

    def generate(tokens):
        torch.cuda.synchronize()
        start = time.perf_counter()
        model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=tokens, min_new_tokens=tokens,
                       do_sample=False, cache_implementation="static", pad_token_id=0)
        torch.cuda.synchronize()
        return time.perf_counter() - start

    # The cache's length follows from the tokens, and compilation from it: both lengths first, untimed.
    short, long = 16, TOKENS
    for tokens in (short, long, short, long):
        generate(tokens)
    samples = [1e6 * (generate(long) - generate(short)) / (long - short) for _ in range(5)]
    return {"samples_us": samples, "calls_a_sample": long - short, "graph": "transformers' choice"}
