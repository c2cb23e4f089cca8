"""How a call is timed: graphs of calls over rotated inputs, with the device's clock."""

from dataclasses import dataclass
from typing import Callable

CACHE_BYTES = 160 << 20  # what the copies of a call's inputs exceed together: three times an H200's L2
SAMPLES = 31
SAMPLE_MICROSECONDS = 2000  # a graph holds as many calls as take about this long


@dataclass
class Case:
    """One thing to time.

    prepare(copies) returns a function of i: the call on the i-th copy of its inputs.
    """

    bench: str
    shape: str
    bytes: int  # that have to move at least
    flops: int  # a multiply-add is two
    prepare: Callable[[int], Callable[[int], object]]
    input_bytes: int = 0  # of one copy; 0: as `bytes`

    def copies(self):
        return max(1, min(512, -(-CACHE_BYTES // max(1, self.input_bytes or self.bytes))))

    def time(self):
        import torch

        copies = self.copies()
        call = self.prepare(copies)
        samples, calls, graphed = measure(torch, call, copies)
        return {"samples_us": samples, "bytes": self.bytes, "flops": self.flops, "copies": copies,
                "calls_a_sample": calls, "graph": graphed}


def measure(torch, call, copies):
    """Samples in microseconds for one call, the calls a sample has, and whether they were a graph's."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for i in range(copies):  # chooses algorithms, and touches every copy
            call(i)
        rough = elapsed(torch, lambda: [call(i) for i in range(copies)]) / copies
        calls = copies * max(1, round(SAMPLE_MICROSECONDS / max(rough, 0.1) / copies))
        calls = min(calls, 4000)
        replay, graphed = capture(torch, call, calls, copies, stream)
        replay()
        samples = [elapsed(torch, replay) / calls for _ in range(SAMPLES)]
    return samples, calls, graphed


def capture(torch, call, calls, copies, stream):
    """One graph of all calls; the calls themselves where they can't be captured."""
    graph = torch.cuda.CUDAGraph()
    stream.synchronize()
    try:
        kept = []  # a result's memory belongs to the graph: freed in it, it would be used again at once, in the cache
        with torch.cuda.graph(graph, stream=stream):
            for i in range(calls):
                kept.append(call(i % copies))
                if len(kept) > copies:
                    kept.pop(0)
        return graph.replay, True
    except RuntimeError:
        torch.cuda.synchronize()
        return (lambda: [call(i % copies) for i in range(calls)]), False


def elapsed(torch, work):
    """Microseconds on the device."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    work()
    end.record()
    end.synchronize()
    return 1000 * start.elapsed_time(end)
