/* Handles and what is set on them. */
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>

#include "cublas_types.h"

using namespace lathe::emulator;

extern "C" {
int cuCtxGetDevice(int* device);
int cuCtxSynchronize();
}

namespace {

constexpr int kVersion = 120604;

struct Handles {
  std::mutex mutex;
  std::map<const void*, std::unique_ptr<Handle>> live;
};

// Never destroyed: a JVM ends without asking.
Handles& handles() {
  static Handles* instance = new Handles();
  return *instance;
}

/** Runs `body` on a live handle, under the lock. */
template <class Body>
int with_handle(void* address, Body body) {
  Handles& all = handles();
  std::scoped_lock lock(all.mutex);
  auto found = all.live.find(address);
  return found == all.live.end() ? kNotInitialized : body(*found->second);
}

}  // namespace

namespace lathe::emulator {

bool handle_state(const void* address, Handle* state) {
  return with_handle(const_cast<void*>(address), [&](Handle& handle) {
           *state = handle;
           return kSuccess;
         }) == kSuccess;
}

}  // namespace lathe::emulator

LATHE_CUBLAS int cublasCreate_v2(void** handle) {
  if (handle == nullptr) return kInvalidValue;
  int device;
  if (cuCtxGetDevice(&device) != 0) return kNotInitialized;
  auto fresh = std::make_unique<Handle>();
  *handle = fresh.get();
  Handles& all = handles();
  std::scoped_lock lock(all.mutex);
  all.live[*handle] = std::move(fresh);
  return kSuccess;
}

LATHE_CUBLAS int cublasDestroy_v2(void* handle) {
  Handles& all = handles();
  {
    std::scoped_lock lock(all.mutex);
    if (all.live.erase(handle) == 0) return kNotInitialized;
  }
  return cuCtxSynchronize() == 0 ? kSuccess : kExecutionFailed;
}

LATHE_CUBLAS int cublasGetVersion_v2(void* handle, int* version) {
  return with_handle(handle, [&](Handle&) {
    *version = kVersion;
    return kSuccess;
  });
}

LATHE_CUBLAS int cublasGetProperty(int property, int* value) {
  switch (property) {
    case 0:
      *value = kVersion / 10000;
      return kSuccess;
    case 1:
      *value = kVersion / 100 % 100;
      return kSuccess;
    case 2:
      *value = kVersion % 100;
      return kSuccess;
    default:
      return kInvalidValue;
  }
}

LATHE_CUBLAS size_t cublasGetCudartVersion() { return 12060; }

LATHE_CUBLAS const char* cublasGetStatusName(int status) {
  switch (status) {
    case kSuccess:
      return "CUBLAS_STATUS_SUCCESS";
    case kNotInitialized:
      return "CUBLAS_STATUS_NOT_INITIALIZED";
    case kInvalidValue:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case kExecutionFailed:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case kNotSupported:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
      return "unknown status";
  }
}
LATHE_CUBLAS const char* cublasGetStatusString(int status) { return cublasGetStatusName(status); }

LATHE_CUBLAS int cublasSetStream_v2(void* handle, void* stream) {
  return with_handle(handle, [&](Handle& state) {
    state.stream = stream;
    return kSuccess;
  });
}
LATHE_CUBLAS int cublasGetStream_v2(void* handle, void** stream) {
  return with_handle(handle, [&](Handle& state) {
    *stream = state.stream;
    return kSuccess;
  });
}

/** The workspace has to be device memory, at a multiple of 256 bytes; nothing here needs one. */
LATHE_CUBLAS int cublasSetWorkspace_v2(void* handle, void* workspace, size_t) {
  return with_handle(handle, [&](Handle&) {
    return reinterpret_cast<uintptr_t>(workspace) % 256 == 0 ? kSuccess : kInvalidValue;
  });
}

LATHE_CUBLAS int cublasSetPointerMode_v2(void* handle, int mode) {
  return with_handle(handle, [&](Handle& state) {
    if (mode != 0 && mode != 1) return kInvalidValue;
    state.scalars_on_device = mode == 1;
    return kSuccess;
  });
}
LATHE_CUBLAS int cublasGetPointerMode_v2(void* handle, int* mode) {
  return with_handle(handle, [&](Handle& state) {
    *mode = state.scalars_on_device ? 1 : 0;
    return kSuccess;
  });
}

LATHE_CUBLAS int cublasSetMathMode(void* handle, int mode) {
  return with_handle(handle, [&](Handle& state) {
    int base = mode & ~kMathModeFlag;
    if (base < kDefaultMath || base > kTf32TensorOpMath) return kInvalidValue;
    state.math_mode = mode;
    return kSuccess;
  });
}
LATHE_CUBLAS int cublasGetMathMode(void* handle, int* mode) {
  return with_handle(handle, [&](Handle& state) {
    *mode = state.math_mode;
    return kSuccess;
  });
}

LATHE_CUBLAS int cublasSetAtomicsMode(void* handle, int mode) {
  return with_handle(handle, [&](Handle& state) {
    state.atomics_mode = mode;
    return kSuccess;
  });
}
LATHE_CUBLAS int cublasGetAtomicsMode(void* handle, int* mode) {
  return with_handle(handle, [&](Handle& state) {
    *mode = state.atomics_mode;
    return kSuccess;
  });
}

LATHE_CUBLAS int cublasSetSmCountTarget(void* handle, int multiprocessors) {
  return with_handle(handle, [&](Handle& state) {
    if (multiprocessors < 0) return kInvalidValue;
    state.multiprocessors = multiprocessors;
    return kSuccess;
  });
}
LATHE_CUBLAS int cublasGetSmCountTarget(void* handle, int* multiprocessors) {
  return with_handle(handle, [&](Handle& state) {
    *multiprocessors = state.multiprocessors;
    return kSuccess;
  });
}
