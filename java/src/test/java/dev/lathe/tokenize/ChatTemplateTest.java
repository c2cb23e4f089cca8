package dev.lathe.tokenize;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.checkpoint.FuzzSeeds;
import dev.lathe.checkpoint.GgufModels;
import dev.lathe.error.InvalidInputException;
import dev.lathe.tokenize.ChatTemplate.Message;
import dev.lathe.tokenize.jinja.RenderedByJinja2;
import dev.lathe.tokenize.jinja.Template;
import dev.lathe.tokenize.jinja.TemplateException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.assertj.core.api.SoftAssertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

class ChatTemplateTest {
  private static final List<Message> QUESTION = List.of(new Message("user", "Why?"));

  @TempDir Path folder;

  /** ChatML, Llama 2 and 3, Mistral, Phi-3, Gemma, Qwen 2.5 and 3, and one of macros. */
  @Test
  void theFamiliesAreRenderedAsJinja2RendersThem() {
    JsonNode all = RenderedByJinja2.read("families/cases.json");
    SoftAssertions softly = new SoftAssertions();
    for (JsonNode one : all.get("cases")) {
      String file = one.get("template").stringValue();
      Template template = Template.parse(RenderedByJinja2.text("families/" + file));
      String place = file + ": " + one.get("name").stringValue();
      Map<String, Object> values = RenderedByJinja2.values(one.get("values"));
      if (one.has("error")) {
        softly
            .assertThatThrownBy(() -> template.render(values, RenderedByJinja2.NOW))
            .as(place)
            .isInstanceOf(TemplateException.class)
            .hasMessage(one.get("error").stringValue());
      } else {
        softly
            .assertThat(template.render(values, RenderedByJinja2.NOW))
            .as(place)
            .isEqualTo(one.get("expected").stringValue());
      }
    }
    softly.assertAll();
    assertThat(all.get("cases")).hasSizeGreaterThan(100);
  }

  private Optional<ChatTemplate> find(String... namesAndTexts) throws IOException {
    Files.write(folder.resolve("model.safetensors"), FuzzSeeds.safetensors().findFirst().get());
    Files.writeString(folder.resolve("config.json"), "{\"model_type\": \"llama\"}");
    for (int i = 0; i < namesAndTexts.length; i += 2) {
      Files.writeString(folder.resolve(namesAndTexts[i]), namesAndTexts[i + 1]);
    }
    try (Checkpoint checkpoint = Checkpoints.open(folder)) {
      return ChatTemplate.find(checkpoint);
    }
  }

  private static String render(Optional<ChatTemplate> template) {
    return template.orElseThrow().render(QUESTION, true);
  }

  @Test
  void aTextInTheTokenizersConfiguration() throws IOException {
    String config =
        """
        {"bos_token": {"content": "<s>"}, "eos_token": "</s>", "pad_token": null,
         "additional_special_tokens": ["<x>", {"content": "<y>"}],
         "chat_template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ pad_token is defined }}{{ additional_special_tokens[1] }}{{ tools is none }}"}
        """;
    assertThat(render(find("tokenizer_config.json", config))).isEqualTo("<s>Why?</s>False<y>True");
  }

  @Test
  void ofSeveralTheDefault() throws IOException {
    String config =
        """
        {"chat_template": [{"name": "tool_use", "template": "no"},
                           {"name": "default", "template": "{{ messages[0].role }}"}]}
        """;
    assertThat(render(find("tokenizer_config.json", config))).isEqualTo("user");
    assertThatThrownBy(
            () -> find("tokenizer_config.json", config.replace("\"default\"", "\"other\"")))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("tokenizer_config.json")
        .hasMessageContaining("[tool_use, other]");
    assertThatThrownBy(() -> find("tokenizer_config.json", "{\"chat_template\": 3}"))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("it is NUMBER");
  }

  @Test
  void aFileOfItsOwnComesFirst() throws IOException {
    assertThat(
            render(
                find(
                    "tokenizer_config.json",
                    "{\"chat_template\": \"old\"}",
                    "special_tokens_map.json",
                    "{\"bos_token\": \"<b>\"}",
                    "chat_template.jinja",
                    "{{ bos_token }}new\n")))
        .isEqualTo("<b>new");
  }

  @Test
  void withoutOneThereIsNone() throws IOException {
    assertThat(find()).isEmpty();
    assertThat(find("tokenizer_config.json", "{\"chat_template\": null}")).isEmpty();
  }

  @Test
  void aMessageNamesFileAndLine() {
    assertThatThrownBy(() -> find("chat_template.jinja", "a\n{% include 'b' %}"))
        .isInstanceOf(InvalidInputException.class)
        .hasMessage(
            folder.resolve("chat_template.jinja")
                + ": the chat template, line 2: {% include %} is not a tag that is rendered here");
    assertThatThrownBy(() -> render(find("chat_template.jinja", "{{ raise_exception('no') }}")))
        .isInstanceOf(InvalidInputException.class)
        .hasMessage(
            folder.resolve("chat_template.jinja")
                + ": the chat template, line 1 refuses these messages: no");
  }

  @Test
  void ofAGgufFile() throws IOException {
    Path file = folder.resolve("a.gguf");
    Files.write(file, GgufModels.withChatTemplate("{{ bos_token }}|{{ messages[0].content }}"));
    try (Checkpoint checkpoint = Checkpoints.open(file)) {
      assertThat(render(ChatTemplate.find(checkpoint))).isEqualTo("<s>|Why?");
    }
  }

  @Test
  void specialTokensOfTheTextAreSpecialTokens() throws IOException {
    Path file = folder.resolve("a.gguf");
    Files.write(file, GgufModels.withChatTemplate("{{ bos_token }}{{ messages[0].content }}"));
    try (Checkpoint checkpoint = Checkpoints.open(file);
        Tokenizer tokenizer = Tokenizers.load(checkpoint)) {
      ChatTemplate template = ChatTemplate.find(checkpoint).orElseThrow();
      int begin = tokenizer.beginOfSequence().orElseThrow();
      int[] ids = tokenizer.encode(template.render(List.of(new Message("user", "ab")), true));
      assertThat(ids).startsWith(begin).hasSizeGreaterThan(1);
      assertThat(Arrays.stream(ids).filter(id -> id == begin)).hasSize(1);
      // As everywhere in the field, a message that says the token gives it.
      int[] injected =
          tokenizer.encode(template.render(List.of(new Message("user", "a<s>")), true));
      assertThat(Arrays.stream(injected).filter(id -> id == begin)).hasSize(2);
    }
  }
}
