package dev.lathe.fuzz;

import dev.lathe.checkpoint.FuzzSeeds;
import dev.lathe.optimize.Recipes;
import dev.lathe.tokenize.ChatTemplate;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.stream.Stream;

/** Small valid texts, which a fuzzer starts from. */
final class Seeds {
  private static final String LLAMA =
      """
      {"architectures":["LlamaForCausalLM"],"hidden_size":64,"intermediate_size":172,
       "num_hidden_layers":2,"num_attention_heads":8,"num_key_value_heads":4,"vocab_size":512,
       "max_position_embeddings":128,"rms_norm_eps":1e-5,"rope_theta":500000.0,"hidden_act":"silu",
       "attention_bias":false,"mlp_bias":true,"tie_word_embeddings":true,"bos_token_id":1,
       "eos_token_id":[2,3],"rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,
       "high_freq_factor":4.0,"original_max_position_embeddings":64}}\
      """;
  private static final String QWEN2 =
      """
      {"model_type":"qwen2","hidden_size":64,"intermediate_size":172,"num_hidden_layers":2,
       "num_attention_heads":8,"num_key_value_heads":4,"vocab_size":512,"sliding_window":16,
       "max_position_embeddings":128,"use_sliding_window":true,"max_window_layers":1,
       "rope_parameters":{"rope_type":"linear","factor":2,"rope_theta":10000}}\
      """;
  private static final String GEMMA2 =
      """
      {"architectures":["Gemma2ForCausalLM"],"hidden_size":64,"intermediate_size":172,"head_dim":16,
       "num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"vocab_size":512,
       "max_position_embeddings":128,"query_pre_attn_scalar":16,"attn_logit_softcapping":50.0,
       "final_logit_softcapping":30.0,"sliding_window":16,
       "layer_types":["sliding_attention","full_attention"]}\
      """;
  private static final String GPT2 =
      """
      {"architectures":["GPT2LMHeadModel"],"n_embd":64,"n_layer":2,"n_head":4,"n_positions":128,
       "vocab_size":512,"activation_function":"gelu_new","layer_norm_epsilon":1e-5,
       "scale_attn_by_inverse_layer_idx":true,"scale_attn_weights":true,"n_inner":null}\
      """;
  private static final String MISTRAL =
      """
      {"model_type":"mistral","hidden_size":64,"intermediate_size":172,"num_hidden_layers":2,
       "num_attention_heads":8,"num_key_value_heads":4,"vocab_size":512,"sliding_window":16,
       "max_position_embeddings":128,"rope_scaling":{"type":"yarn","factor":4.0,"beta_fast":16,
        "original_max_position_embeddings":32,"truncate":false,"mscale":1.0,"mscale_all_dim":0.5}}\
      """;
  private static final String PHI3 =
      """
      {"architectures":["Phi3ForCausalLM"],"hidden_size":32,"intermediate_size":172,
       "num_hidden_layers":2,"num_attention_heads":8,"vocab_size":512,
       "max_position_embeddings":128,"original_max_position_embeddings":32,
       "rope_scaling":{"type":"longrope","short_factor":[1,1.5],"long_factor":[2,3]}}\
      """;

  private static final String RECIPE =
      """
      # A comment
      name: "everything"
      max_loss: 1.5%
      steps:
        - {technique: quantize, scheme: w8a16, symmetric: true}
        - technique: prune
          sparsity: 0.5
          layers: [a, 'b', 3, null, ~, 1e3, 0x10]
      generation: {kv_cache: true, batch: 8, tokens: 64, repetitions: 2, prompt: Once}
      evaluation:
        text: held-out.txt
        separator: |
          ---
        max_documents: 10
      cost: {price_per_hour: 2.5, currency: EUR, queries_per_day: 1000}
      targets: {}
      """;

  private static final String PIECES =
      """
      {"version":"1.0","truncation":null,"padding":null,
       "added_tokens":[{"id":1,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,
        "normalized":false,"special":true}],
       "normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"\u2581"},
        {"type":"Replace","pattern":{"String":" "},"content":"\u2581"}]},
       "pre_tokenizer":null,
       "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>",
        "type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[{"Sequence":{"id":"A",
        "type_id":0}},{"Sequence":{"id":"B","type_id":0}}],"special_tokens":{"<s>":{"id":"<s>",
        "ids":[1],"tokens":["<s>"]}}},
       "decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"\u2581"},
        "content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ",
        "start":1,"stop":0}]},
       "model":{"type":"BPE","dropout":null,"unk_token":"<unk>","continuing_subword_prefix":null,
        "end_of_word_suffix":null,"fuse_unk":true,"byte_fallback":true,"ignore_merges":false,
        "vocab":{"<unk>":0,"<s>":1,"<0x0A>":2,"\u2581":3,"f":4,"o":5,"x":6,"fo":7,"fox":8},
        "merges":["f o","fo x"]}}\
      """;
  private static final String WORDS =
      """
      {"version":"1.0","truncation":null,"padding":null,"added_tokens":[],
       "normalizer":{"type":"Lowercase"},"pre_tokenizer":{"type":"Whitespace"},
       "post_processor":null,"decoder":null,
       "model":{"type":"WordLevel","vocab":{"one":0,"fox":1,"?":2},"unk_token":"?"}}\
      """;
  private static final String SCORES =
      """
      {"version":"1.0","added_tokens":[],"normalizer":{"type":"NFKC"},
       "pre_tokenizer":{"type":"Metaspace","replacement":"\u2581","prepend_scheme":"always",
        "split":true},"post_processor":null,
       "decoder":{"type":"Metaspace","replacement":"\u2581","prepend_scheme":"always","split":true},
       "model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0.0],["\u2581",-1.5],["f",-2.0],
        ["ox",-3.0]],"byte_fallback":false}}\
      """;

  private Seeds() {}

  static Stream<byte[]> configs() {
    return Stream.of(LLAMA, QWEN2, GEMMA2, GPT2, MISTRAL, PHI3).map(Seeds::utf8);
  }

  static Stream<byte[]> recipes() {
    return Stream.concat(Stream.of(utf8(RECIPE)), Recipes.BUILT_IN.stream().map(Seeds::builtIn));
  }

  private static byte[] builtIn(String name) {
    return resource(Recipes.class, "recipes/" + name + ".yaml");
  }

  private static byte[] resource(Class<?> beside, String name) {
    try (InputStream in = beside.getResourceAsStream(name)) {
      return in.readAllBytes();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  static Stream<byte[]> tokenizers() {
    return Stream.of(
        FuzzSeeds.byteLevelTokenizer(),
        utf8(WORDS),
        utf8(SCORES),
        withConfig(PIECES, "{\"add_bos_token\":true,\"bos_token\":\"<s>\"}"),
        withConfig(PIECES, "{\"bos_token\":{\"content\":\"<s>\",\"lstrip\":false}}"));
  }

  /** The templates of the families of models, in the project's own words. */
  static Stream<byte[]> templates() {
    return Stream.of("chatml", "llama2", "llama3", "phi3", "mistral", "qwen3", "macros")
        .map(name -> resource(ChatTemplate.class, "families/" + name + ".jinja"));
  }

  private static byte[] withConfig(String tokenizer, String config) {
    ByteArrayOutputStream both = new ByteArrayOutputStream();
    both.writeBytes(utf8(tokenizer));
    both.write(0);
    both.writeBytes(utf8(config));
    return both.toByteArray();
  }

  private static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }
}
