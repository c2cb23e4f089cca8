package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.cuda.Dispatcher.Choice;
import dev.lathe.backend.cuda.Dispatcher.Precision;
import dev.lathe.backend.cuda.Dispatcher.Product;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class DispatcherTest {
  private static final Product ONE = new Product("bf16", 1, 4096, 14336);
  private static final Product MANY = new Product("bf16", 512, 4096, 14336);

  private final Dispatcher dispatcher = new Dispatcher(Optional.empty());

  @Test
  void fewRowsAreOursAndManyCublass() {
    assertThat(dispatcher.choose(ONE).choice()).isEqualTo(Choice.OWN);
    assertThat(dispatcher.choose(MANY).choice()).isEqualTo(Choice.CUBLAS);
    assertThat(dispatcher.choose(MANY).reason()).contains("64 rows");
  }

  @Test
  void withoutCublasEverythingIsOursAndTheReasonSaysWhy() {
    Dispatcher alone = new Dispatcher(Optional.of("cuBLAS can't be used: libcublas is not here"));
    assertThat(alone.choose(MANY).choice()).isEqualTo(Choice.OWN);
    assertThat(alone.choose(MANY).reason()).contains("libcublas is not here");
    assertThat(alone.isOpen(MANY)).isFalse();
  }

  @Test
  void formatsThatCublasDoesNotKnowAreOurs() {
    Product int8 = new Product("int8", 512, 64, 64);
    assertThat(dispatcher.choose(int8).choice()).isEqualTo(Choice.OWN);
    assertThat(dispatcher.choose(int8).reason()).contains("int8");
    assertThat(dispatcher.isOpen(int8)).isFalse();
  }

  @Test
  void fewRowsBeside16BitWeightsAreNeverRounded() {
    assertThat(dispatcher.isOpen(ONE)).isFalse();
    assertThat(dispatcher.choose(ONE).reason()).contains("not rounded");
    assertThat(dispatcher.isOpen(new Product("f32", 1, 64, 64))).isTrue();
    assertThat(dispatcher.isOpen(new Product("bf16", 9, 64, 64))).isTrue();
    assertThat(dispatcher.isOpen(new Product("f16", 9, 64, 64))).isFalse();
    assertThat(dispatcher.choose(new Product("f16", 9, 64, 64)).reason()).contains("65504");
  }

  @Test
  void measurementsDecideForTheWholeBucket() {
    Product few = new Product("bf16", 64, 4096, 14336);
    assertThat(dispatcher.isOpen(few)).isTrue();
    dispatcher.measured(few, 900, 1000);
    assertThat(dispatcher.isOpen(few)).isFalse();
    Product sameBucket = new Product("bf16", 33, 4096, 14336);
    assertThat(dispatcher.choose(sameBucket).choice()).isEqualTo(Choice.OWN);
    assertThat(dispatcher.choose(sameBucket).reason()).contains("0.9 us").contains("1.0 us");
    assertThat(dispatcher.isOpen(new Product("bf16", 32, 4096, 14336))).isTrue();
    dispatcher.measured(few, 900, 800);
    assertThat(dispatcher.choose(sameBucket).choice()).isEqualTo(Choice.CUBLAS);
  }

  /** However many rows, with cuBLAS and without, measured or not: nothing is open. */
  @Test
  void w8a8IsOursWithActivationsInInt8() {
    for (long rows : new long[] {1, 8, 9, 64, 65, 4096}) {
      Product product = new Product("w8a8", rows, 4096, 14336);
      assertThat(dispatcher.isOpen(product)).isFalse();
      Dispatcher.Decision decision = dispatcher.choose(product);
      assertThat(decision.choice()).isEqualTo(Choice.OWN);
      assertThat(decision.precision()).isEqualTo(Precision.INT8);
      assertThat(decision.reason()).contains("W8A8");
    }
  }

  /** What is measured, and so another process, doesn't change how exactly is multiplied. */
  @Test
  void precisionIsNoMatterOfTime() {
    for (String format : List.of("f32", "bf16", "f16", "int8", "bitmap")) {
      for (long rows : new long[] {1, 8, 9, 64, 65, 4096}) {
        Product product = new Product(format, rows, 4096, 14336);
        Precision expected =
            !format.endsWith("f16") || rows <= 8
                ? Precision.F32
                : rows <= 64 ? Precision.TWO_PARTS : Precision.ROUNDED;
        for (double cublasNanos : new double[] {800, 1000}) {
          Dispatcher one = new Dispatcher(Optional.empty());
          assertThat(one.choose(product).precision()).isEqualTo(expected);
          Dispatcher other = new Dispatcher(Optional.empty());
          if (other.isOpen(product)) {
            other.measured(product, 900, cublasNanos);
          }
          assertThat(other.choose(product).precision()).isEqualTo(expected);
        }
      }
    }
  }

  @Test
  void manyRoundedRowsAreCublassWithoutATrial() {
    assertThat(dispatcher.isOpen(MANY)).isFalse();
    assertThat(dispatcher.choose(MANY).precision()).isEqualTo(Precision.ROUNDED);
  }

  @Test
  void whatCouldNotBeMeasuredSaysWhy() {
    Product few = new Product("bf16", 16, 4096, 14336);
    dispatcher.unmeasured(few, "not measured: no memory");
    assertThat(dispatcher.isOpen(few)).isFalse();
    assertThat(dispatcher.choose(few).choice()).isEqualTo(Choice.OWN);
    assertThat(dispatcher.choose(few).reason()).contains("64 rows").contains("no memory");
  }

  @Test
  void decisionsAreKeptInTheirOrderWithTheirReasons() {
    dispatcher.choose(MANY);
    dispatcher.choose(ONE);
    assertThat(dispatcher.decisions().keySet()).containsExactly(MANY, ONE);
    assertThat(ONE).hasToString("bf16 [1, 14336] x [4096, 14336]^T");
  }
}
