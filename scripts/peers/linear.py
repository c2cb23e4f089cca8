"""Reading, and products x [tokens, inputs] by W [outputs, inputs] transposed, in the types that PyTorch has kernels for."""

from timing import Case


def name(shape):
    return f"{shape['tokens']} x {shape['outputs']} x {shape['inputs']}"


def sizes(shape):
    return shape["tokens"], shape["outputs"], shape["inputs"]


def flops(shape):
    m, n, k = sizes(shape)
    return 2 * m * n * k


def read(linear):
    """A reduction, which reads and hardly writes: a ceiling of PyTorch's own."""
    largest = max(s["outputs"] * s["inputs"] for s in linear)
    count = largest * 2

    def prepare(copies):
        import torch

        inputs = [torch.randn(count, dtype=torch.float32, device="cuda") for _ in range(min(copies, 4))]
        return lambda i: inputs[i % len(inputs)].amax()

    return [Case("read_f32", f"{4 * count} bytes", 4 * count, 0, prepare)]


def bf16(shapes):
    cases = []
    for shape in shapes:
        m, n, k = sizes(shape)

        def prepare(copies, m=m, n=n, k=k):
            import torch

            x = torch.randn(m, k, dtype=torch.bfloat16, device="cuda")
            weights = [torch.randn(n, k, dtype=torch.bfloat16, device="cuda") for _ in range(copies)]
            return lambda i: torch.matmul(x, weights[i].t())

        cases.append(Case("linear_bf16", name(shape), 2 * (m * k + n * k + m * n), flops(shape), prepare, "bf16",
                          input_bytes=2 * n * k))
    return cases


def int8(shapes):
    """Products, and whole layers, whose compilation takes seconds each."""
    return int8_products(shapes) + int8_layers(shapes)


def int8_products(shapes):
    """_int_mm: INT8 by INT8 into INT32, without the scales that a model needs after it; it wants more than 16 tokens."""
    cases = []
    for shape in shapes:
        m, n, k = sizes(shape)

        def prepare(copies, m=m, n=n, k=k):
            import torch

            x = torch.randint(-127, 128, (m, k), dtype=torch.int8, device="cuda")
            weights = [torch.randint(-127, 128, (n, k), dtype=torch.int8, device="cuda") for _ in range(copies)]
            return lambda i: torch._int_mm(x, weights[i].t())

        cases.append(Case("linear_w8a8", name(shape), m * k + n * k + 4 * m * n, flops(shape), prepare, "int8",
                          input_bytes=n * k))
    return cases


def int8_layers(shapes):
    """Activations quantized by token before, scales by token and channel after: what a layer takes in all."""
    cases = []
    for shape in shapes:
        m, n, k = sizes(shape)

        def prepare(copies, m=m, n=n, k=k):
            import torch

            x = torch.randn(m, k, dtype=torch.bfloat16, device="cuda")
            weights = [torch.randint(-127, 128, (n, k), dtype=torch.int8, device="cuda") for _ in range(copies)]
            scales = torch.rand(n, dtype=torch.float32, device="cuda")

            @torch.compile(dynamic=False)
            def layer(x, weight, scales):
                scale = x.abs().amax(dim=1, keepdim=True).float() / 127
                quantized = (x.float() / scale).round().clamp(-127, 127).to(torch.int8)
                return (torch._int_mm(quantized, weight.t()).float() * scale * scales).to(torch.bfloat16)

            return lambda i: layer(x, weights[i], scales)

        cases.append(Case("linear_w8a8_layer", name(shape), 2 * m * k + n * k + 2 * m * n, flops(shape), prepare, "int8",
                          input_bytes=n * k))
    return cases


def int4(shapes):
    """_weight_int4pack_mm: groups of 128 with BF16 scales and zero points."""
    group = 128
    cases = []
    for shape in shapes:
        m, n, k = sizes(shape)

        def prepare(copies, m=m, n=n, k=k):
            import torch

            x = torch.randn(m, k, dtype=torch.bfloat16, device="cuda")

            def weight():
                packed = torch.randint(0, 256, (n, k // 2), dtype=torch.uint8, device="cuda")
                return torch._convert_weight_to_int4pack(packed, 8)

            weights = [weight() for _ in range(copies)]
            scales = torch.randn(k // group, n, 2, dtype=torch.bfloat16, device="cuda")
            return lambda i: torch._weight_int4pack_mm(x, weights[i], group, scales)

        scale_bytes = 4 * n * (k // group)
        cases.append(Case("linear_w4a16", name(shape), 2 * m * k + n * k // 2 + scale_bytes + 2 * m * n, flops(shape),
                          prepare, "bf16", input_bytes=n * k // 2))
    return cases


def sparse24(shapes):
    """Semi-structured 2:4 weights in BF16: half of the values, and two bits for the place of each."""
    cases = []
    for shape in shapes:
        m, n, k = sizes(shape)

        def prepare(copies, m=m, n=n, k=k):
            import torch
            from torch.sparse import to_sparse_semi_structured

            rows = max(m, 64)  # its kernels want at least so many
            x = torch.randn(rows, k, dtype=torch.bfloat16, device="cuda")
            mask = torch.tensor([1, 1, 0, 0], dtype=torch.bool, device="cuda").repeat(n, k // 4)

            def weight():
                return to_sparse_semi_structured(torch.randn(n, k, dtype=torch.bfloat16, device="cuda") * mask)

            weights = [weight() for _ in range(copies)]
            return lambda i: torch.mm(weights[i], x.t())

        stored = n * k + n * k // 8
        cases.append(Case("linear_bf16_24", name(shape), 2 * m * k + stored + 2 * m * n, flops(shape), prepare,
                          "bf16", input_bytes=stored))
    return cases
