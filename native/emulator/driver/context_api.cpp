/* Contexts: what a thread's calls belong to, and what a kernel's fault spoils. */
#include <algorithm>

#include "driver.h"

using namespace lathe::emulator;

namespace {

void forget(Context* context) { std::erase(context_stack(), context); }

/** Destroys a context and all it owns; what still waits in its streams is done first, or dropped after a fault. */
CUresult destroy(Driver& d, Context* context) {
  if (!d.contexts.has(context)) return CUDA_ERROR_INVALID_CONTEXT;
  d.finish_all();
  forget(context);
  d.destroy_context(context);
  return CUDA_SUCCESS;
}

CUresult set_current(Driver& d, Context* context) {
  if (context != nullptr && !d.contexts.has(context)) return CUDA_ERROR_INVALID_CONTEXT;
  auto& stack = context_stack();
  if (!stack.empty()) stack.pop_back();
  if (context != nullptr) stack.push_back(context);
  return CUDA_SUCCESS;
}

}  // namespace

LATHE_DRIVER CUresult cuCtxCreate_v2(Context** context, unsigned, CUdevice device) {
  return in_driver([&](Driver& d) {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    *context = d.create_context();
    context_stack().push_back(*context);
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuCtxDestroy_v2(Context* context) {
  return in_driver([&](Driver& d) { return context == d.primary ? CUDA_ERROR_INVALID_CONTEXT : destroy(d, context); });
}

LATHE_DRIVER CUresult cuCtxSetCurrent(Context* context) {
  return in_driver([&](Driver& d) { return set_current(d, context); });
}

LATHE_DRIVER CUresult cuCtxGetCurrent(Context** context) {
  return in_driver([&](Driver&) {
    *context = context_stack().empty() ? nullptr : context_stack().back();
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuCtxPushCurrent_v2(Context* context) {
  return in_driver([&](Driver& d) {
    if (!d.contexts.has(context)) return CUDA_ERROR_INVALID_CONTEXT;
    context_stack().push_back(context);
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuCtxPopCurrent_v2(Context** context) {
  return in_driver([&](Driver&) {
    if (context_stack().empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (context != nullptr) *context = context_stack().back();
    context_stack().pop_back();
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuCtxGetDevice(CUdevice* device) {
  return in_context([&](Driver&, Context&) {
    *device = 0;
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuCtxSynchronize() {
  return in_context([](Driver& d, Context& context) {
    d.finish_all();
    return context.fault;
  });
}

LATHE_DRIVER CUresult cuDevicePrimaryCtxRetain(Context** context, CUdevice device) {
  return in_driver([&](Driver& d) {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    if (d.primary == nullptr) d.primary = d.create_context();
    d.primary_users++;
    *context = d.primary;
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuDevicePrimaryCtxReset_v2(CUdevice device) {
  return in_driver([&](Driver& d) {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    if (d.primary == nullptr) return CUDA_SUCCESS;
    CUresult result = destroy(d, d.primary);
    d.primary = nullptr;
    d.primary_users = 0;
    return result;
  });
}

LATHE_DRIVER CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  return in_driver([&](Driver& d) {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    if (d.primary_users == 0) return CUDA_ERROR_INVALID_CONTEXT;
    if (--d.primary_users > 0) return CUDA_SUCCESS;
    CUresult result = destroy(d, d.primary);
    d.primary = nullptr;
    return result;
  });
}

LATHE_DRIVER CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned flags) {
  return in_driver([&](Driver& d) {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    d.primary_flags = flags;
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned* flags, int* active) {
  return in_driver([&](Driver& d) {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    *flags = d.primary_flags;
    *active = d.primary != nullptr;
    return CUDA_SUCCESS;
  });
}
