package dev.lathe.measure;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.Ceilings;
import dev.lathe.backend.Ceilings.TensorCores;
import dev.lathe.measure.Profile.Operation;
import java.util.List;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;

class RoofTest {
  private static final Ceilings CEILINGS =
      new Ceilings(10, 100, new TensorCores(1000, 2000), "test");

  private static Operation operation(long flops, Arithmetic arithmetic) {
    double roof = CEILINGS.under(arithmetic).peakGflops();
    return new Operation(
        "decode", "any", 1, 1, 1, flops, 1, 1, 1, 1, 1, Bound.MEMORY, "" + arithmetic, roof);
  }

  @Test
  void eachUnitHasItsRoof() {
    assertThat(CEILINGS.under(Arithmetic.F32).peakGflops()).isEqualTo(100);
    assertThat(CEILINGS.under(Arithmetic.BF16_TENSOR_CORES).peakGflops()).isEqualTo(1000);
    assertThat(CEILINGS.under(Arithmetic.INT8_TENSOR_CORES).peakGflops()).isEqualTo(2000);
    // 5000 operations on 100 bytes: 50 ns in F32; on tensor cores reading takes longer.
    assertThat(CEILINGS.leastNanos(5000, 100)).isEqualTo(50);
    assertThat(CEILINGS.under(Arithmetic.INT8_TENSOR_CORES).leastNanos(5000, 100)).isEqualTo(10);
    assertThat(Bound.of(5000, 100, 60, CEILINGS)).isEqualTo(Bound.COMPUTE);
    assertThat(Bound.of(5000, 100, 15, CEILINGS.under(Arithmetic.BF16_TENSOR_CORES)))
        .isEqualTo(Bound.MEMORY);
    Ceilings cpu = new Ceilings(10, 100, 300, OptionalDouble.of(600), "a CPU");
    assertThat(cpu.under(Arithmetic.INT16).peakGflops()).isEqualTo(300);
    assertThat(cpu.under(Arithmetic.INT8).peakGflops()).isEqualTo(600);
    Ceilings noBytes = new Ceilings(10, 100, 300, OptionalDouble.empty(), "a CPU");
    assertThat(noBytes.under(Arithmetic.INT8).peakGflops()).isEqualTo(300);
    assertThat(cpu.under(Arithmetic.BF16_TENSOR_CORES)).isEqualTo(cpu);
    Ceilings unknown = new Ceilings(10, 100, "integers not measured");
    assertThat(unknown.under(Arithmetic.INT16)).isEqualTo(unknown);
  }

  @Test
  void aPhaseHasTheRoofOfItsParts() {
    Operation f32 = operation(100, Arithmetic.F32); // 1 ns
    Operation bf16 = operation(9000, Arithmetic.BF16_TENSOR_CORES); // 9 ns
    assertThat(Roof.of(List.of(f32, f32), CEILINGS)).isEqualTo(CEILINGS);
    assertThat(Roof.of(List.of(bf16), CEILINGS).peakGflops()).isEqualTo(1000);
    assertThat(Roof.of(List.of(f32, bf16), CEILINGS).peakGflops())
        .isEqualTo(9100 / 10.0, within(1e-9));
    assertThat(Roof.of(List.of(operation(0, Arithmetic.F32)), CEILINGS)).isEqualTo(CEILINGS);
  }
}
