package dev.lathe.train;

import dev.lathe.error.LatheException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/**
 * Steps of training. A batch is divided into parts with a gradient each; threads share them out,
 * and they are added in the batch's order, so that the result does not depend on the threads. A
 * part goes through the decoder some sequences at a time, so that what the layers leave for the
 * backward pass stays in the caches.
 */
final class Trainer implements AutoCloseable {
  /** What a step showed: loss in nats a token before the update, gradient norm before clipping. */
  record Step(long step, double loss, double gradientNorm, double learningRate) {}

  private final Parameters parameters;
  private final TrainingPlan plan;
  private final AdamW optimizer;
  private final TrainingText text;
  private final List<Part> parts = new ArrayList<>();
  private final ExecutorService threads;
  private final float[] gradient;
  private final Blas.SingleThread products;

  Trainer(
      Parameters parameters, TrainingPlan plan, AdamW optimizer, TrainingText text, int threads) {
    this.parameters = parameters;
    this.plan = plan;
    this.optimizer = optimizer;
    this.text = text;
    this.threads =
        Executors.newFixedThreadPool(
            threads, Thread.ofPlatform().daemon().name("train-", 0).factory());
    for (int i = 0; i < PARTS && i < plan.batch(); i++) {
      int sequences = plan.batch() / PARTS + (i < plan.batch() % PARTS ? 1 : 0);
      parts.add(
          new Part(
              new DecoderGradient(parameters, together(sequences), plan.length()),
              sequences * plan.length()));
    }
    gradient = new float[parameters.count()];
    products = Blas.SingleThread.begin();
  }

  /** A batch is divided into so many parts whatever the threads: sums then have one order. */
  static final int PARTS = 2;

  /** Sequences that go through the decoder together, at most. */
  private static final int TOGETHER = 4;

  /** The most that divide a part's sequences evenly. */
  private static int together(int sequences) {
    int count = Math.min(sequences, TOGETHER);
    while (sequences % count != 0) {
      count--;
    }
    return count;
  }

  /** Sequences of a batch that go through the decoder together: what must be in memory. */
  static int together(TrainingPlan plan) {
    return Math.min(TOGETHER, Math.ceilDiv(plan.batch(), PARTS));
  }

  /** Some sequences of each batch, {@code tokens} in all, and their gradient. */
  private record Part(DecoderGradient pass, int tokens) {
    /** The summed loss of the tokens from {@code from} on; the gradient unless the scale is 0. */
    double run(TrainingText.Windows windows, int from, float scale) {
      pass.clear();
      double loss = 0;
      for (int at = from; at < from + tokens; at += pass.tokens()) {
        int[] inputs = Arrays.copyOfRange(windows.inputs(), at, at + pass.tokens());
        int[] targets = Arrays.copyOfRange(windows.targets(), at, at + pass.tokens());
        loss +=
            scale == 0
                ? pass.loss(inputs, targets)
                : pass.lossAndAddGradient(inputs, targets, scale);
      }
      return loss;
    }
  }

  /**
   * The next step.
   *
   * @throws LatheException if loss or gradient is not a finite number; the weights are then those
   *     before the step
   */
  Step step() {
    long number = optimizer.step;
    TrainingText.Windows windows = text.draw(plan.seed(), number, plan.batch(), plan.length());
    float scale = 1f / (plan.batch() * plan.length());
    double loss = sum(windows, scale) * scale;
    Arrays.fill(gradient, 0);
    for (Part part : parts) {
      float[] own = part.pass().gradient();
      for (int i = 0; i < gradient.length; i++) {
        gradient[i] += own[i];
      }
    }
    double rate = plan.learningRate(number);
    double norm = Double.isFinite(loss) ? optimizer.update(gradient, rate, plan.clip()) : loss;
    if (!Double.isFinite(norm)) {
      throw new LatheException(
          LatheException.FAILED,
          "training stopped at step %d: loss %s, gradient norm %s; a lower learning rate than %s may help"
              .formatted(number, loss, norm, rate));
    }
    return new Step(number, loss, norm, rate);
  }

  /** Mean loss in nats a token over every token of a text. */
  double evaluate(TrainingText heldOut) {
    double sum = 0;
    long count = 0;
    for (TrainingText.Windows windows : heldOut.all(plan.batch(), plan.length())) {
      sum += sum(windows, 0);
      count += Arrays.stream(windows.targets()).filter(target -> target >= 0).count();
    }
    return sum / count;
  }

  private double sum(TrainingText.Windows windows, float scale) {
    List<Future<Double>> losses = new ArrayList<>();
    int next = 0;
    for (Part part : parts) {
      int from = next;
      losses.add(threads.submit(() -> part.run(windows, from, scale)));
      next += part.tokens();
    }
    double sum = 0;
    for (Future<Double> loss : losses) {
      sum += result(loss);
    }
    return sum;
  }

  private static double result(Future<Double> part) {
    try {
      return part.get();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new LatheException(LatheException.FAILED, "training was interrupted", e);
    } catch (ExecutionException e) {
      throw new IllegalStateException("a training thread failed", e.getCause());
    }
  }

  Parameters parameters() {
    return parameters;
  }

  /** Waits for the threads: what they use must not be given up under them. */
  @Override
  public void close() {
    boolean interrupted = false;
    threads.shutdownNow();
    while (true) {
      try {
        if (threads.awaitTermination(1, TimeUnit.MINUTES)) {
          break;
        }
      } catch (InterruptedException e) {
        // A step takes a second at most; whoever interrupted is told afterwards.
        interrupted = true;
      }
    }
    products.close();
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }
}
