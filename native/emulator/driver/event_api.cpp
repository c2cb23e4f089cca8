/* Events: points in streams that others wait for, and that time passes between. */
#include "driver.h"

using namespace lathe::emulator;

namespace {

constexpr unsigned kBlockingSync = 1, kDisableTiming = 2;

template <class Body>
CUresult with_event(void* handle, Body body) {
  return in_context([&](Driver& d, Context& context) {
    Event* event = d.events.find(handle);
    return event == nullptr ? CUDA_ERROR_INVALID_HANDLE : body(d, context, *event);
  });
}

/** The same where the event was recorded outside a capture, and no capture forbids to ask for it. */
template <class Body>
CUresult with_uncaptured_event(void* handle, const char* name, Body body) {
  return with_event(handle, [&](Driver& d, Context& context, Event& event) {
    if (event.captured)
      return event.capture == nullptr ? CUDA_ERROR_CAPTURED_EVENT
                                      : invalidate(d, *event.capture, CUDA_ERROR_CAPTURED_EVENT, name);
    CUresult wrong = refuse_beside_capture(d, name);
    return wrong != CUDA_SUCCESS ? wrong : body(d, context, event);
  });
}

}  // namespace

LATHE_DRIVER CUresult cuEventCreate(void** event, unsigned flags) {
  return in_context([&](Driver& d, Context& context) {
    if (event == nullptr || (flags & ~(kBlockingSync | kDisableTiming)) != 0) return CUDA_ERROR_INVALID_VALUE;
    *event = d.events.add(Event{.context = &context, .timed = (flags & kDisableTiming) == 0});
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuEventDestroy_v2(void* handle) {
  return with_event(handle, [&](Driver& d, Context&, Event&) {
    d.events.remove(handle);
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuEventRecord(void* handle, void* stream_handle) {
  return with_event(handle, [&](Driver& d, Context& context, Event& event) {
    Stream* stream = d.stream(context, stream_handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->capture != nullptr) {
      if (stream->capture->invalidated) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
      event.recorded = event.captured = true;
      event.capture = stream->capture;
      event.capture_front = stream->capture_front;
      return CUDA_SUCCESS;
    }
    CUresult wrong = refuse_implicit(d, context, *stream, "cuEventRecord");
    if (wrong != CUDA_SUCCESS) return wrong;
    event.state = std::make_shared<EventState>(EventState{.done = false});
    event.recorded = true;
    event.captured = false;
    event.capture = nullptr;
    event.point = d.enqueue(*stream, RecordEvent{event.state});
    event.clock = stream->clock;
    return CUDA_SUCCESS;
  });
}
LATHE_DRIVER CUresult cuEventRecordWithFlags(void* event, void* stream, unsigned flags) {
  return flags == 0 ? cuEventRecord(event, stream) : CUDA_ERROR_NOT_SUPPORTED;  // external nodes of a capture
}

LATHE_DRIVER CUresult cuEventSynchronize(void* handle) {
  return with_uncaptured_event(handle, "cuEventSynchronize", [](Driver& d, Context& context, Event& event) {
    if (event.recorded) d.wait(event.point, event.clock);
    return context.fault;
  });
}

LATHE_DRIVER CUresult cuEventQuery(void* handle) {
  return with_uncaptured_event(handle, "cuEventQuery", [](Driver& d, Context& context, Event& event) {
    if (!event.recorded) return CUDA_SUCCESS;
    bool done = event.state->done;
    d.wait(event.point, event.clock);
    if (context.fault != CUDA_SUCCESS) return context.fault;
    return done ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
  });
}

LATHE_DRIVER CUresult cuEventElapsedTime(float* milliseconds, void* start, void* end) {
  return with_event(start, [&](Driver& d, Context&, Event& from) {
    Event* to = d.events.find(end);
    if (to == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (milliseconds == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (from.captured || to->captured) return CUDA_ERROR_CAPTURED_EVENT;
    if (!from.timed || !to->timed || !from.recorded || !to->recorded) return CUDA_ERROR_INVALID_HANDLE;
    if (!from.state->done || !to->state->done) return CUDA_ERROR_NOT_READY;
    *milliseconds = static_cast<float>(to->state->milliseconds - from.state->milliseconds);
    return CUDA_SUCCESS;
  });
}
