package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.KvLayer;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * cuda-kernels/kv_copy.cu: pages that were to be copied are, bit by bit, and no other byte is
 * changed.
 */
@Tag("cuda")
class KvCopyKernelTest {
  private static final int PAGES = 7;
  private static final int[][] PAIRS = {{0, 3}, {0, 5}, {6, 1}, {-1, 2}, {4, -1}};

  /** Pages of odd sizes, and of more than a block copies at once. */
  @ParameterizedTest
  @CsvSource({
    "F16, 1, 1, 1",
    "F16, 2, 5, 7",
    "BF16, 2, 16, 8",
    "F32, 3, 16, 64",
    "F32, 8, 16, 256"
  })
  void copiesWithinACacheAndToAnother(DType type, int heads, int pageSize, int headDim) {
    for (String order : CudaBench.orders()) {
      for (boolean within : new boolean[] {true, false}) {
        CudaBench.setOrder(order);
        try (CudaBench bench = new CudaBench()) {
          check(bench, within, type, PAGES, heads, pageSize, headDim);
        } finally {
          CudaBench.setOrder("forward");
        }
      }
    }
  }

  private static void check(CudaBench bench, boolean within, DType type, long... shape) {
    List<KvLayer> read = layers(bench, 0, type, shape);
    List<KvLayer> written = within ? read : layers(bench, 50, type, shape);
    List<KvLayer> readDevice = read.stream().map(layer -> up(bench, layer)).toList();
    List<KvLayer> writtenDevice =
        within ? readDevice : written.stream().map(layer -> up(bench, layer)).toList();

    Tensor pairs = bench.host(DType.I32, PAIRS.length, 2);
    for (int i = 0; i < 2 * PAIRS.length; i++) {
      pairs.memory().setAtIndex(ValueLayout.JAVA_INT, i, PAIRS[i / 2][i % 2]);
    }
    new KvCopyKernels(bench.kernels)
        .copyPages(
            bench.up(addresses(bench, writtenDevice)),
            bench.up(addresses(bench, readDevice)),
            bench.up(pairs),
            KvCopyKernels.pageBytes(readDevice.getFirst()));

    for (int layer = 0; layer < read.size(); layer++) {
      copy(read.get(layer).keys(), written.get(layer).keys());
      copy(read.get(layer).values(), written.get(layer).values());
      assertSame(bench.down(writtenDevice.get(layer).keys()), written.get(layer).keys());
      assertSame(bench.down(writtenDevice.get(layer).values()), written.get(layer).values());
      assertSame(bench.down(readDevice.get(layer).keys()), read.get(layer).keys());
    }
  }

  private static void copy(Tensor from, Tensor to) {
    long bytes = from.bytes() / PAGES;
    for (int[] pair : PAIRS) {
      if (pair[0] >= 0 && pair[1] >= 0) {
        to.memory()
            .asSlice(pair[1] * bytes, bytes)
            .copyFrom(from.memory().asSlice(pair[0] * bytes, bytes));
      }
    }
  }

  private static void assertSame(Tensor actual, Tensor expected) {
    assertThat(actual.memory().asSlice(0, actual.bytes()))
        .satisfies(memory ->
            assertThat(memory.mismatch(expected.memory().asSlice(0, expected.bytes())))
                .isEqualTo(-1));
  }

  private static Tensor addresses(CudaBench bench, List<KvLayer> layers) {
    long[] addresses = KvCopyKernels.addresses(layers);
    Tensor tensor = bench.host(DType.I64, addresses.length);
    for (int i = 0; i < addresses.length; i++) {
      tensor.memory().setAtIndex(ValueLayout.JAVA_LONG, i, addresses[i]);
    }
    return tensor;
  }

  private static KvLayer up(CudaBench bench, KvLayer layer) {
    return new KvLayer(bench.up(layer.keys()), bench.up(layer.values()));
  }

  private static List<KvLayer> layers(CudaBench bench, int seed, DType type, long... shape) {
    List<KvLayer> layers = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      layers.add(
          new KvLayer(
              numbers(bench, seed + 2 * i, type, shape),
              numbers(bench, seed + 2 * i + 1, type, shape)));
    }
    return layers;
  }

  private static Tensor numbers(CudaBench bench, int seed, DType type, long... shape) {
    Tensor tensor = bench.host(type, shape);
    for (long i = 0; i < tensor.elements(); i++) {
      Floats.set(tensor.memory(), type, i, (float) ((seed * 31L + i * 7) % 251));
    }
    return tensor;
  }
}
