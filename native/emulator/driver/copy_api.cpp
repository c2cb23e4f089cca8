/* Copies and fills. */
#include <algorithm>
#include <cstring>

#include "copy_structs.h"
#include "driver.h"

using namespace lathe::emulator;

namespace lathe::emulator {

namespace {

CUresult check_range(Driver& d, CUdeviceptr address, size_t bytes, const char* what) {
  if (d.memory.is_allocated(address, bytes)) return CUDA_SUCCESS;
  return d.refuse(CUDA_ERROR_INVALID_VALUE, "%s of %zu bytes at 0x%zx leaves its allocation: that is %s", what, bytes,
                  address, d.memory.describe(address).c_str());
}

/** One end of a box: the address of its first byte, and its steps. */
template <class End>
CUresult place(Driver& d, const End& end, size_t slice_rows, size_t z, const char* what, uintptr_t* address,
               size_t* pitch, size_t* slice, size_t width) {
  if (end.side == Side::kArray) return d.refuse(CUDA_ERROR_NOT_SUPPORTED, "%s: arrays", what);
  uintptr_t base = end.side == Side::kHost ? end.host : end.device;
  if (base == 0) return CUDA_ERROR_INVALID_VALUE;
  *pitch = end.pitch != 0 ? end.pitch : width;
  if (*pitch < end.x_bytes + width) return CUDA_ERROR_INVALID_VALUE;
  *slice = *pitch * slice_rows;
  *address = base + end.x_bytes + end.y * *pitch + z * *slice;
  return CUDA_SUCCESS;
}

}  // namespace

CUresult check_copy(Driver& d, const Copy& copy) {
  if (copy.empty()) return CUDA_SUCCESS;
  if (d.memory.contains(copy.from))
    if (CUresult wrong = check_range(d, copy.from, copy.from_span(), "a copy, its source,"); wrong != CUDA_SUCCESS)
      return wrong;
  if (d.memory.contains(copy.to))
    if (CUresult wrong = check_range(d, copy.to, copy.to_span(), "a copy, its target,"); wrong != CUDA_SUCCESS)
      return wrong;
  return CUDA_SUCCESS;
}

CUresult check_fill(Driver& d, const Fill& fill) {
  if (fill.element_bytes != 1 && fill.element_bytes != 2 && fill.element_bytes != 4) return CUDA_ERROR_INVALID_VALUE;
  if (fill.width == 0 || fill.height == 0) return CUDA_SUCCESS;
  if (fill.to % fill.element_bytes != 0) return CUDA_ERROR_INVALID_VALUE;
  if (fill.height > 1 && fill.pitch < fill.width * fill.element_bytes) return CUDA_ERROR_INVALID_VALUE;
  return check_range(d, fill.to, fill.span(), "a fill");
}

CUresult make_copy(Driver& d, const Copy2D& p, Copy* copy) {
  copy->width = p.width;
  copy->height = p.height;
  CUresult wrong = place(d, p.from, 0, 0, "a copy, its source,", &copy->from, &copy->from_pitch, &copy->from_slice,
                         p.width);
  if (wrong == CUDA_SUCCESS)
    wrong = place(d, p.to, 0, 0, "a copy, its target,", &copy->to, &copy->to_pitch, &copy->to_slice, p.width);
  return wrong == CUDA_SUCCESS ? check_copy(d, *copy) : wrong;
}

CUresult make_copy(Driver& d, const Copy3D& p, Copy* copy) {
  copy->width = p.width;
  copy->height = p.height;
  copy->depth = p.depth;
  auto rows = [&](const Copy3D::End& end) { return end.height != 0 ? end.height : p.height; };
  CUresult wrong = place(d, p.from, rows(p.from), p.from.z, "a copy, its source,", &copy->from, &copy->from_pitch,
                         &copy->from_slice, p.width);
  if (wrong == CUDA_SUCCESS)
    wrong = place(d, p.to, rows(p.to), p.to.z, "a copy, its target,", &copy->to, &copy->to_pitch, &copy->to_slice,
                  p.width);
  return wrong == CUDA_SUCCESS ? check_copy(d, *copy) : wrong;
}

}  // namespace lathe::emulator

