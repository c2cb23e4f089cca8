package dev.lathe.optimize;

import dev.lathe.generate.CheckedModel;
import dev.lathe.measure.EvalText;
import dev.lathe.tokenize.Tokenizer;
import dev.lathe.tokenize.Tokenizers;

/**
 * What a run reads besides the weights, read and checked before its folder is made: a model without
 * a tokenizer or a text with nothing to predict leaves nothing behind.
 */
record Inputs(Tokenizer tokenizer, EvalText text, Prompts prompts) implements AutoCloseable {

  static Inputs read(Plan plan, LoadedModel baseline, ProgressSink sink) {
    Tokenizer tokenizer = Tokenizers.load(baseline.checkpoint());
    try {
      CheckedModel.requireVocabulary(baseline.checkpoint(), baseline.decoder(), tokenizer);
      int context = baseline.decoder().config().contextLength();
      EvalText text =
          EvalText.read(
              plan.text(),
              tokenizer,
              context,
              new EvalText.Options(plan.separator(), plan.maxDocuments()));
      Prompts prompts = Prompts.of(plan.recipe().generation(), text, tokenizer, context, sink);
      return new Inputs(tokenizer, text, prompts);
    } catch (RuntimeException | Error e) {
      tokenizer.close();
      throw e;
    }
  }

  @Override
  public void close() {
    tokenizer.close();
  }
}
