package dev.lathe.optimize;

import dev.lathe.backend.Ceilings;
import dev.lathe.error.BackendUnusableException;
import dev.lathe.measure.Ridge;
import dev.lathe.model.Decoder;
import java.util.Optional;

/** What a model's profile is held against; a run goes on where it cannot be measured. */
final class MachineCeilings {
  private MachineCeilings() {}

  /** Empty, and said so, where nothing here can measure them. */
  static Optional<Ceilings> measure(Decoder decoder, ProgressSink sink) {
    try {
      return Optional.of(Ridge.measure(decoder.backend(), decoder.weightBytes()));
    } catch (BackendUnusableException e) {
      sink.note("no bottleneck is named: " + e.getMessage());
      return Optional.empty();
    }
  }
}
