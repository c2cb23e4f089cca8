"""How a call is timed: graphs of calls over rotated inputs, with the device's clock, all samples queued at once."""

from dataclasses import dataclass
from typing import Callable

CACHE_BYTES = 512 << 20  # what the copies of a call's inputs exceed together, or
CACHES = 8  # so many times the device's L2 cache: below, a part of what was read is still there
MOST_COPIES = 512
SAMPLES = 31
SAMPLE_MICROSECONDS = 2000  # a graph holds as many calls as take about this long
MOST_CALLS = 4000
WARM_UPS = 12  # clocks of a device that waited for data take a while to rise


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
    arithmetic: str = ""  # what multiplies: bf16, int8
    input_bytes: int = 0  # of one copy; 0: as `bytes`

    def copies(self, cache_bytes):
        return max(2, min(MOST_COPIES, -(-cache_bytes // max(1, self.input_bytes or self.bytes))))

    def time(self, samples=SAMPLES):
        import torch

        copies = self.copies(max(CACHE_BYTES, CACHES * torch.cuda.get_device_properties(0).L2_cache_size))
        call = self.prepare(copies)
        times, calls, graphed = measure(torch, call, copies, samples)
        return {"samples_us": times, "bytes": self.bytes, "flops": self.flops, "arithmetic": self.arithmetic,
                "copies": copies, "calls_a_sample": calls, "graph": graphed}


def measure(torch, call, copies, samples):
    """Samples in microseconds for one call, the calls a sample has, and whether they were a graph's."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for i in range(copies):  # chooses algorithms, and touches every copy
            call(i)
        rough = replays(torch, lambda: [call(i) for i in range(copies)], 1)[0] / copies
        calls = copies * max(1, round(SAMPLE_MICROSECONDS / max(rough, 0.1) / copies))
        calls = min(calls, MOST_CALLS)
        replay, graphed = capture(torch, call, calls, copies, stream)
        replays(torch, replay, WARM_UPS)
        times = [time / calls for time in replays(torch, replay, samples)]
    return times, calls, graphed


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


def replays(torch, work, count):
    """Microseconds on the device, of each of so many. None waits for the host, which is ahead of the device."""
    spans = []
    for _ in range(count):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        work()
        end.record()
        spans.append((start, end))
    torch.cuda.synchronize()
    return [1000 * start.elapsed_time(end) for start, end in spans]
