package dev.lathe.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.AttentionShape;
import dev.lathe.tensor.DType;
import java.util.Arrays;
import java.util.stream.IntStream;

/** What changes no bit of single tokens' attention. */
final class AttentionInvariance {
  private AttentionInvariance() {}

  static void aloneInABatchAndWithAnyThreads(
      InstructionSet set, DType type, int headDim, int... contexts) {
    try (DecodeStep step = new DecodeStep(7, shape(6, 2, headDim), 16, type, 1, contexts)) {
      float[][] batch = step.run(set, 1);
      for (int threads : new int[] {2, 3, 5}) {
        assertThat(step.run(set, threads)).as("%d threads", threads).isDeepEqualTo(batch);
      }
      for (int s = 0; s < contexts.length; s++) {
        assertThat(step.run(set, 1, step.shape, s)[0])
            .as("%d keys alone", contexts[s])
            .isEqualTo(batch[s]);
      }
    }
  }

  static void whateverHeadsShareATile(InstructionSet set, DType type, int headDim) {
    int[] contexts = {1, 2, 15, 16, 17, 33, 50, 200};
    int[] all = IntStream.range(0, contexts.length).toArray();
    try (DecodeStep step = new DecodeStep(7, shape(8, 1, headDim), 32, type, 1, contexts)) {
      float[][] eight = step.run(set, 1);
      for (int heads = 1; heads < 8; heads++) {
        float[][] fewer = step.run(set, 1, shape(heads, 1, headDim), all);
        for (int s = 0; s < contexts.length; s++) {
          assertThat(fewer[s])
              .as("%d heads, %d keys", heads, contexts[s])
              .isEqualTo(Arrays.copyOf(eight[s], heads * headDim));
        }
      }
    }
  }

  static AttentionShape shape(int heads, int kvHeads, int headDim) {
    return new AttentionShape(heads, kvHeads, headDim, (float) (1 / Math.sqrt(headDim)));
  }
}
