/* The one device: what it is and what it can do. */
#include <algorithm>
#include <cstring>
#include <utility>

#include "driver.h"
#include "limits.h"

using namespace lathe::emulator;

namespace {

constexpr char kName[] = "Lathe emulated GPU";

// The limits of a GPU of compute capability 9.0 (an H200), so that a launch that is refused there is refused here. What
// the emulator lacks (textures, managed memory, clusters) is said to be lacking. The numbers are CUdevice_attribute's.
constexpr std::pair<int, int> kAttributes[] = {
    {1, kMaxThreads},           // MAX_THREADS_PER_BLOCK
    {2, 1024},                  // MAX_BLOCK_DIM_X
    {3, 1024},                  // MAX_BLOCK_DIM_Y
    {4, 64},                    // MAX_BLOCK_DIM_Z
    {5, 2147483647},            // MAX_GRID_DIM_X
    {6, 65535},                 // MAX_GRID_DIM_Y
    {7, 65535},                 // MAX_GRID_DIM_Z
    {8, kSharedBytes},          // MAX_SHARED_MEMORY_PER_BLOCK
    {9, 65536},                 // TOTAL_CONSTANT_MEMORY
    {10, 32},                   // WARP_SIZE
    {11, 2147483647},           // MAX_PITCH
    {12, 65536},                // MAX_REGISTERS_PER_BLOCK
    {14, 512},                  // TEXTURE_ALIGNMENT
    {15, 1},                    // GPU_OVERLAP
    {16, kMultiprocessors},     // MULTIPROCESSOR_COUNT
    {17, 0},                    // KERNEL_EXEC_TIMEOUT
    {18, 0},                    // INTEGRATED
    {19, 1},                    // CAN_MAP_HOST_MEMORY
    {20, 0},                    // COMPUTE_MODE
    {31, 1},                    // CONCURRENT_KERNELS
    {32, 0},                    // ECC_ENABLED
    {33, 0},                    // PCI_BUS_ID
    {34, 0},                    // PCI_DEVICE_ID
    {35, 0},                    // TCC_DRIVER
    {38, 50 << 20},             // L2_CACHE_SIZE
    {39, kThreadsPerMultiprocessor},  // MAX_THREADS_PER_MULTIPROCESSOR
    {40, 1},                    // ASYNC_ENGINE_COUNT
    {41, 1},                    // UNIFIED_ADDRESSING
    {50, 0},                    // PCI_DOMAIN_ID
    {75, kComputeCapability / 10},    // COMPUTE_CAPABILITY_MAJOR
    {76, kComputeCapability % 10},    // COMPUTE_CAPABILITY_MINOR
    {78, 1},                    // STREAM_PRIORITIES_SUPPORTED
    {79, 1},                    // GLOBAL_L1_CACHE_SUPPORTED
    {80, 1},                    // LOCAL_L1_CACHE_SUPPORTED
    {81, kSharedBytesPerMultiprocessor},  // MAX_SHARED_MEMORY_PER_MULTIPROCESSOR
    {82, 65536},                // MAX_REGISTERS_PER_MULTIPROCESSOR
    {83, 0},                    // MANAGED_MEMORY
    {84, 0},                    // MULTI_GPU_BOARD
    {86, 0},                    // HOST_NATIVE_ATOMIC_SUPPORTED
    {88, 0},                    // PAGEABLE_MEMORY_ACCESS
    {89, 0},                    // CONCURRENT_MANAGED_ACCESS
    {90, 0},                    // COMPUTE_PREEMPTION_SUPPORTED
    {91, 1},                    // CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM
    {95, 1},                    // COOPERATIVE_LAUNCH
    {96, 0},                    // COOPERATIVE_MULTI_DEVICE_LAUNCH
    {97, kMaxSharedBytes},      // MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
    {99, 1},                    // HOST_REGISTER_SUPPORTED
    {102, 0},                   // VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED
    {106, kBlocksPerMultiprocessor},  // MAX_BLOCKS_PER_MULTIPROCESSOR
    {107, 0},                   // GENERIC_COMPRESSION_SUPPORTED
    {108, 0},                   // MAX_PERSISTING_L2_CACHE_SIZE
    {109, 0},                   // MAX_ACCESS_POLICY_WINDOW_SIZE
    {111, kReservedSharedBytes},  // RESERVED_SHARED_MEMORY_PER_BLOCK
    {112, 0},                   // SPARSE_CUDA_ARRAY_SUPPORTED
    {115, 1},                   // MEMORY_POOLS_SUPPORTED
    {116, 0},                   // GPU_DIRECT_RDMA_SUPPORTED
    {120, 0},                   // CLUSTER_LAUNCH
    {127, 0},                   // TENSOR_MAP_ACCESS_SUPPORTED
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
  return on_device(device, [&](Driver& d) {
    *bytes = d.memory.device_bytes();
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

LATHE_DRIVER CUresult cuDeviceGetPCIBusId(char* id, int length, CUdevice device) {
  return on_device(device, [&](Driver&) {
    if (length <= 0) return CUDA_ERROR_INVALID_VALUE;
    snprintf(id, static_cast<size_t>(length), "0000:00:00.0");
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuDeviceCanAccessPeer(int* can, CUdevice device, CUdevice) {
  return on_device(device, [&](Driver&) {
    *can = 0;
    return CUDA_SUCCESS;
  });
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
