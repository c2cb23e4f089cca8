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

LATHE_DRIVER CUresult cuCtxCreate_v2(Context** context, unsigned flags, CUdevice device) {
  return in_driver([&](Driver& d) {
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    *context = d.create_context();
    (*context)->flags = flags;
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
    CUresult wrong = refuse_capturing(d, context, context.default_stream, "cuCtxSynchronize");
    if (wrong != CUDA_SUCCESS) return wrong;
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

LATHE_DRIVER CUresult cuCtxGetFlags(unsigned* flags) {
  return in_context([&](Driver&, Context& context) {
    *flags = context.flags;
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuCtxGetId(Context* context, uint64_t* id) {
  return in_driver([&](Driver& d) {
    if (context == nullptr && !context_stack().empty()) context = context_stack().back();
    if (!d.contexts.has(context)) return CUDA_ERROR_INVALID_CONTEXT;
    *id = context->default_stream.id;  // as unique as the context is
    return CUDA_SUCCESS;
  });
}

LATHE_DRIVER CUresult cuCtxGetApiVersion(Context* context, unsigned* version) {
  return in_driver([&](Driver& d) {
    if (context != nullptr && !d.contexts.has(context)) return CUDA_ERROR_INVALID_CONTEXT;
    *version = 3020;
    return CUDA_SUCCESS;
  });
}

// Hints to the caches, and limits of what the emulator doesn't have.
LATHE_DRIVER CUresult cuCtxSetCacheConfig(int) {
  return in_context([](Driver&, Context&) { return CUDA_SUCCESS; });
}
LATHE_DRIVER CUresult cuCtxGetCacheConfig(int* config) {
  return in_context([&](Driver&, Context&) {
    *config = 0;
    return CUDA_SUCCESS;
  });
}
LATHE_DRIVER CUresult cuCtxGetLimit(size_t* bytes, int limit) {
  return in_context([&](Driver&, Context&) {
    constexpr int kStackBytes = 0;
    if (limit != kStackBytes) return CUDA_ERROR_UNSUPPORTED_LIMIT;
    *bytes = Stack::kBytes;
    return CUDA_SUCCESS;
  });
}
LATHE_DRIVER CUresult cuCtxSetLimit(int, size_t) {
  return in_context([](Driver&, Context&) { return CUDA_ERROR_UNSUPPORTED_LIMIT; });
}
