/* Memory of the device and of the host: allocated, registered, asked about. Copies are in copy_api.cpp. */
#include <cstring>

#include "driver.h"

using namespace lathe::emulator;

namespace {

CUresult allocate(Driver& d, Context& context, uintptr_t* address, size_t bytes, MemoryKind kind, const char* name) {
  if (address == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  *address = d.memory.allocate(bytes, &context, kind);
  if (*address == 0) {
    d.finish_all();  // what streams have still to free
    if (context.fault != CUDA_SUCCESS) return context.fault;
    *address = d.memory.allocate(bytes, &context, kind);
  }
  if (*address != 0) return CUDA_SUCCESS;
  size_t total = d.memory.device_bytes();
  return d.refuse(CUDA_ERROR_OUT_OF_MEMORY, "%s: %zu bytes of memory, but of the device's %zu only %zu are free", name,
                  bytes, total, total - d.memory.used_bytes());
}

CUresult release(uintptr_t address, MemoryKind kind, const char* name) {
  return in_context_uncaptured(name, [&](Driver& d, Context& context) {
    if (address == 0) return CUDA_SUCCESS;
    Allocation found = d.memory.find(address);
    if (found.start != address || found.kind != kind || d.releasing.contains(address)) return CUDA_ERROR_INVALID_VALUE;
    d.finish_all();
    if (context.fault != CUDA_SUCCESS) return context.fault;
    d.memory.release(address);
    return CUDA_SUCCESS;
  });
}

/** A call that makes nodes of memory in a capture, which the emulator doesn't. */
CUresult refuse_capture_of(Driver& d, const Stream& stream, const char* name) {
  if (stream.capture == nullptr) return CUDA_SUCCESS;
  stream.capture->invalidated = true;
  return d.refuse(CUDA_ERROR_NOT_SUPPORTED, "%s: graphs that allocate memory aren't implemented", name);
}

CUresult allocate_async(CUdeviceptr* address, size_t bytes, void* pool, void* stream_handle, const char* name) {
  return in_context([&](Driver& d, Context& context) {
    Stream* stream = d.stream(context, stream_handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (CUresult wrong = refuse_capture_of(d, *stream, name); wrong != CUDA_SUCCESS) return wrong;
    if (pool != nullptr && !d.pools.has(pool)) return CUDA_ERROR_INVALID_VALUE;
    return allocate(d, context, address, bytes, MemoryKind::kDevice, name);
  });
}

}  // namespace

LATHE_DRIVER CUresult cuMemAlloc_v2(CUdeviceptr* address, size_t bytes) {
  return in_context_uncaptured("cuMemAlloc", [&](Driver& d, Context& context) {
    return allocate(d, context, address, bytes, MemoryKind::kDevice, "cuMemAlloc");
  });
}
LATHE_DRIVER CUresult cuMemFree_v2(CUdeviceptr address) { return release(address, MemoryKind::kDevice, "cuMemFree"); }

LATHE_DRIVER CUresult cuMemAllocPitch_v2(CUdeviceptr* address, size_t* pitch, size_t width, size_t rows,
                                         unsigned element_bytes) {
  constexpr size_t kPitch = 512;
  if (pitch == nullptr || width == 0 || rows == 0) return CUDA_ERROR_INVALID_VALUE;
  if (element_bytes != 4 && element_bytes != 8 && element_bytes != 16) return CUDA_ERROR_INVALID_VALUE;
  *pitch = (width + kPitch - 1) / kPitch * kPitch;
  return cuMemAlloc_v2(address, *pitch * rows);
}

LATHE_DRIVER CUresult cuMemAllocAsync(CUdeviceptr* address, size_t bytes, void* stream) {
  return allocate_async(address, bytes, nullptr, stream, "cuMemAllocAsync");
}
LATHE_DRIVER CUresult cuMemAllocFromPoolAsync(CUdeviceptr* address, size_t bytes, Pool* pool, void* stream) {
  if (pool == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return allocate_async(address, bytes, pool, stream, "cuMemAllocFromPoolAsync");
}

LATHE_DRIVER CUresult cuMemFreeAsync(CUdeviceptr address, void* stream_handle) {
  return in_context([&](Driver& d, Context& context) {
    if (address == 0) return CUDA_SUCCESS;
    Stream* stream = d.stream(context, stream_handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (CUresult wrong = refuse_capture_of(d, *stream, "cuMemFreeAsync"); wrong != CUDA_SUCCESS) return wrong;
    Allocation found = d.memory.find(address);
    bool live = found.start == address && found.kind == MemoryKind::kDevice;
    if (!live || !d.releasing.insert(address).second) return CUDA_ERROR_INVALID_VALUE;
    return submit(d, context, stream_handle, "cuMemFreeAsync", Release{address});
  });
}

LATHE_DRIVER CUresult cuMemPoolCreate(Pool** pool, const void* properties) {
  return in_context([&](Driver& d, Context& context) {
    if (pool == nullptr || properties == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *pool = d.pools.add(Pool{&context});
    return CUDA_SUCCESS;
  });
}
LATHE_DRIVER CUresult cuMemPoolDestroy(Pool* pool) {
  return in_context([&](Driver& d, Context&) {
    if (!d.pools.has(pool)) return CUDA_ERROR_INVALID_VALUE;
    d.pools.remove(pool);
    return CUDA_SUCCESS;
  });
}
/** Freed memory goes back at once here, so there is nothing to trim. */
LATHE_DRIVER CUresult cuMemPoolTrimTo(Pool* pool, size_t) {
  return in_context([&](Driver& d, Context&) { return d.pools.has(pool) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; });
}

// Host memory that is pinned lies in the device's window too: one address serves both, as with unified addressing.
LATHE_DRIVER CUresult cuMemHostAlloc(void** address, size_t bytes, unsigned flags) {
  constexpr unsigned kFlags = 7;  // portable, mapped, write-combined: nothing differs here
  return in_context_uncaptured("cuMemHostAlloc", [&](Driver& d, Context& context) {
    if ((flags & ~kFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
    auto* out = reinterpret_cast<uintptr_t*>(address);
    CUresult result = allocate(d, context, out, bytes, MemoryKind::kPinned, "cuMemHostAlloc");
    // Nobody sees what the host writes, so nothing of it can be called uninitialized.
    if (result == CUDA_SUCCESS) d.memory.mark(*out, bytes, ByteState::kInitialized);
    return result;
  });
}
LATHE_DRIVER CUresult cuMemAllocHost_v2(void** address, size_t bytes) { return cuMemHostAlloc(address, bytes, 0); }
LATHE_DRIVER CUresult cuMemFreeHost(void* address) {
  return release(reinterpret_cast<uintptr_t>(address), MemoryKind::kPinned, "cuMemFreeHost");
}

LATHE_DRIVER CUresult cuMemHostRegister_v2(void* address, size_t bytes, unsigned flags) {
  constexpr unsigned kFlags = 3;  // portable, mapped
  return in_context_uncaptured("cuMemHostRegister", [&](Driver& d, Context& context) {
    uintptr_t start = reinterpret_cast<uintptr_t>(address);
    if (address == nullptr || bytes == 0 || (flags & ~kFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
    if (d.memory.contains(start) || !d.memory.register_range(start, bytes, &context, MemoryKind::kRegistered))
      return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    return CUDA_SUCCESS;
  });
}
LATHE_DRIVER CUresult cuMemHostUnregister(void* address) {
  return in_context_uncaptured("cuMemHostUnregister", [&](Driver& d, Context& context) {
    if (address == nullptr) return CUDA_ERROR_INVALID_VALUE;
    d.finish_all();
    if (context.fault != CUDA_SUCCESS) return context.fault;
    return d.memory.unregister_host(reinterpret_cast<uintptr_t>(address)) ? CUDA_SUCCESS
                                                                          : CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
  });
}

LATHE_DRIVER CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr* device, void* host, unsigned flags) {
  return in_context([&](Driver& d, Context&) {
    MemoryKind kind = d.memory.find(reinterpret_cast<uintptr_t>(host)).kind;
    bool pinned = kind == MemoryKind::kPinned || kind == MemoryKind::kRegistered;
    if (device == nullptr || flags != 0 || !pinned) return CUDA_ERROR_INVALID_VALUE;
    *device = reinterpret_cast<uintptr_t>(host);
    return CUDA_SUCCESS;
  });
}
LATHE_DRIVER CUresult cuMemHostGetFlags(unsigned* flags, void* host) {
  return in_context([&](Driver& d, Context&) {
    if (flags == nullptr || d.memory.find(reinterpret_cast<uintptr_t>(host)).kind != MemoryKind::kPinned)
      return CUDA_ERROR_INVALID_VALUE;
    *flags = 3;  // with unified addressing all of it is portable and mapped
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuMemGetInfo_v2(size_t* free_bytes, size_t* total_bytes) {
  return in_context([&](Driver& d, Context&) {
    *free_bytes = d.memory.device_bytes() - d.memory.used_bytes();
    *total_bytes = d.memory.device_bytes();
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuMemGetAddressRange_v2(CUdeviceptr* start, size_t* bytes, CUdeviceptr address) {
  return in_context([&](Driver& d, Context&) {
    Allocation found = d.memory.find(address);
    if (found.kind == MemoryKind::kNone) return CUDA_ERROR_NOT_FOUND;
    if (start != nullptr) *start = found.start;
    if (bytes != nullptr) *bytes = found.bytes;
    return CUDA_SUCCESS;
  });
}
