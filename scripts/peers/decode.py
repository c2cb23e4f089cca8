"""Greedy decoding of one sequence by a Llama of random BF16 weights: a step in plain PyTorch over a cache of fixed length, its
layer compiled and the step replayed as a CUDA graph, as gpt-fast does it; and transformers with its static cache, which
compiles the step, where it is installed.

One layer is compiled, not all of them one after another: they are equal, and 32 times as much to compile takes minutes. In the
graph nothing is launched by the host either way.
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

    def time(self, samples):
        # Weights, and the keys and values of the tokens before, on average.
        cached = 2 * self.size.layers * self.size.kv_heads * self.size.head_dim * (PROMPT + TOKENS // 2)
        result = {"bytes": 2 * (self.size.read_parameters() + cached), "arithmetic": "bf16"}
        result.update(self.run(self.size, min(samples, 9)))
        return result


def cases(name, tiny):
    size = TINY if tiny else SHAPES[name]
    return [plain_case(name, tiny), DecodeCase("decode_bf16_transformers", name, size, with_transformers)]


def plain_case(name, tiny):
    return DecodeCase("decode_bf16", name, TINY if tiny else SHAPES[name], plain)


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
    """A function of token and position: the next token."""
    from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention, silu

    h, g, d = size.heads, size.kv_heads, size.head_dim
    model = weights(torch, size)
    half = torch.arange(0, d, 2, device="cuda", dtype=torch.float32) / d
    angles = torch.outer(torch.arange(CONTEXT, device="cuda", dtype=torch.float32), 500000.0 ** -half)
    cosines, sines = angles.cos(), angles.sin()
    caches = [torch.zeros(2, 1, g, CONTEXT, d, dtype=torch.bfloat16, device="cuda") for _ in range(size.layers)]
    places = torch.arange(CONTEXT, device="cuda")

    def rotate(x, cosine, sine):
        low, high = x.float().chunk(2, dim=-1)
        return torch.cat((low * cosine - high * sine, high * cosine + low * sine), dim=-1).to(x.dtype)

    @torch.compile(fullgraph=True, dynamic=False)
    def layer(x, keys, values, position, attention_norm, qkv, out, norm, gate_up, down):
        cosine, sine = cosines[position], sines[position]
        mask = (places <= position)[None, None, None, :]
        y = rms_norm(x, (size.hidden,), attention_norm, 1e-5)
        query, key, value = linear(y, qkv).split((h * d, g * d, g * d), dim=-1)
        query = rotate(query.view(1, h, 1, d), cosine, sine)
        keys.index_copy_(2, position, rotate(key.view(1, g, 1, d), cosine, sine))
        values.index_copy_(2, position, value.view(1, g, 1, d))
        mixed = scaled_dot_product_attention(query, keys, values, attn_mask=mask, enable_gqa=True)
        x = x + linear(mixed.view(1, h * d), out)
        y = rms_norm(x, (size.hidden,), norm, 1e-5)
        gate, up = linear(y, gate_up).chunk(2, dim=-1)
        return x + linear(silu(gate) * up, down)

    @torch.compile(fullgraph=True, dynamic=False)
    def head(x, norm, matrix):
        return linear(rms_norm(x, (size.hidden,), norm, 1e-5), matrix).argmax(dim=-1)

    def forward(token, position):
        x = model["embedding"][token]
        for matrices, cache in zip(model["layers"], caches):
            x = layer(x, cache[0], cache[1], position, *(matrices[name] for name in ORDER))
        return head(x, model["norm"], model["head"])

    return forward


ORDER = ("attention_norm", "qkv", "out", "norm", "gate_up", "down")


def plain(size, samples):
    import torch

    from timing import replays

    with torch.no_grad():
        forward = make_step(torch, size)
        token = torch.zeros(1, dtype=torch.long, device="cuda")
        position = torch.zeros(1, dtype=torch.long, device="cuda")

        def step():
            token.copy_(forward(token, position))
            position.add_(1)

        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                step()
            graph = torch.cuda.CUDAGraph()
            stream.synchronize()
            with torch.cuda.graph(graph, stream=stream):
                step()

            def generation():
                position.fill_(PROMPT)
                for _ in range(TOKENS):
                    graph.replay()

            generation()
            times = [time / TOKENS for time in replays(torch, generation, samples)]
    return {"samples_us": times, "calls_a_sample": TOKENS, "graph": True,
            "remark": "plain PyTorch: static cache, layers compiled, step a CUDA graph; by the device's clock"}


def with_transformers(size, samples):
    """Its own generate(), by the wall clock: what a user of it sees; the prompt's time is subtracted."""
    import torch
    import transformers
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
    # It would end generations, and whether a token is one would be looked at after each.
    model.generation_config.eos_token_id = None
    prompt = torch.randint(0, size.vocabulary, (1, PROMPT), device="cuda")
    mask = torch.ones_like(prompt)

    def generate(tokens):
        torch.cuda.synchronize()
        start = time.perf_counter()
        out = model.generate(prompt, attention_mask=mask, max_new_tokens=tokens, do_sample=False,
                             cache_implementation="static", pad_token_id=0)
        torch.cuda.synchronize()
        elapsed = time.perf_counter() - start
        if out.shape[1] != PROMPT + tokens:
            raise RuntimeError(f"{out.shape[1] - PROMPT} tokens instead of {tokens}")
        return elapsed

    # The cache is kept from call to call as long as it is long enough, and the step compiled for it: the long one first.
    short, long = 16, TOKENS
    for tokens in (long, short, long):
        generate(tokens)
    times = []
    for _ in range(min(samples, 5)):
        whole = generate(long)
        times.append(1e6 * (whole - generate(short)) / (long - short))
    return {"samples_us": times, "calls_a_sample": long - short, "transformers": transformers.__version__,
            "compiled": hasattr(model, "_compiled_call"),
            "remark": "generate() with static cache, which compiles the step; by the wall clock"}
