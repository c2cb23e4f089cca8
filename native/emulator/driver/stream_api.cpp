/* Streams, and functions of the host's that they call. */
#include <algorithm>

#include "driver.h"

using namespace lathe::emulator;

namespace {

constexpr unsigned kNonBlocking = 1;
constexpr int kGreatestPriority = -5;  // of -5 to 0, as on NVIDIA's devices; it changes nothing here

CUresult create_stream(void** handle, unsigned flags, int priority) {
  return in_context([&](Driver& d, Context& context) {
    if (handle == nullptr || (flags & ~kNonBlocking) != 0) return CUDA_ERROR_INVALID_VALUE;
    *handle = d.add_stream(context, (flags & kNonBlocking) == 0, flags, std::clamp(priority, kGreatestPriority, 0));
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

}  // namespace

LATHE_DRIVER CUresult cuStreamCreate(void** stream, unsigned flags) { return create_stream(stream, flags, 0); }
LATHE_DRIVER CUresult cuStreamCreateWithPriority(void** stream, unsigned flags, int priority) {
  return create_stream(stream, flags, priority);
}

LATHE_DRIVER CUresult cuStreamDestroy_v2(void* handle) {
  return in_context([&](Driver& d, Context& context) {
    Stream* stream = d.streams.find(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (Capture* capture = stream->capture; capture != nullptr) {
      capture->invalidated = true;
      if (capture->origin == stream) {
        destroy_graph(d, capture->graph);
        end_capture(d, capture);
      }
    }
    d.finish(*stream);
    d.remove_stream(stream);
    return context.fault;
  });
}

LATHE_DRIVER CUresult cuStreamSynchronize(void* handle) {
  return with_stream(handle, [](Driver& d, Context& context, Stream& stream) {
    CUresult wrong = refuse_capturing(d, context, stream, "cuStreamSynchronize");
    if (wrong != CUDA_SUCCESS) return wrong;
    d.finish(stream);
    return context.fault;
  });
}

// What waits runs now, so that who asks again and again gets there; but it wasn't done when it was asked for.
LATHE_DRIVER CUresult cuStreamQuery(void* handle) {
  return with_stream(handle, [](Driver& d, Context& context, Stream& stream) {
    CUresult wrong = refuse_capturing(d, context, stream, "cuStreamQuery");
    if (wrong != CUDA_SUCCESS) return wrong;
    bool idle = stream.commands.empty();
    d.finish(stream);
    if (context.fault != CUDA_SUCCESS) return context.fault;
    return idle ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
  });
}

LATHE_DRIVER CUresult cuStreamGetFlags(void* handle, unsigned* flags) {
  return with_stream(handle, [&](Driver&, Context&, Stream& stream) {
    *flags = stream.flags;
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuStreamGetPriority(void* handle, int* priority) {
  return with_stream(handle, [&](Driver&, Context&, Stream& stream) {
    *priority = stream.priority;
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuStreamGetId(void* handle, uint64_t* id) {
  return with_stream(handle, [&](Driver&, Context&, Stream& stream) {
    *id = stream.id;
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuStreamGetCtx(void* handle, Context** context) {
  return with_stream(handle, [&](Driver&, Context& current, Stream& stream) {
    *context = stream.context == nullptr ? &current : stream.context;
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuStreamWaitEvent(void* handle, void* event_handle, unsigned) {
  return with_stream(handle, [&](Driver& d, Context& context, Stream& stream) {
    Event* event = d.events.find(event_handle);
    if (event == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (!event->recorded) return CUDA_SUCCESS;
    if (stream.capture != nullptr || event->captured) return capture_wait(d, stream, *event);
    CUresult wrong = refuse_implicit(d, context, stream, "cuStreamWaitEvent");
    if (wrong != CUDA_SUCCESS) return wrong;
    d.enqueue(stream, Nothing{}, {event->point}, event->clock);
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuLaunchHostFunc(void* stream, void (*function)(void*), void* data) {
  return in_context([&](Driver& d, Context& context) {
    if (function == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return submit(d, context, stream, "cuLaunchHostFunc", HostCall{function, data});
  });
}

LATHE_DRIVER CUresult cuStreamAddCallback(void* stream, void (*function)(void*, CUresult, void*), void* data,
                                          unsigned flags) {
  return in_context([&](Driver& d, Context& context) {
    if (function == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    return submit(d, context, stream, "cuStreamAddCallback", StreamCallback{function, stream, data});
  });
}

LATHE_DRIVER CUresult cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  return in_context([&](Driver&, Context&) {
    if (least != nullptr) *least = 0;
    if (greatest != nullptr) *greatest = kGreatestPriority;
    return CUDA_SUCCESS;
  });
}
