/* Streams and events. A command runs when somebody waits for it, or for something that it comes before. */
#include <chrono>

#include "driver.h"

using namespace lathe::emulator;

namespace lathe::emulator {

/** The stream behind a handle; 0 and the two special handles are the default stream. Null: not a stream. */
Stream* Driver::stream(Context& context, void* handle) {
  constexpr uintptr_t kLegacy = 1, kPerThread = 2;
  uintptr_t value = reinterpret_cast<uintptr_t>(handle);
  if (value == 0 || value == kLegacy || value == kPerThread) return &context.default_stream;
  return streams.has(handle) ? static_cast<Stream*>(handle) : nullptr;
}

Stream* Driver::stream_by_id(uint64_t id) {
  Stream* found = nullptr;
  contexts.each([&](Context& context) {
    if (context.default_stream.id == id) found = &context.default_stream;
  });
  streams.each([&](Stream& stream) {
    if (stream.id == id) found = &stream;
  });
  return found;
}

StreamPoint Driver::enqueue(Stream& stream, std::function<void()> run, std::vector<StreamPoint> after) {
  uint64_t ticket = ++tickets;
  // The default stream waits for all that was put into blocking streams before, and they for it.
  Stream& default_stream = stream.context->default_stream;
  if (&stream == &default_stream) {
    streams.each([&](Stream& other) {
      if (other.context == stream.context && other.blocking && !other.commands.empty())
        after.push_back({other.id, ticket});
    });
  } else if (stream.blocking) {
    after.push_back({default_stream.id, ticket});
  }
  stream.commands.push_back({ticket, std::move(after), std::move(run)});
  return {stream.id, ticket};
}

void Driver::run_until_here(StreamPoint point) {
  // What a command waits for was put in before it, so this ends.
  Stream* stream = stream_by_id(point.stream);
  while (stream != nullptr && !stream->commands.empty() && stream->commands.front().ticket <= point.ticket) {
    Command command = std::move(stream->commands.front());
    stream->commands.pop_front();
    for (const StreamPoint& before : command.after) run_until_here(before);
    if (stream->context->fault == CUDA_SUCCESS) command.run();
  }
}

void Driver::run_until(StreamPoint point) {
  device.run([&] { run_until_here(point); });
}

void Driver::finish(Stream& stream) { run_until({stream.id, tickets}); }

void Driver::finish_all() {
  std::vector<uint64_t> ids;
  contexts.each([&](Context& context) { ids.push_back(context.default_stream.id); });
  streams.each([&](Stream& stream) { ids.push_back(stream.id); });
  for (uint64_t id : ids) run_until({id, tickets});
}

}  // namespace lathe::emulator

namespace {

constexpr unsigned kNonBlocking = 1, kDisableTiming = 2;

double now_milliseconds() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

CUresult create_stream(void** handle, unsigned flags) {
  return in_context([&](Driver& d, Context& context) {
    if (handle == nullptr || (flags & ~kNonBlocking) != 0) return CUDA_ERROR_INVALID_VALUE;
    *handle = d.streams.add(Stream{++d.stream_ids, &context, (flags & kNonBlocking) == 0, flags, {}});
    return CUDA_SUCCESS;
  });
}

template <class Body>
CUresult with_stream(void* handle, Body body) {
  return in_context([&](Driver& d, Context& context) {
    Stream* stream = d.stream(context, handle);
    return stream == nullptr ? CUDA_ERROR_INVALID_HANDLE : body(d, context, *stream);
  });
}

template <class Body>
CUresult with_event(void* handle, Body body) {
  return in_context([&](Driver& d, Context& context) {
    return d.events.has(handle) ? body(d, context, *static_cast<Event*>(handle)) : CUDA_ERROR_INVALID_HANDLE;
  });
}

}  // namespace

LATHE_DRIVER CUresult cuStreamCreate(void** stream, unsigned flags) { return create_stream(stream, flags); }
LATHE_DRIVER CUresult cuStreamCreateWithPriority(void** stream, unsigned flags, int) {
  return create_stream(stream, flags);
}

LATHE_DRIVER CUresult cuStreamDestroy_v2(void* handle) {
  return in_context([&](Driver& d, Context& context) {
    if (!d.streams.has(handle)) return CUDA_ERROR_INVALID_HANDLE;
    d.finish(*static_cast<Stream*>(handle));
    d.streams.remove(handle);
    return context.fault;
  });
}

LATHE_DRIVER CUresult cuStreamSynchronize(void* handle) {
  return with_stream(handle, [](Driver& d, Context& context, Stream& stream) {
    d.finish(stream);
    return context.fault;
  });
}

// Something that polls must get there, so each query lets one command run.
LATHE_DRIVER CUresult cuStreamQuery(void* handle) {
  return with_stream(handle, [](Driver& d, Context& context, Stream& stream) {
    if (stream.commands.empty()) return CUDA_SUCCESS;
    d.run_until({stream.id, stream.commands.front().ticket});
    return context.fault != CUDA_SUCCESS ? context.fault : CUDA_ERROR_NOT_READY;
  });
}

LATHE_DRIVER CUresult cuStreamGetFlags(void* handle, unsigned* flags) {
  return with_stream(handle, [&](Driver&, Context&, Stream& stream) {
    *flags = stream.flags;
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuStreamWaitEvent(void* handle, void* event_handle, unsigned) {
  return with_stream(handle, [&](Driver& d, Context&, Stream& stream) {
    if (!d.events.has(event_handle)) return CUDA_ERROR_INVALID_HANDLE;
    Event& event = *static_cast<Event*>(event_handle);
    if (event.recorded) d.enqueue(stream, [] {}, {event.point});
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  return in_context([&](Driver&, Context&) {
    if (least != nullptr) *least = 0;
    if (greatest != nullptr) *greatest = 0;
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuEventCreate(void** event, unsigned flags) {
  return in_context([&](Driver& d, Context& context) {
    if (event == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *event = d.events.add(Event{.context = &context, .timed = (flags & kDisableTiming) == 0, .point = {}});
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
    auto state = std::make_shared<Event::State>(Event::State{.done = false});
    event.state = state;
    event.recorded = true;
    event.point = d.enqueue(*stream, [state] {
      state->milliseconds = now_milliseconds();
      state->done = true;
    });
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuEventSynchronize(void* handle) {
  return with_event(handle, [](Driver& d, Context& context, Event& event) {
    if (!event.state->done) d.run_until(event.point);
    return context.fault;
  });
}

LATHE_DRIVER CUresult cuEventQuery(void* handle) {
  return with_event(handle, [](Driver& d, Context& context, Event& event) {
    if (event.state->done) return CUDA_SUCCESS;
    d.run_until(event.point);
    return context.fault != CUDA_SUCCESS ? context.fault : CUDA_ERROR_NOT_READY;
  });
}

LATHE_DRIVER CUresult cuEventElapsedTime(float* milliseconds, void* start, void* end) {
  return with_event(start, [&](Driver& d, Context&, Event& from) {
    if (!d.events.has(end)) return CUDA_ERROR_INVALID_HANDLE;
    Event& to = *static_cast<Event*>(end);
    if (!from.timed || !to.timed || !from.recorded || !to.recorded) return CUDA_ERROR_INVALID_HANDLE;
    if (!from.state->done || !to.state->done) return CUDA_ERROR_NOT_READY;
    *milliseconds = static_cast<float>(to.state->milliseconds - from.state->milliseconds);
    return CUDA_SUCCESS;
  });
}
