package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.AttentionShape;
import dev.lathe.tensor.DType;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Geometry of attention, on devices that need not be here. */
class AttentionPlanTest {
  private static final DeviceLimits H200 = new DeviceLimits(132, 227 << 10, 32, 1024, 90);
  private static final DeviceLimits A10 = new DeviceLimits(72, 99 << 10, 32, 1024, 86);

  private static AttentionShape shape(int heads, int kvHeads, int headDim) {
    return new AttentionShape(heads, kvHeads, headDim, 1);
  }

  private static AttentionPlan.Launch decode(
      DeviceLimits limits, AttentionShape shape, DType type, int sequences, int context) {
    List<AttentionPlan.Launch> launches =
        AttentionPlan.of(
                limits,
                shape,
                type,
                new AttentionPlan.Sizes(sequences, sequences, sequences * (context / 16L), 16))
            .launches();
    assertThat(launches).hasSize(1);
    return launches.getFirst();
  }

  @Test
  void decodeFillsTheDevice() {
    AttentionShape llama = shape(32, 8, 128);
    // 256 blocks of two a multiprocessor: nothing to divide.
    AttentionPlan.Launch batch = decode(H200, llama, DType.BF16, 32, 4096);
    assertThat(batch.kernel()).isEqualTo("paged_attention_decode_bf16_128");
    assertThat(batch.splits()).isEqualTo(1);
    assertThat(batch.step()).isEqualTo(3);
    assertThat(2 * (batch.sharedBytes() + 1024)).isLessThanOrEqualTo(228 << 10);
    // 8 of them: each in so many parts that at least 95 % of the device is busy.
    AttentionPlan.Launch one = decode(H200, llama, DType.BF16, 1, 32768);
    assertThat(8 * one.splits()).isBetween((int) (0.95 * 264), 264);
    AttentionPlan.Launch eight = decode(H200, llama, DType.BF16, 8, 4096);
    assertThat(64 * eight.splits()).isBetween((int) (0.95 * 264), 264);
    // A short context is not worth many parts.
    assertThat(decode(H200, llama, DType.BF16, 1, 256).splits()).isEqualTo(2);
    assertThat(decode(H200, llama, DType.BF16, 1, 16).splits()).isEqualTo(1);
  }

  @Test
  void int8FillsItWithHalfTheBytes() {
    AttentionPlan.Launch batch = decode(H200, shape(32, 8, 128), DType.I8, 32, 4096);
    assertThat(batch.module()).isEqualTo("paged_attention_decode_int8");
    assertThat(batch.kernel()).isEqualTo("paged_attention_decode_s8_128");
    assertThat(batch.step()).isEqualTo(4);
    assertThat(2 * (batch.sharedBytes() + 1024)).isLessThanOrEqualTo(228 << 10);
    AttentionPlan.Launch large = decode(A10, shape(8, 8, 256), DType.I8, 4, 4096);
    assertThat(large.step()).isEqualTo(2);
    assertThat(large.sharedBytes()).isBetween(256 * 260, 99 << 10);
  }

  /** With scales behind a page's codes, only pages of a multiple of 4 rows start at 16 bytes. */
  @Test
  void int8InPagesOfAnySizeGoesToTheGeneralKernels() {
    for (int pageSize : new int[] {1, 6, 18, 4, 20}) {
      AttentionPlan plan =
          AttentionPlan.of(
              H200, shape(4, 2, 64), DType.I8, new AttentionPlan.Sizes(2, 2, 100, pageSize));
      assertThat(plan.launches().getFirst().module().equals("paged_attention_general"))
          .as("pages of %d", pageSize)
          .isEqualTo(pageSize % 4 != 0);
    }
  }

  @Test
  void aWindowIsAllThatIsDivided() {
    AttentionShape windowed = new AttentionShape(8, 8, 128, 1, 256, 0);
    assertThat(decode(H200, windowed, DType.F16, 1, 32768).splits()).isEqualTo(2);
  }

