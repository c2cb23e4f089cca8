package dev.lathe.measure;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.error.InvalidInputException;
import dev.lathe.generate.ByteTokenizer;
import dev.lathe.measure.EvalText.Options;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** One token a byte; 256 begins a sequence. */
class EvalTextTest {
  private static final ByteTokenizer TOKENIZER = new ByteTokenizer();
  private static final ByteTokenizer WITHOUT_BOS =
      new ByteTokenizer() {
        @Override
        public OptionalInt beginOfSequence() {
          return OptionalInt.empty();
        }
      };

  private static Options separated(String separator) {
    return new Options(Optional.of(separator), OptionalInt.empty());
  }

  private static EvalText cut(ByteTokenizer tokenizer, String text, int context, Options options) {
    return EvalText.cut(text, tokenizer, context, options, "text");
  }

  @Test
  void documentsAreStrippedBegunAndCutAndEmptyOnesDropped() {
    EvalText text = cut(TOKENIZER, " ab \n##\n\n##cdefg##h##", 4, separated("##"));
    assertThat(text.sequences())
        .containsExactly(
            new int[] {256, 'a', 'b'}, new int[] {256, 'c', 'd', 'e'}, new int[] {256, 'h'});
    assertThat(text.cut()).isEqualTo(1);
    assertThat(text.predictedTokens()).isEqualTo(2 + 3 + 1);
    assertThat(text.documents()).isTrue();
  }

  @Test
  void theFirstDocumentsAreTakenEmptyOnesNotCounted() {
    Options two = new Options(Optional.of("#"), OptionalInt.of(2));
    assertThat(cut(TOKENIZER, "#a# #b#c", 4, two).sequences())
        .containsExactly(new int[] {256, 'a'}, new int[] {256, 'b'});
  }

  @Test
  void windowsAreBegunAndDoNotOverlap() {
    EvalText text = cut(TOKENIZER, "abcdefg", 4, Options.WINDOWS);
    assertThat(text.sequences())
        .containsExactly(
            new int[] {256, 'a', 'b', 'c'}, new int[] {256, 'd', 'e', 'f'}, new int[] {256, 'g'});
    assertThat(text.predictedTokens()).isEqualTo(7);
    assertThat(text.documents()).isFalse();
  }

  @Test
  void withoutABeginningTheFirstTokenIsNotPredicted() {
    EvalText windows = cut(WITHOUT_BOS, "abcde", 2, Options.WINDOWS);
    assertThat(windows.sequences()).containsExactly(new int[] {'a', 'b'}, new int[] {'c', 'd'});
    assertThat(cut(WITHOUT_BOS, "a#bc", 4, separated("#")).sequences())
        .containsExactly(new int[] {'b', 'c'});
  }

  @Test
  void nothingToPredictIsAnError() {
    for (Options options : List.of(separated("#"), Options.WINDOWS)) {
      assertThatThrownBy(
              () -> cut(TOKENIZER, options.equals(Options.WINDOWS) ? "" : "# #", 4, options))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("no text to predict");
    }
    assertThatThrownBy(() -> separated("")).isInstanceOf(InvalidInputException.class);
    assertThatThrownBy(() -> new Options(Optional.empty(), OptionalInt.of(0)))
        .isInstanceOf(InvalidInputException.class);
  }

  @Test
  void aFileThatIsMissingOrNoTextIsAnError(@TempDir Path folder) throws IOException {
    Path file = folder.resolve("text.txt");
    assertThatThrownBy(() -> EvalText.read(file, TOKENIZER, 4, Options.WINDOWS))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("text.txt");
    Files.write(file, new byte[] {'a', (byte) 0xff, 'b'});
    assertThatThrownBy(() -> EvalText.read(file, TOKENIZER, 4, Options.WINDOWS))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("not UTF-8");
  }
}
