package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.backend.cuda.Dispatcher.Choice;
import dev.lathe.backend.cuda.Dispatcher.Product;
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
    assertThat(dispatcher.isOpen(new Product("f16", 9, 64, 64))).isTrue();
  }

  @Test
  void measurementsDecideForTheWholeBucket() {
    assertThat(dispatcher.isOpen(MANY)).isTrue();
    dispatcher.measured(MANY, 900, 1000);
    assertThat(dispatcher.isOpen(MANY)).isFalse();
    Product sameBucket = new Product("bf16", 257, 4096, 14336);
    assertThat(dispatcher.choose(sameBucket).choice()).isEqualTo(Choice.OWN);
    assertThat(dispatcher.choose(sameBucket).reason()).contains("0.9 us").contains("1.0 us");
    assertThat(dispatcher.choose(new Product("bf16", 256, 4096, 14336)).choice())
        .isEqualTo(Choice.CUBLAS);
    dispatcher.measured(MANY, 900, 800);
    assertThat(dispatcher.choose(sameBucket).choice()).isEqualTo(Choice.CUBLAS);
  }

  @Test
  void decisionsAreKeptInTheirOrderWithTheirReasons() {
    dispatcher.choose(MANY);
    dispatcher.choose(ONE);
    assertThat(dispatcher.decisions().keySet()).containsExactly(MANY, ONE);
    assertThat(ONE).hasToString("bf16 [1, 14336] x [4096, 14336]^T");
  }
}