  @Test
  void everySequenceIsTakenOnce() {
    for (int tokens : new int[] {1, 2, 5, 17, 64, 300, 4000}) {
      for (int sequences : new int[] {1, 2, 8, 64}) {
        for (int group : new int[] {1, 4, 7, 18}) {
          List<AttentionPlan.Launch> launches =
              AttentionPlan.of(
                      H200,
                      shape(2 * group, 2, 64),
                      DType.F16,
                      new AttentionPlan.Sizes(tokens, sequences, 400, 16))
                  .launches();
          assertThat(launches.getFirst().leastNew()).isEqualTo(1);
          assertThat(launches.getLast().mostNew()).isEqualTo(Integer.MAX_VALUE);
          for (int i = 1; i < launches.size(); i++) {
            assertThat(launches.get(i).leastNew()).isEqualTo(launches.get(i - 1).mostNew() + 1);
          }
          launches.forEach(launch -> assertTilesSuffice(launch, tokens, sequences, group));
        }
      }
    }
  }

  /** All tokens in the last sequence that the launch takes, as many as it takes in the others. */
  private static void assertTilesSuffice(
      AttentionPlan.Launch launch, int tokens, int sequences, int group) {
    for (int each = launch.leastNew(); each <= Math.min(launch.mostNew(), tokens); each++) {
      int others = Math.min(sequences - 1, tokens / each - 1);
      int rest = Math.min(launch.mostNew(), tokens - others * each);
      long tiles = (long) others * Math.ceilDiv(each * group, launch.rowsPerTile());
      tiles += Math.ceilDiv((long) rest * group, launch.rowsPerTile());
      assertThat(launch.tiles())
          .as("%s: %d sequences of %d", launch, others, each)
          .isGreaterThanOrEqualTo(tiles);
    }
  }

  @Test
  void partialResultsFitWhatIsPromised() {
    for (DeviceLimits limits : List.of(H200, A10)) {
      for (DType type : new DType[] {DType.F32, DType.F16, DType.BF16, DType.I8}) {
        for (int headDim : new int[] {7, 64, 80, 128, 256}) {
          for (int heads : new int[] {1, 4, 8, 32}) {
            AttentionShape shape = shape(heads, Math.max(1, heads / 4), headDim);
            long most = AttentionPlan.mostPartialFloats(limits, shape, type);
            for (int sequences : new int[] {1, 3, 8, 32, 200}) {
              for (int tokens : new int[] {1, sequences, 3 * sequences, 500}) {
                for (long blocks : new long[] {1, 500, 100_000}) {
                  AttentionPlan.Sizes sizes =
                      new AttentionPlan.Sizes(tokens, sequences, blocks, 16);
                  assertThat(AttentionPlan.of(limits, shape, type, sizes).partialFloats(shape))
                      .isLessThanOrEqualTo(most);
                  assertThat(AttentionPlan.general(limits, shape, type, sizes).partialFloats(shape))
                      .isLessThanOrEqualTo(most);
                }
              }
            }
          }
        }
      }
    }
  }

  @Test
  void smallDevicesTakeWhatFits() {
    AttentionShape large = shape(8, 8, 256);
    AttentionPlan plan =
        AttentionPlan.of(A10, large, DType.F16, new AttentionPlan.Sizes(500, 1, 40, 16));
    assertThat(plan.launches().getFirst().sharedBytes()).isLessThanOrEqualTo(99 << 10);
    assertThat(plan.launches().getFirst().module()).isEqualTo("paged_attention_general");
    assertThat(decode(A10, large, DType.F16, 4, 4096).sharedBytes()).isLessThanOrEqualTo(99 << 10);
    assertThat(decode(A10, shape(8, 8, 128), DType.F16, 4, 4096).step()).isEqualTo(2);
  }

  @Test
  void headsBeyondSharedMemoryAreRefused() {
    assertThatThrownBy(() ->
            AttentionPlan.of(
                A10, shape(1, 1, 100_000), DType.F32, new AttentionPlan.Sizes(1, 1, 1, 16)))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("heads of 100000");
  }
}
