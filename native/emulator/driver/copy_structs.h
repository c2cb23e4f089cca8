/* The driver API's structures for copies and fills, and what becomes of them. */
#pragma once
#include <cstddef>
#include <cstdint>

#include "operation.h"

namespace lathe::emulator {

struct Driver;

// CUmemorytype
enum class Side : int { kHost = 1, kDevice = 2, kArray = 3, kUnified = 4 };

/** CUDA_MEMCPY2D_v2 */
struct Copy2D {
  struct End {
    size_t x_bytes, y;
    Side side;
    uintptr_t host, device;
    void* array;
    size_t pitch;
  };
  End from, to;
  size_t width, height;
};

/** CUDA_MEMCPY3D_v2 */
struct Copy3D {
  struct End {
    size_t x_bytes, y, z, lod;
    Side side;
    uintptr_t host, device;
    void* array;
    void* reserved;
    size_t pitch, height;
  };
  End from, to;
  size_t width, height, depth;
};

/** CUDA_MEMSET_NODE_PARAMS */
struct FillParameters {
  uintptr_t to;
  size_t pitch;
  unsigned value, element_bytes;
  size_t width, height;
};

/** What the structure asks for, if the device's sides of it lie in allocations. */
CUresult make_copy(Driver& d, const Copy3D& parameters, Copy* copy);
CUresult make_copy(Driver& d, const Copy2D& parameters, Copy* copy);
/** Whether both ends of a copy lie in allocations, where they are the device's. */
CUresult check_copy(Driver& d, const Copy& copy);
CUresult check_fill(Driver& d, const Fill& fill);

}  // namespace lathe::emulator
