#!/usr/bin/env python3
"""PyTorch on the shapes that Lathe's kernels are measured on: torch_peers.py asked|rest [--tiny] [--list] [--only TEXT]

asked: what the project has targets for; rest: everything else.

Prints JSON objects, a line each, as scripts/gpu-check reads them (items.py): rows with bench, shape, side, samples_us,
bytes, flops. Each sample is one replay of a CUDA graph of many calls, divided by their number; the calls go through copies
of their inputs that together exceed the L2 cache several times, so that weights come from memory, as they do between the
layers of a model. Data is random. What can't be computed here is a row with "error". --list prints what would be timed, and
needs no PyTorch; --only times what has this text in its name. Exits with 69 where there is no PyTorch with a GPU.
"""

import argparse
import json
import os
import sys
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import attention
import decode
import items
import linear


def asked(shapes, tiny):
    wide = [s for s in shapes["linear"] if s.get("asked") == "w8a16"]
    square = [s for s in shapes["linear"] if s.get("asked") == "w8a8"]
    return [
        *linear.bf16(square),
        *linear.int8(square),
        *linear.bf16(wide),
        *attention.decodes([s for s in shapes["attention_decode"] if s.get("asked")]),
        *decode.cases("llama-3.2-1b", tiny),
    ]


def rest(shapes, tiny):
    others = [s for s in shapes["linear"] if "asked" not in s]
    return [
        decode.plain_case("llama-3.1-8b", tiny),
        *linear.read(shapes["linear"]),
        *linear.bf16(others),
        *attention.decodes([s for s in shapes["attention_decode"] if not s.get("asked")]),
        *attention.prefills(shapes["attention_prefill"]),
        *linear.int8_products(others),
        *linear.int4(shapes["linear"]),
        *linear.sparse24(shapes["linear"]),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=["asked", "rest"])
    parser.add_argument("--tiny", action="store_true", help="small shapes, few samples")
    parser.add_argument("--list", action="store_true", help="print what would be timed, without timing it")
    parser.add_argument("--only", default="", help="what has this text in its bench and shape")
    options = parser.parse_args()

    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "shapes.json"), encoding="utf-8") as file:
        shapes = json.load(file)["tiny" if options.tiny else "full"]
    cases = (asked if options.which == "asked" else rest)(shapes, options.tiny)
    cases = [case for case in cases if options.only in f"{case.bench} {case.shape}"]
    if options.list:
        for case in cases:
            print(json.dumps({"bench": case.bench, "shape": case.shape, "side": "torch"}))
        return 0
    try:
        import torch
    except ImportError as error:
        print(f"no PyTorch: {error}", file=sys.stderr)
        return items.MISSING
    if not torch.cuda.is_available():
        print(f"PyTorch {torch.__version__} sees no GPU", file=sys.stderr)
        return items.MISSING
    standin = getattr(torch, "STANDIN", False)
    items.emit({
        "remark": "peer", "torch": torch.__version__, "cuda": torch.version.cuda,
        "device": torch.cuda.get_device_name(), "capability": list(torch.cuda.get_device_capability()),
    })
    run = items.Items()
    for case in cases:
        run.run(f"{case.bench} {case.shape}", lambda case=case: timed(torch, case, options.tiny, standin))
    return 0


def timed(torch, case, tiny, standin):
    """The row, and whether CUDA can't be used any more."""
    row = {"bench": case.bench, "shape": case.shape, "side": "torch"}
    lost = False
    try:
        figures = case.time(3 if tiny else 31)
        row.update({"remark": "ran on a stand-in for PyTorch"} if standin else figures)
        torch.cuda.synchronize()
    except Exception as error:  # whatever it is
        if standin and not isinstance(error, RuntimeError):
            raise  # a mistake in these scripts
        # Shapes that a function refuses are a finding; it is reported and the others go on.
        traceback.print_exc()
        row["error"] = (str(error).splitlines() or [type(error).__name__])[0][:300]
        lost = items.loses_cuda(error)
    if not lost:
        torch.cuda.empty_cache()
    return row, lost


if __name__ == "__main__":
    sys.exit(main())
