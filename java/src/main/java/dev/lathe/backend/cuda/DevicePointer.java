package dev.lathe.backend.cuda;

import jcuda.driver.CUdeviceptr;

/** A device pointer whose address can be read and set, which JCuda's own keeps to itself. */
final class DevicePointer extends CUdeviceptr {
  /** Null, for a call that sets it. */
  DevicePointer() {}

  DevicePointer(long address) {
    super(new CUdeviceptr(), address);
  }

  long address() {
    return getNativePointer() + getByteOffset();
  }
}
