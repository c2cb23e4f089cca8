package dev.lathe.backend.reference;

import dev.lathe.backend.Backend;
import dev.lathe.backend.BackendConformance;

/**
 * The reference against itself: proves that the suite's cases are valid calls, and the parts that
 * do not need a reference (memory, argmax, refused shapes). That the reference is right is the
 * matter of {@link ReferenceBackendTest}.
 */
final class ReferenceConformanceTest extends BackendConformance {
  @Override
  protected Backend open() {
    return new ReferenceBackend();
  }
}
