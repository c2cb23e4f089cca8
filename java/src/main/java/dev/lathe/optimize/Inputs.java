package dev.lathe.optimize;

import dev.lathe.generate.CheckedModel;
import dev.lathe.measure.EvalText;
import dev.lathe.tokenize.Tokenizer;
import dev.lathe.tokenize.Tokenizers;
import dev.lathe.train.FineTuning;
import java.util.List;
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
              : plan.training().map(t -> training(plan, t, baseline, tokenizer));
      return new Inputs(tokenizer, text, prompts, training);
    } catch (RuntimeException | Error e) {
      tokenizer.close();
      throw e;
    }
  }

  private static FineTuning.Documents training(
      Plan plan, Plan.Training wanted, LoadedModel baseline, Tokenizer tokenizer) {
    TrainingText text =
        wanted.file().isPresent()
            ? TrainingText.read(wanted.file().get(), wanted.separator())
            : TrainingText.embedded(baseline.checkpoint()).orElseThrow();
    String judged = EvalText.readUtf8(plan.text());
    List<String> documents =
        plan.separator().isEmpty()
            ? List.of(judged)
            : EvalText.split(judged, plan.separator().get()).stream()
                .limit(plan.maxDocuments().orElse(Integer.MAX_VALUE))
                .toList();
    text.requireApart(documents, wanted.name());
    return text.documents(tokenizer, baseline.decoder().config());
  }

  @Override
  public void close() {
    tokenizer.close();
  }
}
