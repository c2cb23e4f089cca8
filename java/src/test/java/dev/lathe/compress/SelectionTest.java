package dev.lathe.compress;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

final class SelectionTest {

  @Test
  void keepsTheLargestMagnitudes() {
    assertThat(kept(2, 1, -4, 3, -2)).containsExactly(1, 2);
    assertThat(kept(3, 1, -4, 3, -2)).containsExactly(1, 2, 3);
    assertThat(kept(0, 1, -4, 3, -2)).isEmpty();
    assertThat(kept(4, 1, -4, 3, -2)).containsExactly(0, 1, 2, 3);
  }

  @Test
  void theEarlierOfEqualsStay() {
    assertThat(kept(2, 5, -5, 5, -5)).containsExactly(0, 1);
    assertThat(kept(3, 5, 9, -5, 5, 1)).containsExactly(0, 1, 2);
  }

  @Test
  void zerosNeverStay() {
    assertThat(kept(3, 0, 2, -0.0, 1)).containsExactly(1, 3);
    assertThat(kept(3, 0, 0, 0)).isEmpty();
  }

  @Test
  void tellsNeighboursApart() {
    double next = Math.nextUp(1.0);
    assertThat(kept(1, 1, next, 1)).containsExactly(1);
    assertThat(kept(2, 1, next, 1)).containsExactly(0, 1);
    assertThat(kept(1, Double.MIN_VALUE, 2 * Double.MIN_VALUE)).containsExactly(1);
  }

  @Test
  void equalsASortOnRandomNumbers() {
    Random random = new Random(9);
    for (int n = 0; n < 300; n++) {
      double[] values = new double[1 + random.nextInt(200)];
      int distinct = 1 + random.nextInt(60);
      for (int i = 0; i < values.length; i++) {
        // Few distinct values make ties; the others spread over all exponents.
        values[i] =
            n % 2 == 0
                ? random.nextInt(distinct) - distinct / 2
                : (float) Math.scalb(random.nextGaussian(), random.nextInt(-100, 100));
      }
      int count = random.nextInt(values.length + 1);
      List<Integer> expected =
          IntStream.range(0, values.length)
              .boxed()
              .filter(i -> values[i] != 0)
              .sorted(Comparator.comparingDouble((Integer i) -> -Math.abs(values[i])))
              .limit(count)
              .sorted()
              .toList();
      assertThat(kept(count, values)).isEqualTo(expected);
    }
  }

  /** Which numbers stay, in their order. */
  private static List<Integer> kept(int count, double... values) {
    Selection.Cut cut =
        Selection.largest(
            count,
            to -> {
              // In two pieces, as rows come.
              int half = values.length / 2;
              to.accept(Arrays.copyOf(values, half), half);
              to.accept(Arrays.copyOfRange(values, half, values.length), values.length - half);
            });
    long[] equal = {cut.equal()};
    List<Integer> kept =
        IntStream.range(0, values.length)
            .filter(i -> cut.isAbove(values[i]) || (cut.isEqual(values[i]) && equal[0]-- > 0))
            .boxed()
            .toList();
    assertThat(cut.kept()).isEqualTo(kept.size());
    return kept;
  }
}