namespace {

bool is_pageable(Driver& d, uintptr_t address) { return d.memory.find(address).kind == MemoryKind::kNone; }

/**
 * Submits a copy by CUDA's rules: a pageable source is read before the call returns, a pageable target is written by
 * then, and pinned memory of the host's is read or written when the copy's turn comes.
 */
CUresult submit_copy(Driver& d, Context& context, Copy copy, void* stream_handle, const char* name, bool now) {
  Stream* stream = d.stream(context, stream_handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (CUresult wrong = check_copy(d, copy); wrong != CUDA_SUCCESS) return wrong;
  if (copy.empty() && stream->capture == nullptr) return CUDA_SUCCESS;
  bool from_pageable = is_pageable(d, copy.from), to_pageable = is_pageable(d, copy.to);
  if (stream->capture != nullptr && (from_pageable || to_pageable))
    return invalidate(d, *stream->capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "a copy of pageable memory");
  if (from_pageable && !now && !copy.empty()) {
    const char* source = reinterpret_cast<const char*>(copy.from);
    copy.staged = std::make_shared<const std::vector<char>>(source, source + copy.from_span());
  }
  return submit(d, context, stream_handle, name, std::move(copy), now || to_pageable);
}

CUresult copy(uintptr_t to, uintptr_t from, size_t bytes, void* stream, const char* name, bool now) {
  return in_context([&](Driver& d, Context& context) {
    return submit_copy(d, context, Copy{.to = to, .from = from, .width = bytes}, stream, name, now);
  });
}

template <class Parameters>
CUresult copy_box(const Parameters* parameters, void* stream, const char* name, bool now) {
  return in_context([&](Driver& d, Context& context) {
    if (parameters == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Copy made;
    if (CUresult wrong = make_copy(d, *parameters, &made); wrong != CUDA_SUCCESS) return wrong;
    return submit_copy(d, context, std::move(made), stream, name, now);
  });
}

/** An end that has to be the device's. */
CUresult require_device(CUdeviceptr address, size_t bytes, const char* what) {
  return in_context([&](Driver& d, Context&) {
    return bytes == 0 ? CUDA_SUCCESS : check_range(d, address, bytes, what);
  });
}

CUresult to_device(CUdeviceptr to, const void* from, size_t bytes, void* stream, const char* name, bool now) {
  if (CUresult wrong = require_device(to, bytes, "a copy to the device"); wrong != CUDA_SUCCESS) return wrong;
  return copy(to, reinterpret_cast<uintptr_t>(from), bytes, stream, name, now);
}
CUresult to_host(void* to, CUdeviceptr from, size_t bytes, void* stream, const char* name, bool now) {
  if (CUresult wrong = require_device(from, bytes, "a copy to the host"); wrong != CUDA_SUCCESS) return wrong;
  return copy(reinterpret_cast<uintptr_t>(to), from, bytes, stream, name, now);
}
CUresult on_device(CUdeviceptr to, CUdeviceptr from, size_t bytes, void* stream, const char* name) {
  if (CUresult wrong = require_device(from, bytes, "a copy on the device"); wrong != CUDA_SUCCESS) return wrong;
  if (CUresult wrong = require_device(to, bytes, "a copy on the device"); wrong != CUDA_SUCCESS) return wrong;
  return copy(to, from, bytes, stream, name, false);
}

CUresult fill(CUdeviceptr to, size_t pitch, uint32_t value, unsigned element_bytes, size_t width, size_t height,
              void* stream, const char* name) {
  return in_context([&](Driver& d, Context& context) {
    Fill made{to, pitch, value, element_bytes, width, height};
    CUresult wrong = check_fill(d, made);
    return wrong != CUDA_SUCCESS ? wrong : submit(d, context, stream, name, made);
  });
}

}  // namespace

LATHE_DRIVER CUresult cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  return copy(to, from, bytes, nullptr, "cuMemcpy", true);
}
LATHE_DRIVER CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, void* stream) {
  return copy(to, from, bytes, stream, "cuMemcpyAsync", false);
}
LATHE_DRIVER CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t bytes) {
  return to_device(to, from, bytes, nullptr, "cuMemcpyHtoD", true);
}
LATHE_DRIVER CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, void* stream) {
  return to_device(to, from, bytes, stream, "cuMemcpyHtoDAsync", false);
}
LATHE_DRIVER CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes) {
  return to_host(to, from, bytes, nullptr, "cuMemcpyDtoH", true);
}
LATHE_DRIVER CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, void* stream) {
  return to_host(to, from, bytes, stream, "cuMemcpyDtoHAsync", false);
}
// Copies on the device and fills return before they are done, in CUDA too.
LATHE_DRIVER CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  return on_device(to, from, bytes, nullptr, "cuMemcpyDtoD");
}
LATHE_DRIVER CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, void* stream) {
  return on_device(to, from, bytes, stream, "cuMemcpyDtoDAsync");
}
LATHE_DRIVER CUresult cuMemcpy2D_v2(const Copy2D* parameters) {
  return copy_box(parameters, nullptr, "cuMemcpy2D", true);
}
LATHE_DRIVER CUresult cuMemcpy2DUnaligned_v2(const Copy2D* parameters) {
  return copy_box(parameters, nullptr, "cuMemcpy2DUnaligned", true);
}
LATHE_DRIVER CUresult cuMemcpy2DAsync_v2(const Copy2D* parameters, void* stream) {
  return copy_box(parameters, stream, "cuMemcpy2DAsync", false);
}
LATHE_DRIVER CUresult cuMemcpy3D_v2(const Copy3D* parameters) {
  return copy_box(parameters, nullptr, "cuMemcpy3D", true);
}
LATHE_DRIVER CUresult cuMemcpy3DAsync_v2(const Copy3D* parameters, void* stream) {
  return copy_box(parameters, stream, "cuMemcpy3DAsync", false);
}

#define LATHE_FILL(BITS, TYPE)                                                                                       \
  LATHE_DRIVER CUresult cuMemsetD##BITS##_v2(CUdeviceptr to, TYPE value, size_t count) {                             \
    return fill(to, 0, value, BITS / 8, count, 1, nullptr, "cuMemsetD" #BITS);                                       \
  }                                                                                                                  \
  LATHE_DRIVER CUresult cuMemsetD##BITS##Async(CUdeviceptr to, TYPE value, size_t count, void* stream) {             \
    return fill(to, 0, value, BITS / 8, count, 1, stream, "cuMemsetD" #BITS "Async");                                \
  }                                                                                                                  \
  LATHE_DRIVER CUresult cuMemsetD2D##BITS##_v2(CUdeviceptr to, size_t pitch, TYPE value, size_t width, size_t rows) { \
    return fill(to, pitch, value, BITS / 8, width, rows, nullptr, "cuMemsetD2D" #BITS);                              \
  }                                                                                                                  \
  LATHE_DRIVER CUresult cuMemsetD2D##BITS##Async(CUdeviceptr to, size_t pitch, TYPE value, size_t width, size_t rows, \
                                                 void* stream) {                                                     \
    return fill(to, pitch, value, BITS / 8, width, rows, stream, "cuMemsetD2D" #BITS "Async");                       \
  }

LATHE_FILL(8, unsigned char)
LATHE_FILL(16, unsigned short)
LATHE_FILL(32, unsigned)
