/* Launches, and what a kernel's fault becomes. */
#include <cstddef>
#include <cstring>

#include "driver.h"

using namespace lathe::emulator;

namespace {

constexpr size_t kMaxDynamicSharedBytes = 166912;
constexpr int kMaxThreadsPerBlock = 0, kMaxDynamicShared = 8, kPreferredCarveout = 9;  // CUfunction_attribute

/** The arguments of one launch, which outlive the call. */
class Arguments {
 public:
  Arguments(const Kernel& kernel, void* const* values) {
    size_t total = 0;
    for (size_t i = 0; i < kernel.arguments; i++) total += slot(kernel.argument_bytes[i]);
    bytes_.resize(total / sizeof(std::max_align_t));
    char* next = reinterpret_cast<char*>(bytes_.data());
    for (size_t i = 0; i < kernel.arguments; i++) {
      std::memcpy(next, values[i], kernel.argument_bytes[i]);
      pointers_.push_back(next);
      next += slot(kernel.argument_bytes[i]);
    }
  }
  const void* const* pointers() const { return pointers_.data(); }

 private:
  static size_t slot(size_t bytes) {
    constexpr size_t kUnit = sizeof(std::max_align_t);
    return (bytes + kUnit - 1) / kUnit * kUnit;
  }
  std::vector<std::max_align_t> bytes_;
  std::vector<const void*> pointers_;
};

CUresult check_launch(Driver& d, const Function& function, Dim3 grid, Dim3 block, unsigned shared_bytes) {
  const char* name = function.kernel.name;
  size_t threads = size_t{block.x} * block.y * block.z;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535)
    return d.refuse(CUDA_ERROR_INVALID_VALUE, "%s: a grid of %u x %u x %u blocks can't be launched", name, grid.x,
                    grid.y, grid.z);
  if (threads == 0 || block.x > 1024 || block.y > 1024 || block.z > 64 || threads > BlockRunner::kMaxThreads)
    return d.refuse(CUDA_ERROR_INVALID_VALUE, "%s: a block of %u x %u x %u threads can't be launched", name, block.x,
                    block.y, block.z);
  if (threads > function.kernel.max_threads)
    return d.refuse(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "%s: %zu threads, but it was compiled for %u", name, threads,
                    function.kernel.max_threads);
  if (shared_bytes > function.max_dynamic_shared_bytes)
    return d.refuse(CUDA_ERROR_INVALID_VALUE, "%s: %u bytes of dynamic shared memory, but %zu are allowed", name,
                    shared_bytes, function.max_dynamic_shared_bytes);
  return CUDA_SUCCESS;
}

void run(Driver& d, Context& context, const Function& function, const Arguments& arguments, Dim3 blocks, Dim3 threads,
         unsigned shared_bytes) {
  if (function.kernel.checked && d.runner.unchecked_writes() && !d.said_unchecked) {
    d.said_unchecked = true;
    fputs("lathe emulator: kernels without checks have run, so uninitialized reads can't be told any more\n", stderr);
  }
  Grid grid{&function.kernel, arguments.pointers(), blocks, threads, shared_bytes, &function.module->ranges};
  Fault fault = d.runner.run(grid, &d.schedule);
  if (fault.kind == FaultKind::kNone) return;
  d.report = describe(fault, grid, d.memory, d.schedule.name());
  context.fault = result_of(fault);
  d.refuse(context.fault, "%s", d.report.c_str());
}

}  // namespace

LATHE_DRIVER CUresult cuLaunchKernel(Function* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                                     unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                                     void* stream_handle, void** values, void** extra) {
  return in_context([&](Driver& d, Context& context) {
    Stream* stream = d.stream(context, stream_handle);
    if (d.function(function) == nullptr || stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (extra != nullptr) return d.refuse(CUDA_ERROR_NOT_SUPPORTED, "cuLaunchKernel with `extra` arguments");
    if (values == nullptr && function->kernel.arguments > 0) return CUDA_ERROR_INVALID_VALUE;
    Dim3 grid{grid_x, grid_y, grid_z}, block{block_x, block_y, block_z};
    if (CUresult wrong = check_launch(d, *function, grid, block, shared_bytes); wrong != CUDA_SUCCESS) return wrong;
    auto arguments = std::make_shared<Arguments>(function->kernel, values);
    d.enqueue(*stream, [=, &d, &context] { run(d, context, *function, *arguments, grid, block, shared_bytes); });
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuFuncSetAttribute(Function* function, int attribute, int value) {
  return in_context([&](Driver& d, Context&) {
    if (d.function(function) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (attribute == kPreferredCarveout) return CUDA_SUCCESS;  // a hint
    if (attribute != kMaxDynamicShared || value < 0 || static_cast<size_t>(value) > kMaxDynamicSharedBytes)
      return CUDA_ERROR_INVALID_VALUE;
    function->max_dynamic_shared_bytes = static_cast<size_t>(value);
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuFuncGetAttribute(int* value, int attribute, Function* function) {
  return in_context([&](Driver& d, Context&) {
    if (d.function(function) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (attribute == kMaxThreadsPerBlock) {
      *value = static_cast<int>(function->kernel.max_threads);
    } else if (attribute == kMaxDynamicShared) {
      *value = static_cast<int>(function->max_dynamic_shared_bytes);
    } else {
      return d.refuse(CUDA_ERROR_NOT_SUPPORTED,
                      "function attribute %d: g++ knows no registers and no static shared memory", attribute);
    }
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Function* function, int threads,
                                                                  size_t) {
  return in_context([&](Driver& d, Context&) {
    if (d.function(function) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (threads <= 0) return CUDA_ERROR_INVALID_VALUE;
    *blocks = static_cast<unsigned>(threads) <= function->kernel.max_threads ? 1 : 0;  // as the emulator runs them
    return CUDA_SUCCESS;
  });
}

extern "C" {

const char* lathe_emulator_last_report() {
  static thread_local std::string copy;
  Driver& d = driver();
  std::scoped_lock lock(d.mutex);
  copy = d.report;
  return copy.c_str();
}

void lathe_emulator_clear_report() {
  Driver& d = driver();
  std::scoped_lock lock(d.mutex);
  d.report.clear();
}

int lathe_emulator_set_order(const char* order) {
  Driver& d = driver();
  std::scoped_lock lock(d.mutex);
  return d.schedule.parse(order) ? 0 : 1;
}
}
