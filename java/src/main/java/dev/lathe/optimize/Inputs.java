package dev.lathe.optimize;

import dev.lathe.generate.CheckedModel;
import dev.lathe.measure.EvalText;
import dev.lathe.tokenize.Tokenizer;
import dev.lathe.tokenize.Tokenizers;
import dev.lathe.train.FineTuning;
import java.util.Optional;

/**
 * What a run reads besides the weights, read and checked before its folder is made: a model without
 * a tokenizer or a text with nothing to predict leaves nothing behind.
 */
record Inputs(
    Tokenizer tokenizer, EvalText text, Prompts prompts, Optional<FineTuning.Documents> training)
    implements AutoCloseable {

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
      Optional<FineTuning.Documents> training =
          plan.steps().stream().noneMatch(step -> step.training().isPresent())
              ? Optional.empty()
              : plan.training().map(t -> training(t, text, baseline, tokenizer));
      return new Inputs(tokenizer, text, prompts, training);
    } catch (RuntimeException | Error e) {
      tokenizer.close();
      throw e;
    }
  }

  private static FineTuning.Documents training(
      Plan.Training wanted, EvalText judged, LoadedModel baseline, Tokenizer tokenizer) {
    FineTuning.Documents documents =
        TrainingText.read(
            wanted.text(),
            wanted.hash(),
            wanted.separator(),
            tokenizer,
            baseline.decoder().config());
    TrainingText.requireApart(documents, judged, wanted.text().toString());
    return documents;
  }

  @Override
  public void close() {
    tokenizer.close();
  }
}
