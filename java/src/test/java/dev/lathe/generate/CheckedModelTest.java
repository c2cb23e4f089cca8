package dev.lathe.generate;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.error.InvalidInputException;
import dev.lathe.model.Decoder;
import dev.lathe.model.TinyModel;
import dev.lathe.tokenize.Tokenizer;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Test;

class CheckedModelTest {
  @Test
  void refusesWeightsThatAreNotNumbers() {
    try (TinyModel model = new TinyModel(5);
        ReferenceBackend backend = new ReferenceBackend()) {
      model
          .tensor("model.layers.1.input_layernorm.weight")
          .memory()
          .setAtIndex(ValueLayout.JAVA_FLOAT, 7, Float.NEGATIVE_INFINITY);
      assertThatThrownBy(() -> CheckedModel.load(model, backend))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("model.layers.1.input_layernorm.weight has -Infinity in row 0")
          .hasMessageContaining("column 7");
    }
  }

  @Test
  void refusesATokenizerWithMoreTokensThanTheEmbeddingHasRows() {
    try (TinyModel model = new TinyModel(5);
        ReferenceBackend backend = new ReferenceBackend();
        Decoder decoder = CheckedModel.load(model, backend)) {
      CheckedModel.requireVocabulary(model, decoder, vocabularyOf(TinyModel.VOCABULARY));
      CheckedModel.requireVocabulary(model, decoder, vocabularyOf(TinyModel.VOCABULARY - 40));
      Tokenizer larger = vocabularyOf(TinyModel.VOCABULARY + 1);
      assertThatThrownBy(() -> CheckedModel.requireVocabulary(model, decoder, larger))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("ids up to 300, but the embedding has 300 rows");
    }
  }

  private static Tokenizer vocabularyOf(int size) {
    return new ByteTokenizer() {
      @Override
      public int vocabularySize() {
        return size;
      }
    };
  }
}
