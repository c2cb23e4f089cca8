package dev.lathe.backend;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;

/** Memory of a backend's device that is allocated piece by piece and freed together. */
public interface DeviceMemory extends AutoCloseable {

  /**
   * A contiguous tensor, zeroed, aligned to 64 bytes.
   *
   * @throws dev.lathe.error.LatheException if the device has not that much left: says how much was
   *     needed and how much was free
   */
  Tensor tensor(DType dtype, long... shape);

  /** Bytes allocated here so far. */
  long bytes();

  @Override
  void close();
}
