#include "launch.h"

#include "driver.h"
#include "limits.h"

namespace lathe::emulator {

namespace {

CUresult check_shape(Driver& d, const Function& function, const LaunchShape& shape) {
  const auto& [grid, block, shared_bytes, cooperative] = shape;
  const char* name = function.kernel.name;
  size_t threads = size_t{block.x} * block.y * block.z;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535)
    return d.refuse(CUDA_ERROR_INVALID_VALUE, "%s: a grid of %u x %u x %u blocks can't be launched", name, grid.x,
                    grid.y, grid.z);
  if (threads == 0 || block.x > 1024 || block.y > 1024 || block.z > 64 || threads > kMaxThreads)
    return d.refuse(CUDA_ERROR_INVALID_VALUE, "%s: a block of %u x %u x %u threads can't be launched", name, block.x,
                    block.y, block.z);
  if (threads > function.kernel.max_threads)
    return d.refuse(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "%s: %zu threads, but it was compiled for %u", name, threads,
                    function.kernel.max_threads);
  if (shared_bytes > function.max_dynamic_shared_bytes)
    return d.refuse(CUDA_ERROR_INVALID_VALUE,
                    "%s: %u bytes of dynamic shared memory, but %zu are allowed (cuFuncSetAttribute raises that)", name,
                    shared_bytes, function.max_dynamic_shared_bytes);
  size_t blocks = size_t{grid.x} * grid.y * grid.z;
  size_t resident = static_cast<size_t>(resident_blocks(threads, shared_bytes)) * kMultiprocessors;
  if (cooperative && blocks > resident)
    return d.refuse(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, "%s: %zu blocks, but the device holds %zu at once", name,
                    blocks, resident);
  return CUDA_SUCCESS;
}

}  // namespace

CUresult make_launch(Driver& d, const Function* function, const LaunchShape& shape, void* const* values, void** extra,
                     Launch* launch) {
  if (d.function(function) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  const Kernel& kernel = function->kernel;
  if (extra != nullptr)
    return d.refuse(CUDA_ERROR_NOT_SUPPORTED, "%s: arguments in a buffer (`extra`)", kernel.name);
  if (values == nullptr && kernel.arguments > 0) return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < kernel.arguments; i++)
    if (values[i] == nullptr)
      return d.refuse(CUDA_ERROR_INVALID_VALUE, "%s: argument %zu is a null pointer", kernel.name, i);
  if (CUresult wrong = check_shape(d, *function, shape); wrong != CUDA_SUCCESS) return wrong;
  *launch = {.function = function,
             .grid = shape.grid,
             .block = shape.block,
             .shared_bytes = shape.shared_bytes,
             .arguments = std::make_shared<const Arguments>(kernel, values),
             .cooperative = shape.cooperative};
  return CUDA_SUCCESS;
}

}  // namespace lathe::emulator
