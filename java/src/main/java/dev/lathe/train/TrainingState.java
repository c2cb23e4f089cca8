package dev.lathe.train;

import dev.lathe.error.InvalidInputException;
import dev.lathe.error.LatheException;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/**
 * All that training needs to go on as if it had never stopped: weights, both moments of the
 * optimizer, the step, and what early stopping has seen. What comes next in the text follows from
 * the step.
 *
 * <p>A file of big-endian numbers: magic, identity of the run, step, best held-out loss, looks
 * since then, the count of weights, weights, means, squares, best weights. It appears whole or not
 * at all.
 */
final class TrainingState {
  private static final long MAGIC = 0x4C54_5241_494E_0001L;

  double bestLoss = Double.POSITIVE_INFINITY;
  int looksWithoutGain;
  final float[] best;

  /**
   * @param parameters as many as the file has
   */
  TrainingState(Parameters parameters) {
    best = parameters.values().clone();
  }

  /**
   * @param identity a hash of what must not change between stop and resumption
   */
  void save(Path file, long identity, Parameters parameters, AdamW optimizer) {
    Path part = file.resolveSibling(file.getFileName() + ".part");
    try {
      try (FileChannel channel =
              FileChannel.open(
                  part,
                  StandardOpenOption.CREATE,
                  StandardOpenOption.WRITE,
                  StandardOpenOption.TRUNCATE_EXISTING);
          DataOutputStream out =
              new DataOutputStream(
                  new BufferedOutputStream(
                      java.nio.channels.Channels.newOutputStream(channel), 1 << 16))) {
        out.writeLong(MAGIC);
        out.writeLong(identity);
        out.writeLong(optimizer.step);
        out.writeDouble(bestLoss);
        out.writeInt(looksWithoutGain);
        out.writeInt(parameters.count());
        for (float[] values :
            new float[][] {parameters.values(), optimizer.mean, optimizer.square, best}) {
          for (float value : values) {
            out.writeInt(Float.floatToRawIntBits(value));
          }
        }
        out.flush();
        channel.force(true);
      }
      Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } catch (IOException e) {
      throw new LatheException(
          LatheException.FAILED,
          "the state of the training cannot be written to %s: %s".formatted(file, e.getMessage()),
          e);
    }
  }

  /**
   * Takes everything from a file.
   *
   * @throws InvalidInputException if it is no such file, cut short, or of another run
   */
  void load(Path file, long identity, Parameters parameters, AdamW optimizer) {
    try (DataInputStream in =
        new DataInputStream(new BufferedInputStream(Files.newInputStream(file), 1 << 16))) {
      require(in.readLong() == MAGIC, file, "is no state of a training");
      require(
          in.readLong() == identity,
          file,
          "belongs to a training with another model, text or plan; give another --out, or remove it");
      long step = in.readLong();
      double bestSoFar = in.readDouble();
      int looks = in.readInt();
      require(in.readInt() == parameters.count(), file, "is of a model of another size");
      for (float[] values :
          new float[][] {parameters.values(), optimizer.mean, optimizer.square, best}) {
        for (int i = 0; i < values.length; i++) {
          values[i] = Float.intBitsToFloat(in.readInt());
        }
      }
      require(in.read() < 0, file, "is longer than its state");
      optimizer.step = step;
      bestLoss = bestSoFar;
      looksWithoutGain = looks;
    } catch (EOFException e) {
      throw new InvalidInputException(file + " is cut short; remove it to start again", e);
    } catch (IOException e) {
      throw new InvalidInputException(file + " cannot be read: " + e.getMessage(), e);
    }
  }

  private static void require(boolean right, Path file, String otherwise) {
    if (!right) {
      throw new InvalidInputException(file + " " + otherwise);
    }
  }
}
