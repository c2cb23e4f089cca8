package dev.lathe.optimize;

import dev.lathe.backend.Backend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.generate.CheckedModel;
import dev.lathe.measure.Bytes;
import dev.lathe.model.Decoder;
import java.nio.file.Path;

/** A checkpoint and the decoder that was placed from it; the weights may lie in the mapped file. */
record LoadedModel(Checkpoint checkpoint, Decoder decoder) implements AutoCloseable {

  static LoadedModel open(Path folder, Backend backend) {
    Checkpoint checkpoint = Checkpoints.open(folder);
    try {
      return new LoadedModel(checkpoint, CheckedModel.load(checkpoint, backend));
    } catch (RuntimeException | Error e) {
      checkpoint.close();
      throw e;
    }
  }

  /** What a token takes of the KV-cache, in the type that this model has on its backend. */
  long kvBytesPerToken() {
    return Bytes.keyValuePerToken(decoder.config(), decoder.cacheType());
  }

  @Override
  public void close() {
    try (checkpoint) {
      decoder.close();
    }
  }
}
