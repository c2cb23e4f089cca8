#!/usr/bin/env python3
"""The peers on a stand-in for PyTorch, whole shapes and tiny ones: no name is misspelt, no shape doesn't fit, and what is
timed goes as the docstring of torch_peers.py says. test_peers.py: exits with 0 where all passed."""

import io
import json
import os
import sys
import unittest
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, "standin"))

import torch
import torch_peers
from timing import WARM_UPS, Case, measure


def run(*arguments, done=()):
    out = io.StringIO()
    path = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"peers-done-{os.getpid()}")
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(key + "\n" for key in done))
    try:
        with mock.patch.object(sys, "argv", ["torch_peers.py", *arguments]), redirect_stdout(out), \
                redirect_stderr(io.StringIO()), mock.patch.dict(os.environ, {"LATHE_GPU_CHECK_DONE": path}):
            code = torch_peers.main()
    finally:
        os.remove(path)
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


class PeersTest(unittest.TestCase):
    def test_everything_runs_and_nothing_but_few_rows_is_refused(self):
        for which in ("asked", "rest"):
            for tiny in ((), ("--tiny",)):
                code, lines = run(which, *tiny)
                self.assertEqual(code, 0)
                rows = [line for line in lines if "bench" in line]
                self.assertGreater(len(rows), 5)
                self.assertFalse([row for row in rows if "samples_us" in row], "a stand-in's times are no times")
                if not tiny:
                    refused = [row["error"] for row in rows if "error" in row]
                    self.assertTrue(all("greater than 16" in error for error in refused), refused)

    def test_what_is_asked_for_is_there(self):
        _, lines = run("asked", "--list")
        names = {f"{line['bench']} {line['shape']}" for line in lines}
        self.assertLessEqual({
            "linear_bf16 4096 x 4096 x 4096", "linear_bf16 8192 x 8192 x 8192", "linear_w8a8 4096 x 4096 x 4096",
            "linear_bf16 1 x 28672 x 8192", "attention_decode_bf16 32 x 4096, 32/8 heads of 128",
            "decode_bf16 llama-3.2-1b", "decode_bf16_transformers llama-3.2-1b",
        }, names)

    def test_what_is_done_is_not_run_again(self):
        _, lines = run("asked", "--tiny")
        keys = [line["begin"] for line in lines if "begin" in line]
        self.assertEqual([line["end"] for line in lines if "end" in line], keys)
        _, lines = run("asked", "--tiny", done=keys[:-1])
        self.assertEqual([line["begin"] for line in lines if "begin" in line], keys[-1:])

    def test_calls_are_a_graph_over_all_copies(self):
        used = []
        torch.calls.clear()
        times, calls, graphed = measure(torch, used.append, 7, 4)
        self.assertEqual((len(times), graphed), (4, True))
        self.assertEqual(set(used), set(range(7)))
        self.assertEqual(calls % 7, 0)
        self.assertEqual(torch.calls.count("replay"), 4 + WARM_UPS)

    def test_copies_exceed_the_cache(self):
        small = Case("b", "s", 1 << 20, 0, None)
        self.assertEqual(small.copies(512 << 20), 512)
        self.assertEqual(Case("b", "s", 1 << 30, 0, None).copies(512 << 20), 2)
        self.assertEqual(Case("b", "s", 1 << 30, 0, None, input_bytes=100 << 20).copies(512 << 20), 6)

    def test_errors_that_stick_end_the_process(self):
        def broken(*_):
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")

        with mock.patch.object(Case, "time", broken), self.assertRaises(SystemExit) as end:
            run("asked", "--tiny")
        self.assertEqual(end.exception.code, 76)

    def test_memory_that_does_not_suffice_is_a_finding(self):
        def full(*_):
            raise RuntimeError("CUDA out of memory. Tried to allocate")

        with mock.patch.object(Case, "time", full):
            code, lines = run("asked", "--tiny")
        self.assertEqual(code, 0)
        self.assertTrue([line for line in lines if line.get("error", "").startswith("CUDA out of memory")])

    def test_the_stand_in_sees_mistakes(self):
        x = torch.randn(3, 8, device="cuda")
        for mistake in (
            lambda: torch.matmul(x, x),
            lambda: torch.randn(3, 8),
            lambda: torch.matmul(x, torch.randn(8, 3, dtype=torch.bfloat16, device="cuda")),
            lambda: torch.rnadn(3),
            lambda: x.view(5, 5),
        ):
            with self.assertRaises((AssertionError, AttributeError)):
                mistake()


if __name__ == "__main__":
    unittest.main()
