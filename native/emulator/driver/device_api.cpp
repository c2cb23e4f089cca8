/* The one device: what it is and what it can do. */
#include <algorithm>
#include <cstring>
#include <utility>

#include "driver.h"

using namespace lathe::emulator;

namespace {

constexpr char kName[] = "Lathe emulated GPU";

// Compute capability 8.0: mma.sync and cp.async are there, wgmma and TMA are not.
constexpr std::pair<int, int> kAttributes[] = {
    {1, 1024},                                  // MAX_THREADS_PER_BLOCK
    {2, 1024},                                  // MAX_BLOCK_DIM_X, Y, Z
    {3, 1024},    {4, 64},    {5, 2147483647},  // MAX_GRID_DIM_X, Y, Z
    {6, 65535},   {7, 65535}, {8, 49152},       // MAX_SHARED_MEMORY_PER_BLOCK
    {10, 32},                                   // WARP_SIZE
    {12, 65536},                                // MAX_REGISTERS_PER_BLOCK
    {16, 1},                                    // MULTIPROCESSOR_COUNT: one block runs at a time
    {17, 0},                                    // KERNEL_EXEC_TIMEOUT
    {18, 0},                                    // INTEGRATED
    {19, 1},                                    // CAN_MAP_HOST_MEMORY
    {20, 0},                                    // COMPUTE_MODE
    {31, 0},                                    // CONCURRENT_KERNELS
    {32, 0},                                    // ECC_ENABLED
    {39, 1024},                                 // MAX_THREADS_PER_MULTIPROCESSOR
    {40, 0},                                    // ASYNC_ENGINE_COUNT
    {41, 1},                                    // UNIFIED_ADDRESSING
    {75, 8},                                    // COMPUTE_CAPABILITY_MAJOR, MINOR
    {76, 0},      {78, 1},                      // STREAM_PRIORITIES_SUPPORTED
    {81, 167936},                               // MAX_SHARED_MEMORY_PER_MULTIPROCESSOR
    {82, 65536},                                // MAX_REGISTERS_PER_MULTIPROCESSOR
    {83, 0},                                    // MANAGED_MEMORY
    {95, 0},                                    // COOPERATIVE_LAUNCH
    {97, 166912},                               // MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
};

CUresult on_device(CUdevice device, auto body) {
  return in_driver([&](Driver& d) { return device == 0 ? body(d) : CUDA_ERROR_INVALID_DEVICE; });
}

}  // namespace

LATHE_DRIVER CUresult cuInit(unsigned flags) {
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  try {
    Driver& d = driver();
    std::scoped_lock lock(d.mutex);
    d.initialized = true;
    return CUDA_SUCCESS;
  } catch (const std::bad_alloc&) {
    fputs("lathe emulator: can't reserve 18 TiB of addresses; is there a limit on virtual memory (ulimit -v)?\n",
          stderr);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
}

LATHE_DRIVER CUresult cuDriverGetVersion(int* version) {
  if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *version = 12060;  // the API that JCuda 12.6 speaks
  return CUDA_SUCCESS;
}

LATHE_DRIVER CUresult cuDeviceGetCount(int* count) {
  return in_driver([&](Driver&) {
    *count = 1;
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  return on_device(ordinal, [&](Driver&) {
    *device = 0;
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
  return on_device(device, [&](Driver&) {
    if (length <= 0) return CUDA_ERROR_INVALID_VALUE;
    snprintf(name, static_cast<size_t>(length), "%s", kName);
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
  return on_device(device, [&](Driver&) {
    *bytes = Memory::kDeviceBytes;
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuDeviceGetAttribute(int* value, int attribute, CUdevice device) {
  return on_device(device, [&](Driver& d) {
    auto found =
        std::find_if(std::begin(kAttributes), std::end(kAttributes), [&](auto& a) { return a.first == attribute; });
    if (found == std::end(kAttributes))
      return d.refuse(CUDA_ERROR_INVALID_VALUE, "device attribute %d is not known here", attribute);
    *value = found->second;
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuDeviceComputeCapability(int* major, int* minor, CUdevice device) {
  CUresult result = cuDeviceGetAttribute(major, 75, device);
  return result == CUDA_SUCCESS ? cuDeviceGetAttribute(minor, 76, device) : result;
}

LATHE_DRIVER CUresult cuDeviceGetUuid(char* uuid, CUdevice device) {
  return on_device(device, [&](Driver&) {
    std::memcpy(uuid, "lathe-emulated-0", 16);
    return CUDA_SUCCESS;
  });
}

namespace {

const char* name_of(CUresult result) {
  switch (result) {
#define LATHE_RESULT(VALUE, NAME, TEXT) \
  case NAME:                            \
    return #NAME;
#include "results.def"
#undef LATHE_RESULT
  }
  return nullptr;
}

const char* text_of(CUresult result) {
  switch (result) {
#define LATHE_RESULT(VALUE, NAME, TEXT) \
  case NAME:                            \
    return TEXT;
#include "results.def"
#undef LATHE_RESULT
  }
  return nullptr;
}

}  // namespace

LATHE_DRIVER CUresult cuGetErrorName(CUresult result, const char** name) {
  *name = name_of(result);
  return *name != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

LATHE_DRIVER CUresult cuGetErrorString(CUresult result, const char** text) {
  *text = text_of(result);
  return *text != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
