package dev.lathe.cli;

import dev.lathe.backend.Backends;
import dev.lathe.backend.OpenedBackend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.generate.CheckedModel;
import dev.lathe.model.Decoder;
import dev.lathe.tokenize.Tokenizer;
import dev.lathe.tokenize.Tokenizers;
import java.nio.file.Path;

/**
 * A model ready to run: its checkpoint, its tokenizer, and its weights resident on a backend.
 *
 * @param decoder closed before the backend, the backend before the checkpoint whose mapped file it
 *     may multiply
 */
record OpenModel(Checkpoint checkpoint, Tokenizer tokenizer, OpenedBackend opened, Decoder decoder)
    implements AutoCloseable {

  /** Opens a model on the backend, and with the keys and values, that the options ask for. */
  static OpenModel load(Path model, HardwareOptions hardware, CacheTypeOption cacheType) {
    cacheType.asked();
    try (Unwinding opening = new Unwinding()) {
      Checkpoint checkpoint = opening.keep(Checkpoints.open(model));
      Tokenizer tokenizer = opening.keep(Tokenizers.load(checkpoint));
      OpenedBackend opened =
          opening.keep(
              Backends.open(hardware.backend(), hardware.threads(), hardware.cpuKernels()));
      Decoder decoder =
          opening.keep(
              CheckedModel.load(checkpoint, opened.backend(), cacheType.on(opened.backend())));
      CheckedModel.requireVocabulary(checkpoint, decoder, tokenizer);
      opening.succeeded();
      return new OpenModel(checkpoint, tokenizer, opened, decoder);
    }
  }

  /** Another model on the same backend, with keys and values as it asks for itself. */
  Second beside(Path model) {
    try (Unwinding opening = new Unwinding()) {
      Checkpoint other = opening.keep(Checkpoints.open(model));
      Decoder otherDecoder = opening.keep(CheckedModel.load(other, opened.backend()));
      opening.succeeded();
      return new Second(other, otherDecoder);
    }
  }

  String backendName() {
    return opened.backend().name();
  }

  /** What the model's keys and values are kept as: {@code bf16}, {@code int8}. */
  String cacheType() {
    return decoder.cacheType().label();
  }

  String reason() {
    return opened.reason();
  }

  @Override
  public void close() {
    decoder.close();
    opened.close();
    tokenizer.close();
    checkpoint.close();
  }

  /** A second model on a backend that another one keeps open. */
  record Second(Checkpoint checkpoint, Decoder decoder) implements AutoCloseable {
    @Override
    public void close() {
      decoder.close();
      checkpoint.close();
    }
  }
}
