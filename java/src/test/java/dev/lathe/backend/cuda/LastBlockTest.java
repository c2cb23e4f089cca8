package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.error.LatheException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * The last of a grid's blocks puts together what all have left (common/combine.cuh): right in any
 * order and again, and its mistakes are seen: those of cuda-kernels/test/attention_faults.cu.
 */
@Tag("cuda")
class LastBlockTest {
  private static final int BLOCKS = 40;
  private static final int SUM = BLOCKS * (BLOCKS + 1) / 2;
  private static final int RIGHT = 0;
  private static final int NO_FENCE = 1;
  private static final int COUNTER_LEFT = 2;
  private static final int LAST_BUT_ONE = 3;

  @BeforeEach
  void emulated() {
    assumeTrue(CudaDriver.kind().emulated(), "these kernels are built for the emulated GPU only");
  }

  /** Sums of two launches over the same counter; -1 where no block wrote one. */
  private static int[] sums(CudaBench bench, int mistake) {
    Tensor counter = bench.up(bench.integers(0));
    int[] sums = new int[2];
    for (int launch = 0; launch < 2; launch++) {
      Tensor out = bench.up(bench.integers(-1));
      bench
          .kernels
          .get("test/attention_faults", "last_block_sums")
          .pointer(out)
          .pointer(bench.device(DType.I32, BLOCKS))
          .pointer(counter)
          .i32(mistake)
          .launch(BLOCKS, 1, 1, 64, 0);
      sums[launch] = bench.downIntegers(out)[0];
    }
    return sums;
  }

  private static int[] sums(String order, int mistake) {
    CudaBench.setOrder(order);
    try (CudaBench bench = new CudaBench()) {
      return sums(bench, mistake);
    } finally {
      CudaBench.setOrder("forward");
    }
  }

  @Test
  void rightInEveryOrderAndAgain() {
    for (String order : CudaBench.orders()) {
      assertThat(sums(order, RIGHT)).as(order).containsExactly(SUM, SUM);
    }
    assertThat(sums("parallel", RIGHT)).containsExactly(SUM, SUM);
  }

  @Test
  void canaryACounterThatIsLeftIsSeenTheSecondTime() {
    assertThat(sums("forward", COUNTER_LEFT)).containsExactly(SUM, -1);
  }

  @Test
  void canaryAMissingFenceIsSeen() {
    for (String order : CudaBench.orders()) {
      assertThatThrownBy(() -> sums(order, NO_FENCE)).as(order).isInstanceOf(LatheException.class);
    }
  }

  /** It reads what the last one hasn't written yet. */
  @Test
  void canaryTheLastButOneIsSeen() {
    for (String order : CudaBench.orders()) {
      assertThatThrownBy(() -> sums(order, LAST_BUT_ONE))
          .as(order)
          .isInstanceOf(LatheException.class);
    }
  }
}
