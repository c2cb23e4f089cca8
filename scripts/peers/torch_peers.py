#!/usr/bin/env python3
"""PyTorch on the shapes that Lathe's kernels are measured on: torch_peers.py GROUP [--tiny] [--list]

GROUP: read, linear, int8, int4, sparse24, attention, decode-SHAPE (SHAPE: llama-3.2-1b, llama-3.1-8b).

Prints a JSON object a line, as scripts/gpu-check reads them: bench, shape, side, samples_us, bytes, flops. Each sample is
one replay of a CUDA graph of many calls, divided by their number; the calls go through copies of their inputs that together
exceed the L2 cache several times, so that weights come from memory, as they do between the layers of a model. Data is
random. What can't be run here is a line with "error". --list prints what would be timed, and needs no PyTorch.
"""

import argparse
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import attention
import decode
import linear

GROUPS = {
    "read": linear.read,
    "linear": linear.bf16,
    "int8": linear.int8,
    "int4": linear.int4,
    "sparse24": linear.sparse24,
    "attention": attention.run,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("group", choices=[*GROUPS, *(f"decode-{name}" for name in decode.SHAPES)])
    parser.add_argument("--tiny", action="store_true", help="small shapes")
    parser.add_argument("--list", action="store_true", help="print what would be timed, without timing it")
    options = parser.parse_args()

    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "shapes.json"), encoding="utf-8") as file:
        shapes = json.load(file)["tiny" if options.tiny else "full"]
    if options.group.startswith("decode-"):
        cases = decode.cases(options.group.removeprefix("decode-"), options.tiny)
    else:
        cases = GROUPS[options.group](shapes)

    if options.list:
        for case in cases:
            print(json.dumps({"bench": case.bench, "shape": case.shape, "side": "torch"}))
        return 0
    try:
        import torch
    except ImportError as error:
        print(f"torch_peers: {error}", file=sys.stderr)
        return 1
    if not torch.cuda.is_available():
        print("torch_peers: this PyTorch sees no GPU", file=sys.stderr)
        return 1
    print(json.dumps({
        "remark": "peer", "torch": torch.__version__, "cuda": torch.version.cuda,
        "device": torch.cuda.get_device_name(), "capability": list(torch.cuda.get_device_capability()),
    }), flush=True)
    failed = 0
    for case in cases:
        line = {"bench": case.bench, "shape": case.shape, "side": "torch"}
        try:
            line.update(case.time())
        except Exception as error:  # whatever it is
            # Shapes that a function refuses are a finding; it is reported and the others go on.
            line["error"] = str(error).splitlines()[0][:300]
            failed += 1
        print(json.dumps(line), flush=True)
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    return 1 if failed == len(cases) else 0


if __name__ == "__main__":
    sys.exit(main())
