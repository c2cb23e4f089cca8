/* Beginning and ending a capture. */
#include <set>

#include "driver.h"

using namespace lathe::emulator;

namespace {

// CUstreamCaptureStatus
enum : int { kNone = 0, kActive = 1, kInvalidated = 2 };

int status_of(const Stream& stream) {
  return stream.capture == nullptr ? kNone : stream.capture->invalidated ? kInvalidated : kActive;
}

/** Whether all that other streams have put into the capture comes before what its first stream did last. */
bool joined(Driver& d, const Capture& capture) {
  std::set<const GraphNode*> reached;
  std::vector<const GraphNode*> open(capture.origin->capture_front.begin(), capture.origin->capture_front.end());
  while (!open.empty()) {
    const GraphNode* node = open.back();
    open.pop_back();
    if (reached.insert(node).second) open.insert(open.end(), node->dependencies.begin(), node->dependencies.end());
  }
  bool all = true;
  d.streams.each([&](Stream& stream) {
    if (stream.capture != &capture) return;
    for (const GraphNode* node : stream.capture_front) all = all && reached.contains(node);
  });
  return all;
}

}  // namespace

LATHE_DRIVER CUresult cuStreamBeginCapture_v2(void* handle, int mode) {
  return in_context([&](Driver& d, Context& context) {
    Stream* stream = d.stream(context, handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (mode < 0 || mode > static_cast<int>(CaptureMode::kRelaxed)) return CUDA_ERROR_INVALID_VALUE;
    if (stream == &context.default_stream)
      return d.refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "cuStreamBeginCapture: the default stream can't capture");
    if (stream->capture != nullptr) return CUDA_ERROR_ILLEGAL_STATE;
    stream->capture = d.captures.add(Capture{.id = d.new_id(),
                                             .context = &context,
                                             .graph = d.graphs.add(Graph{.context = &context}),
                                             .origin = stream,
                                             .mode = static_cast<CaptureMode>(mode),
                                             .thread = std::this_thread::get_id()});
    stream->capture_front.clear();
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuStreamEndCapture(void* handle, Graph** graph) {
  return in_context([&](Driver& d, Context& context) {
    Stream* stream = d.stream(context, handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *graph = nullptr;
    Capture* capture = stream->capture;
    if (capture == nullptr) return CUDA_ERROR_ILLEGAL_STATE;
    if (capture->origin != stream)
      return invalidate(d, *capture, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "cuStreamEndCapture of another stream");
    if (capture->mode != CaptureMode::kRelaxed && capture->thread != std::this_thread::get_id())
      return invalidate(d, *capture, CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "cuStreamEndCapture in another thread");
    CUresult result = CUDA_SUCCESS;
    if (capture->invalidated) {
      result = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    } else if (!joined(d, *capture)) {
      result = d.refuse(CUDA_ERROR_STREAM_CAPTURE_UNJOINED,
                        "cuStreamEndCapture: another stream's work was not joined with an event");
    }
    if (result == CUDA_SUCCESS)
      *graph = capture->graph;
    else
      destroy_graph(d, capture->graph);
    end_capture(d, capture);
    return result;
  });
}

LATHE_DRIVER CUresult cuStreamIsCapturing(void* handle, int* status) {
  return in_context([&](Driver& d, Context& context) {
    Stream* stream = d.stream(context, handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (status == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult wrong = refuse_implicit(d, context, *stream, "cuStreamIsCapturing"); wrong != CUDA_SUCCESS)
      return wrong;
    *status = status_of(*stream);
    return CUDA_SUCCESS;
  });
}

/** JCuda 12.6 doesn't link this one; it is here for callers through java.lang.foreign. */
LATHE_DRIVER CUresult cuStreamGetCaptureInfo_v2(void* handle, int* status, uint64_t* id, Graph** graph,
                                                GraphNode* const** dependencies, size_t* count) {
  return in_context([&](Driver& d, Context& context) {
    Stream* stream = d.stream(context, handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (status == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *status = status_of(*stream);
    if (*status != kActive) return CUDA_SUCCESS;
    if (id != nullptr) *id = stream->capture->id;
    if (graph != nullptr) *graph = stream->capture->graph;
    if (dependencies != nullptr) *dependencies = stream->capture_front.data();
    if (count != nullptr) *count = stream->capture_front.size();
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuThreadExchangeStreamCaptureMode(int* mode) {
  return in_driver([&](Driver&) {
    if (mode == nullptr || *mode < 0 || *mode > static_cast<int>(CaptureMode::kRelaxed))
      return CUDA_ERROR_INVALID_VALUE;
    int before = static_cast<int>(thread_capture_mode());
    thread_capture_mode() = static_cast<CaptureMode>(*mode);
    *mode = before;
    return CUDA_SUCCESS;
  });
}
