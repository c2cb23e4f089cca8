/* Attributes of kernels, and how many blocks of one fit on a multiprocessor. */
#include "driver.h"
#include "limits.h"

using namespace lathe::emulator;

namespace {

// CUfunction_attribute
enum : int {
  kMaxThreadsPerBlock = 0,
  kStaticSharedBytes = 1,
  kConstantBytes = 2,
  kLocalBytes = 3,
  kRegisters = 4,
  kPtxVersion = 5,
  kBinaryVersion = 6,
  kCacheMode = 7,
  kMaxDynamicSharedBytes = 8,
  kPreferredCarveout = 9,
  kLastClusterAttribute = 15,
};

template <class Body>
CUresult with_function(Function* function, Body body) {
  return in_context([&](Driver& d, Context&) {
    return d.function(function) == nullptr ? CUDA_ERROR_INVALID_HANDLE : body(d);
  });
}

int resident(const Function& function, int threads, size_t dynamic_bytes) {
  size_t count = static_cast<size_t>(threads);
  if (count > function.kernel.max_threads || dynamic_bytes > function.max_dynamic_shared_bytes) return 0;
  return resident_blocks(count, dynamic_bytes);
}

}  // namespace

LATHE_DRIVER CUresult cuFuncSetAttribute(Function* function, int attribute, int value) {
  return with_function(function, [&](Driver& d) {
    switch (attribute) {
      case kMaxDynamicSharedBytes:
        if (value < 0 || value > kMaxSharedBytes)
          return d.refuse(CUDA_ERROR_INVALID_VALUE, "%s: %d bytes of dynamic shared memory; a block has %d at most",
                          function->kernel.name, value, kMaxSharedBytes);
        function->max_dynamic_shared_bytes = static_cast<size_t>(value);
        return CUDA_SUCCESS;
      case kPreferredCarveout:  // a hint, in percent; -1 is the default
        if (value < -1 || value > 100) return CUDA_ERROR_INVALID_VALUE;
        function->carveout_percent = value;
        return CUDA_SUCCESS;
      default:
        return d.refuse(CUDA_ERROR_INVALID_VALUE, "%s: function attribute %d can't be set", function->kernel.name,
                        attribute);
    }
  });
}

LATHE_DRIVER CUresult cuFuncGetAttribute(int* value, int attribute, Function* function) {
  return with_function(function, [&](Driver& d) {
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    switch (attribute) {
      case kMaxThreadsPerBlock:
        *value = static_cast<int>(function->kernel.max_threads);
        return CUDA_SUCCESS;
      case kMaxDynamicSharedBytes:
        *value = static_cast<int>(function->max_dynamic_shared_bytes);
        return CUDA_SUCCESS;
      case kPreferredCarveout:
        *value = function->carveout_percent;
        return CUDA_SUCCESS;
      case kPtxVersion:
      case kBinaryVersion:
        *value = kComputeCapability;
        return CUDA_SUCCESS;
      case kStaticSharedBytes:
      case kConstantBytes:
      case kLocalBytes:
      case kRegisters:
        return d.refuse(CUDA_ERROR_NOT_SUPPORTED,
                        "function attribute %d: g++ knows no registers, and no memory of a kernel before it runs",
                        attribute);
      default:
        if (attribute < 0 || attribute > kLastClusterAttribute) return CUDA_ERROR_INVALID_VALUE;
        *value = 0;  // no cache mode, no cluster
        return CUDA_SUCCESS;
    }
  });
}

// Hints of older devices.
LATHE_DRIVER CUresult cuFuncSetCacheConfig(Function* function, int) {
  return with_function(function, [](Driver&) { return CUDA_SUCCESS; });
}
LATHE_DRIVER CUresult cuFuncSetSharedMemConfig(Function* function, int) {
  return with_function(function, [](Driver&) { return CUDA_SUCCESS; });
}

LATHE_DRIVER CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, Function* function, int threads,
                                                                           size_t dynamic_bytes, unsigned) {
  return with_function(function, [&](Driver&) {
    if (blocks == nullptr || threads <= 0) return CUDA_ERROR_INVALID_VALUE;
    *blocks = resident(*function, threads, dynamic_bytes);
    return CUDA_SUCCESS;
  });
}
LATHE_DRIVER CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Function* function, int threads,
                                                                  size_t dynamic_bytes) {
  return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, dynamic_bytes, 0);
}

LATHE_DRIVER CUresult cuOccupancyAvailableDynamicSMemPerBlock(size_t* bytes, Function* function, int blocks,
                                                              int threads) {
  return with_function(function, [&](Driver&) {
    if (bytes == nullptr || blocks <= 0 || threads <= 0) return CUDA_ERROR_INVALID_VALUE;
    if (resident(*function, threads, 0) < blocks) return CUDA_ERROR_INVALID_VALUE;
    size_t each = static_cast<size_t>(kSharedBytesPerMultiprocessor) / static_cast<size_t>(blocks) / 128 * 128;
    *bytes = std::min(each - kReservedSharedBytes, static_cast<size_t>(kMaxSharedBytes));
    return CUDA_SUCCESS;
  });
}

using SharedBytesOf = size_t (*)(int threads);

LATHE_DRIVER CUresult cuOccupancyMaxPotentialBlockSizeWithFlags(int* min_grid, int* block, Function* function,
                                                                SharedBytesOf shared_of, size_t dynamic_bytes,
                                                                int limit, unsigned) {
  return with_function(function, [&](Driver&) {
    if (min_grid == nullptr || block == nullptr) return CUDA_ERROR_INVALID_VALUE;
    int most = static_cast<int>(function->kernel.max_threads);
    if (limit > 0) most = std::min(most, limit);
    int best = 0, best_blocks = 0;
    for (int threads = most; threads > 0; threads = (threads - 1) / 32 * 32) {
      size_t bytes = shared_of != nullptr ? shared_of(threads) : dynamic_bytes;
      int blocks = resident(*function, threads, bytes);
      if (blocks * threads > best * best_blocks) best = threads, best_blocks = blocks;
    }
    if (best == 0) return CUDA_ERROR_INVALID_VALUE;
    *block = best;
    *min_grid = best_blocks * kMultiprocessors;
    return CUDA_SUCCESS;
  });
}
LATHE_DRIVER CUresult cuOccupancyMaxPotentialBlockSize(int* min_grid, int* block, Function* function,
                                                       SharedBytesOf shared_of, size_t dynamic_bytes, int limit) {
  return cuOccupancyMaxPotentialBlockSizeWithFlags(min_grid, block, function, shared_of, dynamic_bytes, limit, 0);
}
