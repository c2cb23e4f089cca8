/* Device memory, pinned host memory, copies and fills. */
#include <algorithm>
#include <cstring>

#include "driver.h"

using namespace lathe::emulator;

namespace {

void* host(CUdeviceptr address) { return reinterpret_cast<void*>(address); }

CUresult check_range(Driver& d, CUdeviceptr address, size_t bytes, const char* what) {
  if (bytes == 0 || d.memory.is_allocated(address, bytes)) return CUDA_SUCCESS;
  return d.refuse(CUDA_ERROR_INVALID_VALUE, "%s of %zu bytes at 0x%zx leaves its allocation: that is %s", what, bytes,
                  address, d.memory.describe(address).c_str());
}

CUresult allocate(uintptr_t* address, size_t bytes) {
  return in_context([&](Driver& d, Context& context) {
    if (address == nullptr || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    *address = d.memory.allocate(bytes, &context);
    return *address != 0 ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
  });
}

CUresult release(uintptr_t address) {
  return in_context([&](Driver& d, Context& context) {
    if (address == 0) return CUDA_SUCCESS;
    d.finish_all();
    if (context.fault != CUDA_SUCCESS) return context.fault;
    return d.memory.release(address) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

/** Puts `run` into a stream; where `now`, waits for it too. */
CUresult submit(void* stream_handle, bool now, std::function<void()> run) {
  return in_context([&](Driver& d, Context& context) {
    Stream* stream = d.stream(context, stream_handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    StreamPoint point = d.enqueue(*stream, std::move(run));
    if (now) d.run_until(point);
    return context.fault;
  });
}

CUresult check(CUdeviceptr address, size_t bytes, const char* what) {
  return in_context([&](Driver& d, Context&) { return check_range(d, address, bytes, what); });
}

CUresult copy_to_device(CUdeviceptr to, const void* from, size_t bytes, void* stream, bool now) {
  if (CUresult wrong = check(to, bytes, "a copy to the device"); wrong != CUDA_SUCCESS) return wrong;
  auto copy = [=](const void* source) {
    std::memcpy(host(to), source, bytes);
    driver().memory.mark(to, bytes, ByteState::kInitialized);
  };
  // CUDA reads pageable memory before the call returns, and pinned memory when the copy's turn comes.
  bool pinned = driver().memory.contains(reinterpret_cast<uintptr_t>(from));
  if (now || pinned) return submit(stream, now, [=] { copy(from); });
  auto staged =
      std::make_shared<std::vector<char>>(static_cast<const char*>(from), static_cast<const char*>(from) + bytes);
  return submit(stream, false, [=] { copy(staged->data()); });
}

CUresult copy_to_host(void* to, CUdeviceptr from, size_t bytes, void* stream, bool now) {
  if (CUresult wrong = check(from, bytes, "a copy to the host"); wrong != CUDA_SUCCESS) return wrong;
  bool pinned = driver().memory.contains(reinterpret_cast<uintptr_t>(to));
  return submit(stream, now || !pinned, [=] { std::memcpy(to, host(from), bytes); });
}

CUresult copy_on_device(CUdeviceptr to, CUdeviceptr from, size_t bytes, void* stream) {
  if (CUresult wrong = check(from, bytes, "a copy on the device, its source"); wrong != CUDA_SUCCESS) return wrong;
  if (CUresult wrong = check(to, bytes, "a copy on the device, its target"); wrong != CUDA_SUCCESS) return wrong;
  return submit(stream, false, [=] {
    Memory& memory = driver().memory;
    std::memmove(host(to), host(from), bytes);
    std::memmove(memory.state(to), memory.state(from), bytes);  // what wasn't initialized still isn't
  });
}

template <class T>
CUresult fill(CUdeviceptr to, T value, size_t count, void* stream) {
  size_t bytes = count * sizeof(T);
  if (to % sizeof(T) != 0) return CUDA_ERROR_INVALID_VALUE;
  if (CUresult wrong = check(to, bytes, "a fill"); wrong != CUDA_SUCCESS) return wrong;
  return submit(stream, false, [=] {
    std::fill_n(static_cast<T*>(host(to)), count, value);
    driver().memory.mark(to, bytes, ByteState::kInitialized);
  });
}

}  // namespace

LATHE_DRIVER CUresult cuMemAlloc_v2(CUdeviceptr* address, size_t bytes) { return allocate(address, bytes); }
LATHE_DRIVER CUresult cuMemFree_v2(CUdeviceptr address) { return release(address); }

// Host memory that is pinned lies in the device's window too: one address serves both, as with unified addressing.
LATHE_DRIVER CUresult cuMemHostAlloc(void** address, size_t bytes, unsigned) {
  CUresult result = allocate(reinterpret_cast<uintptr_t*>(address), bytes);
  // Nobody sees what the host writes, so nothing of it can be called uninitialized.
  if (result == CUDA_SUCCESS)
    driver().memory.mark(reinterpret_cast<uintptr_t>(*address), bytes, ByteState::kInitialized);
  return result;
}
LATHE_DRIVER CUresult cuMemAllocHost_v2(void** address, size_t bytes) { return cuMemHostAlloc(address, bytes, 0); }
LATHE_DRIVER CUresult cuMemFreeHost(void* address) { return release(reinterpret_cast<uintptr_t>(address)); }

LATHE_DRIVER CUresult cuMemGetInfo_v2(size_t* free_bytes, size_t* total_bytes) {
  return in_context([&](Driver& d, Context&) {
    *free_bytes = Memory::kDeviceBytes - d.memory.used_bytes();
    *total_bytes = Memory::kDeviceBytes;
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuMemGetAddressRange_v2(CUdeviceptr* start, size_t* bytes, CUdeviceptr address) {
  return in_context([&](Driver& d, Context&) {
    uintptr_t first;
    size_t size;
    if (!d.memory.range_of(address, &first, &size)) return CUDA_ERROR_NOT_FOUND;
    if (start != nullptr) *start = first;
    if (bytes != nullptr) *bytes = size;
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t bytes) {
  return copy_to_device(to, from, bytes, nullptr, true);
}
LATHE_DRIVER CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, void* stream) {
  return copy_to_device(to, from, bytes, stream, false);
}
LATHE_DRIVER CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes) {
  return copy_to_host(to, from, bytes, nullptr, true);
}
LATHE_DRIVER CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, void* stream) {
  return copy_to_host(to, from, bytes, stream, false);
}
// Copies on the device and fills return before they are done, in CUDA too.
LATHE_DRIVER CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  return copy_on_device(to, from, bytes, nullptr);
}
LATHE_DRIVER CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, void* stream) {
  return copy_on_device(to, from, bytes, stream);
}
LATHE_DRIVER CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t count) {
  return fill(to, value, count, nullptr);
}
LATHE_DRIVER CUresult cuMemsetD16_v2(CUdeviceptr to, unsigned short value, size_t count) {
  return fill(to, value, count, nullptr);
}
LATHE_DRIVER CUresult cuMemsetD32_v2(CUdeviceptr to, unsigned value, size_t count) {
  return fill(to, value, count, nullptr);
}
LATHE_DRIVER CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, void* stream) {
  return fill(to, value, count, stream);
}
LATHE_DRIVER CUresult cuMemsetD16Async(CUdeviceptr to, unsigned short value, size_t count, void* stream) {
  return fill(to, value, count, stream);
}
LATHE_DRIVER CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t count, void* stream) {
  return fill(to, value, count, stream);
}
