package dev.lathe.gpucheck;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.DoubleStream;
import java.util.stream.Stream;
import tools.jackson.databind.JsonNode;

/**
 * What was measured, and the pure functions over it that tables and verdicts are made of.
 *
 * @param timings every row
 * @param doctorGbs bandwidth that {@code doctor} measured, for where no row has it
 * @param doctorTflops arithmetic that it measured, by its type: {@code f32}, {@code bf16}, {@code
 *     int8}
 * @param hostGapPercent by model, as {@code profile} says: the part of the time between decode
 *     steps in which the GPU waits for the host
 */
record Findings(
    List<Timing> timings,
    OptionalDouble doctorGbs,
    Map<String, Double> doctorTflops,
    Map<String, Double> hostGapPercent) {

  static final String READ = "read_f32";
  private static final String PROFILES = "models.profile-";

  static Findings of(List<Outcome> outcomes, JsonNode doctor) {
    List<Timing> timings = new ArrayList<>();
    Map<String, Double> gaps = new LinkedHashMap<>();
    for (Outcome outcome : outcomes) {
      for (JsonNode line : outcome.data()) {
        Timing.of(line).ifPresent(timings::add);
        if (outcome.id().startsWith(PROFILES) && line.path("host_gap_percent").isNumber()) {
          gaps.put(
              outcome.id().substring(PROFILES.length()), line.get("host_gap_percent").asDouble());
        }
      }
    }
    return new Findings(
        timings, doctor(doctor, "peak_bandwidth_gbs"), tflops(doctor), Map.copyOf(gaps));
  }

  private static Map<String, Double> tflops(JsonNode doctor) {
    Map<String, Double> tflops = new LinkedHashMap<>();
    Map.of("f32", "peak_tflops", "bf16", "peak_bf16_tensor_tflops", "int8", "peak_int8_tensor_tops")
        .forEach((arithmetic, key) ->
            doctor(doctor, key).ifPresent(peak -> tflops.put(arithmetic, peak)));
    return Map.copyOf(tflops);
  }

  private static OptionalDouble doctor(JsonNode doctor, String key) {
    for (JsonNode backend : doctor.path("backends")) {
      if (backend.path("name").asString("").equals("cuda") && backend.path(key).isNumber()) {
        return OptionalDouble.of(backend.get(key).asDouble());
      }
    }
    return OptionalDouble.empty();
  }

  /** The first that is such a row. */
  Optional<Timing> find(String bench, String shape, String side) {
    return timings.stream()
        .filter(t -> t.bench().equals(bench) && t.shape().equals(shape) && t.side().equals(side))
        .findFirst();
  }

  /** What reading reached, by whoever read fastest in this run; else what doctor measured. */
  OptionalDouble readGbs() {
    OptionalDouble rows =
        timings.stream()
            .filter(t -> t.bench().equals(READ))
            .flatMapToDouble(t -> t.gigabytesPerSecond().stream())
            .max();
    return rows.isPresent() ? rows : doctorGbs;
  }

  /** The most that this arithmetic reached in this run, in any row or in what doctor measured. */
  OptionalDouble peakTflops(String arithmetic) {
    DoubleStream rows =
        timings.stream()
            .filter(t -> !arithmetic.isEmpty() && t.arithmetic().equals(arithmetic))
            .flatMapToDouble(t -> t.teraflopsPerSecond().stream());
    return DoubleStream.concat(
            rows, Stream.ofNullable(doctorTflops.get(arithmetic)).mapToDouble(peak -> peak))
        .max();
  }

  /**
   * Microseconds that a row can't be faster than: its bytes at the bandwidth of reading, or its
   * operations at the peak, whichever takes longer. Empty where neither ceiling was measured.
   */
  OptionalDouble floorMicros(Timing row) {
    double floor = 0;
    if (row.bytes().isPresent() && readGbs().isPresent()) {
      floor = row.bytes().getAsLong() / readGbs().getAsDouble() / 1e3;
    }
    OptionalDouble peak = peakTflops(row.arithmetic());
    if (row.flops().isPresent() && peak.isPresent()) {
      floor = Math.max(floor, row.flops().getAsLong() / peak.getAsDouble() / 1e6);
    }
    return floor > 0 ? OptionalDouble.of(floor) : OptionalDouble.empty();
  }

  OptionalDouble percentOfFloor(Timing row) {
    OptionalDouble floor = floorMicros(row);
    return floor.isPresent()
        ? OptionalDouble.of(100 * floor.getAsDouble() / row.median())
        : OptionalDouble.empty();
  }

  /** The part of the measured bandwidth that the least that has to be moved takes. */
  OptionalDouble percentOfBandwidth(Timing row) {
    return row.gigabytesPerSecond().isPresent() && readGbs().isPresent()
        ? OptionalDouble.of(100 * row.gigabytesPerSecond().getAsDouble() / readGbs().getAsDouble())
        : OptionalDouble.empty();
  }

  /**
   * Who else computed what one of our rows does: the fastest of the same bench and shape, and where
   * there is none, what was timed in turns with it to hold it against.
   */
  Optional<Timing> peerOf(Timing row) {
    Comparator<Timing> fastest = Comparator.comparingDouble(Timing::median);
    Optional<Timing> same =
        timings.stream()
            .filter(
                t -> !t.ours() && t.bench().equals(row.bench()) && t.shape().equals(row.shape()))
            .min(fastest);
    return same.isPresent()
        ? same
        : timings.stream()
            .filter(t -> !t.ours() && t.pairedWith(row) && t.shape().equals(row.shape()))
            .min(fastest);
  }
}
