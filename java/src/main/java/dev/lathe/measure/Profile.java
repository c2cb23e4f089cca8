package dev.lathe.measure;

import com.fasterxml.jackson.annotation.JsonInclude;
import dev.lathe.backend.Ceilings;
import dev.lathe.backend.DeviceRecord.Grid;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;

/**
 * Where a model's time, memory and arithmetic go.
 *
 * @param params weights, a tied matrix counted once
 * @param flops of the whole request that was profiled: prefill and every decode step
 * @param weightsBytes as resident on the device
 * @param kvCacheType what keys and values are kept as: {@code bf16}, {@code int8}
 * @param kvBytesPerToken that a token leaves in the cache, scales included
 * @param activationBytes as allocated for the largest step
 * @param ridgeFlopsPerByte arithmetic intensity at which the two ceilings meet
 * @param ops by phase, the one that takes longest first
 * @param bottleneck of the phase in which most of the time goes
 * @param timerNanos what timing adds to each operation's time
 * @param kernels by phase, the one that takes longest first; none where the device records nothing,
 *     as on the CPU, like {@code devicePhases}
 * @param launchTimerNanos what a launch that does nothing is recorded with, part of each launch's
 *     time
 */
public record Profile(
    long params,
    long flops,
    long weightsBytes,
    String kvCacheType,
    long kvBytesPerToken,
    long activationBytes,
    Ceilings ceilings,
    double ridgeFlopsPerByte,
    List<Phase> phases,
    List<Operation> ops,
    Bound bottleneck,
    List<String> advice,
    double timerNanos,
    List<Kernel> kernels,
    List<DevicePhase> devicePhases,
    OptionalLong launchTimerNanos) {

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
   * @param arithmetic what most of the time of its kernels multiplies with: {@code f32} or tensor
   *     cores, whose ceiling is {@code roofGflops}
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
      Bound bound,
      String arithmetic,
      double roofGflops) {}

  /**
   * All launches of one kernel with one grid, by one kind of operation in one phase. What is not
   * known is absent.
   *
   * @param kind {@code kernel}, {@code library} (a call, which may launch several), {@code copy}
   * @param operation that asked for it; absent for what runs outside of operations
   * @param calls in one run of the phase
   * @param timeMs of all those calls: median of the repetitions, marks included
   * @param percent of the time of all launches of the phase
   * @param operationPercent of the time of all launches of the operations that launched it
   * @param grid blocks in x, y and z
   * @param block threads of a block
   * @param arithmetic whose ceiling it is held against
   * @param flops of the operations, where it takes at least {@link KernelTimes#DOMINANT} of their
   *     time, like {@code bytes}; of a copy the bytes that it moves
   */
  @JsonInclude(JsonInclude.Include.NON_ABSENT)
  public record Kernel(
      String phase,
      String kind,
      String name,
      Optional<String> operation,
      int calls,
      double timeMs,
      double percent,
      OptionalDouble operationPercent,
      Optional<List<Long>> grid,
      OptionalInt block,
      String arithmetic,
      OptionalLong flops,
      OptionalLong bytes,
      OptionalDouble gbs,
      OptionalDouble tflops,
      Optional<Bound> bound) {

    static Optional<List<Long>> blocks(Grid grid) {
      return grid.equals(Grid.UNKNOWN)
          ? Optional.empty()
          : Optional.of(List.of(grid.x(), (long) grid.y(), (long) grid.z()));
    }
  }

  /**
   * What the device did in a phase with every launch recorded. Medians of the repetitions.
   *
   * @param launches kernels, library calls and copies
   * @param kernelMs sum over kernels and library calls
   * @param copyMs sum over copies
   * @param idleMs between the end of a launch and the start of the next
   * @param idlePercent of the time from the first launch to the end of the last
   * @param recordedMs of the phase on the host's clock, recorded
   * @param timeMs of the phase undisturbed, in the same process by turns: what recording adds is
   *     the difference
   */
  public record DevicePhase(
      String phase,
      int launches,
      double kernelMs,
      double copyMs,
      double idleMs,
      double idlePercent,
      double recordedMs,
      double timeMs) {}

  public Phase phase(String name) {
    return phases.stream().filter(p -> p.name().equals(name)).findFirst().orElseThrow();
  }

  public List<Operation> ops(String phase) {
    return ops.stream().filter(op -> op.phase().equals(phase)).toList();
  }

  public List<Kernel> kernels(String phase) {
    return kernels.stream().filter(kernel -> kernel.phase().equals(phase)).toList();
  }
}
