#include "capture.h"

#include <algorithm>

#include "driver.h"

namespace lathe::emulator {

CaptureMode& thread_capture_mode() {
  static thread_local CaptureMode mode = CaptureMode::kGlobal;
  return mode;
}

CUresult invalidate(Driver& d, Capture& capture, CUresult result, const char* name) {
  capture.invalidated = true;
  return d.refuse(result, "%s: not allowed while a stream is capturing; the capture is invalid now", name);
}

CUresult refuse_beside_capture(Driver& d, const char* name) {
  CaptureMode mode = thread_capture_mode();
  if (mode == CaptureMode::kRelaxed) return CUDA_SUCCESS;
  CUresult result = CUDA_SUCCESS;
  d.captures.each([&](Capture& capture) {
    bool here = capture.thread == std::this_thread::get_id();
    bool forbids = here ? capture.mode != CaptureMode::kRelaxed
                        : capture.mode == CaptureMode::kGlobal && mode == CaptureMode::kGlobal;
    if (forbids) result = invalidate(d, capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, name);
  });
  return result;
}

CUresult refuse_implicit(Driver& d, Context& context, const Stream& stream, const char* name) {
  if (&stream != &context.default_stream) return CUDA_SUCCESS;
  CUresult result = CUDA_SUCCESS;
  d.streams.each([&](Stream& other) {
    if (other.context == &context && other.blocking && other.capture != nullptr)
      result = invalidate(d, *other.capture, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, name);
  });
  return result;
}

CUresult refuse_capturing(Driver& d, Context& context, Stream& stream, const char* name) {
  if (stream.capture != nullptr)
    return stream.capture->invalidated
               ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
               : invalidate(d, *stream.capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, name);
  CUresult wrong = refuse_implicit(d, context, stream, name);
  return wrong != CUDA_SUCCESS ? wrong : refuse_beside_capture(d, name);
}

CUresult capture_node(Driver& d, Stream& stream, const char* name, Operation operation) {
  Capture& capture = *stream.capture;
  if (capture.invalidated) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  NodeType type;
  if (std::holds_alternative<Launch>(operation)) {
    type = NodeType::kKernel;
  } else if (std::holds_alternative<Copy>(operation)) {
    type = NodeType::kCopy;
  } else if (std::holds_alternative<Fill>(operation)) {
    type = NodeType::kFill;
  } else if (std::holds_alternative<HostCall>(operation)) {
    type = NodeType::kHost;
  } else if (std::holds_alternative<HostWork>(operation)) {
    type = NodeType::kEmpty;  // a node whose parameters nobody can ask for
  } else {
    return invalidate(d, capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, name);
  }
  stream.capture_front = {add_node(d, *capture.graph, type, std::move(operation), stream.capture_front)};
  return CUDA_SUCCESS;
}

CUresult capture_wait(Driver& d, Stream& stream, const Event& event) {
  constexpr char kName[] = "cuStreamWaitEvent";
  if (stream.capture != nullptr && stream.capture->invalidated) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (event.capture == nullptr) {
    if (event.captured) return CUDA_ERROR_CAPTURED_EVENT;
    return invalidate(d, *stream.capture, CUDA_ERROR_STREAM_CAPTURE_ISOLATION, kName);
  }
  if (&stream == &stream.context->default_stream)
    return invalidate(d, *event.capture, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, kName);
  if (stream.capture != nullptr && stream.capture != event.capture) {
    event.capture->invalidated = true;
    return invalidate(d, *stream.capture, CUDA_ERROR_STREAM_CAPTURE_MERGE, kName);
  }
  stream.capture = event.capture;
  for (GraphNode* node : event.capture_front)
    if (std::ranges::find(stream.capture_front, node) == stream.capture_front.end())
      stream.capture_front.push_back(node);
  return CUDA_SUCCESS;
}

void end_capture(Driver& d, Capture* capture) {
  d.streams.each([&](Stream& stream) {
    if (stream.capture != capture) return;
    stream.capture = nullptr;
    stream.capture_front.clear();
  });
  d.events.each([&](Event& event) {
    if (event.capture != capture) return;
    event.capture = nullptr;
    event.capture_front.clear();
  });
  d.captures.remove(capture);
}

CUresult submit(Driver& d, Context& context, void* stream_handle, const char* name, Operation operation, bool now) {
  Stream* stream = d.stream(context, stream_handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (stream->capture != nullptr && !now) return capture_node(d, *stream, name, std::move(operation));
  CUresult wrong = now ? refuse_capturing(d, context, *stream, name) : refuse_implicit(d, context, *stream, name);
  if (wrong != CUDA_SUCCESS) return wrong;
  StreamPoint point = d.enqueue(*stream, std::move(operation));
  if (now) d.wait(point, stream->clock);
  return context.fault;
}

}  // namespace lathe::emulator
