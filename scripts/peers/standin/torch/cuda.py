"""Streams, graphs and events that know in which order they may be used."""

import contextlib

from .core import recorded, require

_current = []
_capturing = []


def is_available():
    return True


def get_device_name():
    return "stand-in"


def get_device_capability():
    return (9, 0)


class _Properties:
    L2_cache_size = 1 << 20


def get_device_properties(index):
    return _Properties()


def synchronize():
    require(not _capturing, "synchronize in a capture")
    recorded("synchronize", None)


def empty_cache():
    require(not _capturing, "empty_cache in a capture")


class Stream:
    def synchronize(self):
        require(not _capturing, "synchronize in a capture")

    def wait_stream(self, other):
        require(isinstance(other, Stream), "wait_stream of another thing")


_default = Stream()


def current_stream():
    return _current[-1] if _current else _default


@contextlib.contextmanager
def stream(which):
    require(isinstance(which, Stream), "not a stream")
    _current.append(which)
    yield
    _current.pop()


class CUDAGraph:
    captured = False

    def replay(self):
        require(self.captured and not _capturing, "replay of what isn't captured")
        recorded("replay", None)


@contextlib.contextmanager
def graph(which, stream=None):
    require(stream is not None and stream is current_stream(), "a capture in another stream than the calls")
    require(not _capturing, "a capture in a capture")
    _capturing.append(which)
    try:
        yield
    finally:
        _capturing.pop()
    which.captured = True
    recorded("graph", None)


class Event:
    recorded = False

    def __init__(self, enable_timing=False):
        self.timing = enable_timing

    def record(self):
        require(not _capturing, "an event in a capture")
        self.recorded = True

    def elapsed_time(self, end):
        require(self.timing and end.timing and self.recorded and end.recorded, "time between events that have none")
        return 1.0
