package dev.lathe.backend.cuda;

import java.lang.foreign.MemorySegment;
import jcuda.Pointer;

/** A pointer to off-heap memory of the host: mapped, pinned or any other. */
final class HostPointer extends Pointer {
  /** Null, for a call that sets it. */
  HostPointer() {}

  HostPointer(MemorySegment memory) {
    super(memory.address());
  }

  long address() {
    return getNativePointer() + getByteOffset();
  }
}
