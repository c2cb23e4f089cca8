package dev.lathe.measure;

import dev.lathe.backend.Ceilings;
import java.util.List;

/**
 * Where a model's time, memory and arithmetic go.
 *
 * @param params weights, a tied matrix counted once
 * @param flops of the whole request that was profiled: prefill and every decode step
 * @param weightsBytes as resident on the device
 * @param kvBytesPerToken that a token leaves in the cache
 * @param activationBytes as allocated for the largest step
 * @param ridgeFlopsPerByte arithmetic intensity at which the two ceilings meet
 * @param ops by phase, the one that takes longest first
 * @param bottleneck of the phase in which most of the time goes
 * @param timerNanos what timing adds to each operation's time
 */
public record Profile(
    long params,
    long flops,
    long weightsBytes,
    long kvBytesPerToken,
    long activationBytes,
    Ceilings ceilings,
    double ridgeFlopsPerByte,
    List<Phase> phases,
    List<Operation> ops,
    Bound bottleneck,
    List<String> advice,
    double timerNanos) {

  /**
   * Prefill or decode.
   *
   * @param sequences that run together
   * @param steps forward passes in the phase
   * @param tokens new tokens of the phase, over all sequences
   * @param flops of the phase
   * @param bytes that its operations have to move at least
   * @param timeMs of the phase undisturbed by timers: median of the repetitions
   * @param timedMs sum of its operations' times, for how much timing disturbs
   * @param leastMs the time that the ceilings allow, operation by operation
   * @param intensity FLOPs a byte
   */
  public record Phase(
      String name,
      int sequences,
      int steps,
      long tokens,
      long flops,
      long bytes,
      double timeMs,
      double timedMs,
      double leastMs,
      double gbs,
      double tflops,
      double intensity,
      Bound bound) {}

  /**
   * All calls of one kind of operation in one phase.
   *
   * @param calls in one run of the phase
   * @param timeMs of all those calls: median of the repetitions, timer included
   * @param flops of all those calls
   * @param bytes that they have to move at least
   * @param leastMs the time that the ceilings allow
   * @param percent of the phase's operations' time
   */
  public record Operation(
      String phase,
      String name,
      int calls,
      double timeMs,
      double percent,
      long flops,
      long bytes,
      double leastMs,
      double gbs,
      double tflops,
      double intensity,
      Bound bound) {}

  public Phase phase(String name) {
    return phases.stream().filter(p -> p.name().equals(name)).findFirst().orElseThrow();
  }

  public List<Operation> ops(String phase) {
    return ops.stream().filter(op -> op.phase().equals(phase)).toList();
  }
}
