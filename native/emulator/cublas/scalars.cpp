#include <cstring>

#include "cublas_types.h"

namespace lathe::emulator {

double scalar_value(const Scalar& scalar) {
  if (scalar.address == 0) return scalar.value;
  const void* place = reinterpret_cast<const void*>(scalar.address);
  if (scalar.integer) {
    int32_t value;
    std::memcpy(&value, place, sizeof value);
    return value;
  }
  float value;
  std::memcpy(&value, place, sizeof value);
  return value;
}

}  // namespace lathe::emulator
