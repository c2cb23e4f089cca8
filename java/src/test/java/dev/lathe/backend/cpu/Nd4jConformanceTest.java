package dev.lathe.backend.cpu;

import dev.lathe.backend.Backend;
import dev.lathe.backend.BackendConformance;

/** The whole suite without the native library. */
final class Nd4jConformanceTest extends BackendConformance {
  @Override
  protected Backend open() {
    return Nd4jBackend.open(2);
  }
}
