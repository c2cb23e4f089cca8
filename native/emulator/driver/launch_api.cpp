/* Launches. */
#include "driver.h"
#include "launch.h"

using namespace lathe::emulator;

namespace {

CUresult submit_launch(Function* function, const LaunchShape& shape, void* stream, void* const* values, void** extra,
                       const char* name) {
  return in_context([&](Driver& d, Context& context) {
    if (d.stream(context, stream) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    Launch launch;
    CUresult wrong = make_launch(d, function, shape, values, extra, &launch);
    return wrong != CUDA_SUCCESS ? wrong : submit(d, context, stream, name, std::move(launch));
  });
}

}  // namespace

LATHE_DRIVER CUresult cuLaunchKernel(Function* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                                     unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                                     void* stream, void** values, void** extra) {
  LaunchShape shape{{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes};
  return submit_launch(function, shape, stream, values, extra, "cuLaunchKernel");
}

LATHE_DRIVER CUresult cuLaunchCooperativeKernel(Function* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                                                unsigned block_x, unsigned block_y, unsigned block_z,
                                                unsigned shared_bytes, void* stream, void** values) {
  LaunchShape shape{{grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes, true};
  return submit_launch(function, shape, stream, values, nullptr, "cuLaunchCooperativeKernel");
}
