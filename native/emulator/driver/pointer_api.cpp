/* What can be asked about an address. */
#include <cstring>

#include "driver.h"

using namespace lathe::emulator;

namespace {

// CUpointer_attribute
enum : int {
  kContext = 1,
  kMemoryType = 2,
  kDevicePointer = 3,
  kHostPointer = 4,
  kBufferId = 7,
  kIsManaged = 8,
  kDeviceOrdinal = 9,
  kRangeStart = 11,
  kRangeBytes = 12,
  kMapped = 13,
};
constexpr unsigned kHostMemory = 1, kDeviceMemory = 2;  // CUmemorytype

template <class T>
CUresult put(void* data, T value) {
  std::memcpy(data, &value, sizeof value);
  return CUDA_SUCCESS;
}

CUresult get(Driver& d, void* data, int attribute, uintptr_t address) {
  Allocation found = d.memory.find(address);
  if (data == nullptr || found.kind == MemoryKind::kNone) return CUDA_ERROR_INVALID_VALUE;
  bool on_device = found.kind == MemoryKind::kDevice || found.kind == MemoryKind::kModule;
  switch (attribute) {
    case kContext:
      return put(data, found.owner);
    case kMemoryType:
      return put(data, on_device ? kDeviceMemory : kHostMemory);
    case kDevicePointer:
      return put(data, address);
    case kHostPointer:
      return on_device ? CUDA_ERROR_INVALID_VALUE : put(data, address);
    case kBufferId:
      return put(data, found.id);
    case kIsManaged:
      return put(data, false);
    case kDeviceOrdinal:
      return put(data, 0);
    case kRangeStart:
      return put(data, found.start);
    case kRangeBytes:
      return put(data, found.bytes);
    case kMapped:
      return put(data, true);
    default:
      return d.refuse(CUDA_ERROR_NOT_SUPPORTED, "pointer attribute %d is not known here", attribute);
  }
}

}  // namespace

LATHE_DRIVER CUresult cuPointerGetAttribute(void* data, int attribute, CUdeviceptr address) {
  return in_context([&](Driver& d, Context&) { return get(d, data, attribute, address); });
}

/** What doesn't apply to the address is left as zeros. */
LATHE_DRIVER CUresult cuPointerGetAttributes(unsigned count, const int* attributes, void** data, CUdeviceptr address) {
  return in_context([&](Driver& d, Context&) {
    if (attributes == nullptr || data == nullptr) return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < count; i++) {
      CUresult result = get(d, data[i], attributes[i], address);
      if (result == CUDA_ERROR_NOT_SUPPORTED) return result;
      if (result != CUDA_SUCCESS) put(data[i], 0);
    }
    return CUDA_SUCCESS;
  });
}
